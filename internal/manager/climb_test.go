package manager_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/schedule"
)

// climb waits for the next slot of the finest rung, and climbs.
func (w *world) climb(m *manager.Manager) *manager.Climb {
	w.t.Helper()
	eventually(w.t, "a slot to begin", func() bool {
		r, err := m.LookLadder(w.t.Context(), "prod", time.Now())
		if err != nil {
			w.t.Fatal(problem(err))
		}
		return r.Due.Any()
	})
	c, err := m.Climb(w.t.Context(), "prod", true)
	if err != nil {
		w.t.Fatal(problem(err))
	}
	return c
}

func (w *world) runsOf(op envdb.Operation) []ledger.Run {
	w.t.Helper()
	list, err := w.Runs(w.t.Context(), manager.RunQuery{Operation: op})
	if err != nil {
		w.t.Fatal(problem(err))
	}
	return list.Runs
}

// A tick on a database that nobody touches is a mark: no run, and no read of the
// data. What changes is backed up.
func TestUnchangedTickIsAMark(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
	prod := on(t, s, "prod", envdb.Production, "backup: {ladder: [8s, 1h], max_duty: 100%}").have(t, small("ann")...)
	w := newWorld(t, prod)

	first := w.climb(w.Manager)
	if first.Done != manager.ClimbedBackup || first.Backup == nil {
		t.Fatalf("the first climb came to %+v, want a backup", first)
	}
	if runs := w.runsOf(envdb.OpBackup); len(runs) != 1 || runs[0].Trigger != ledger.TriggerLadder {
		t.Fatalf("the runs are %+v, want one of the ladder", runs)
	}
	for range 3 {
		c := w.climb(w.Manager)
		if c.Done != manager.ClimbedRenewed || !c.Until.After(first.Backup.Point.Add(-time.Second)) {
			t.Fatalf("on an idle database a climb came to %+v (%s)", c, c.Why)
		}
	}
	if runs := w.runsOf(envdb.OpBackup); len(runs) != 1 {
		t.Fatalf("%d runs, want still one", len(runs))
	}
	r, err := w.LookLadder(t.Context(), "prod", time.Now())
	if err != nil {
		t.Fatal(problem(err))
	}
	if age := time.Since(r.NewestMoment()); age > 30*time.Second {
		t.Errorf("the newest moment is %s old", age)
	}

	prod.exec(t, "CREATE TABLE changed (id int)")
	if c := w.climb(w.Manager); c.Done != manager.ClimbedBackup || c.Why == "" {
		t.Errorf("after a change a climb came to %+v, want a backup, and why", c)
	}
}

// Of several daemons one takes the backup of a slot.
func TestOneOfSeveralDaemonsClimbs(t *testing.T) {
	t.Parallel()
	prod := on(t, pgtest.Start(t), "prod", envdb.Production, "backup: {ladder: [1h, 1d]}").have(t, small("ann")...)
	w := newWorld(t, prod)
	var all sync.WaitGroup
	for range 4 {
		m, _ := w.newManager()
		all.Go(func() {
			if _, err := m.Climb(t.Context(), "prod", true); err != nil && !errors.Is(err, envdb.ErrBusy) {
				t.Errorf("climb: %s", problem(err))
			}
		})
	}
	all.Wait()
	if runs := w.runsOf(envdb.OpBackup); len(runs) != 1 {
		t.Errorf("%d backups were taken in one slot", len(runs))
	}
	if c, err := w.Climb(t.Context(), "prod", true); err != nil || c.Done != manager.ClimbedNothing {
		t.Errorf("in a slot that is covered a climb came to %+v, %v", c, err)
	}
}

// A turn of the calendar is done once, whoever looks; one that failed is due
// until it succeeds.
func TestTurnIsDoneOnce(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production)
	qa := on(t, s, "qa", envdb.QA, `mirror: {from: prod, schedule: {every: 1m, anchor: "CRON_TZ=UTC 2026-01-01"}}`)
	w := newWorld(t, prod, qa)
	job := w.Jobs()[0]
	look := func(m *manager.Manager, now time.Time) manager.JobLook {
		t.Helper()
		look, err := m.LookJob(t.Context(), job, now, time.Time{})
		if err != nil {
			t.Fatal(problem(err))
		}
		return look
	}
	now := time.Now()
	if look(w.Manager, now).Due {
		t.Fatal("a job that is seen for the first time has missed something")
	}
	later := now.Add(90 * time.Second)
	due := look(w.Manager, later)
	if !due.Due || due.Turn.Nominal.After(later) {
		t.Fatalf("a turn later is %+v due", due)
	}
	if err := w.RunJob(t.Context(), job, due.Turn); err == nil {
		t.Fatal("a mirror of a database that is not there succeeded")
	}
	if !look(w.Manager, later).Due {
		t.Error("what failed is not due any more")
	}
	prod.have(t, small("ann")...)
	w.backup("prod")
	var all sync.WaitGroup
	for range 3 {
		m, _ := w.newManager()
		all.Go(func() {
			if err := m.RunJob(t.Context(), job, due.Turn); err != nil && !errors.Is(err, envdb.ErrBusy) {
				t.Errorf("run the job: %s", problem(err))
			}
		})
	}
	all.Wait()
	other, _ := w.newManager()
	if look(other, later).Due {
		t.Error("what is done is due again for another daemon")
	}
	ok := 0
	for _, run := range w.runsOf(envdb.OpMirror) {
		if run.Outcome == ledger.Succeeded {
			ok++
			if run.Trigger != ledger.TriggerCalendar || run.Job != job.Name || !run.Turn.Equal(due.Turn.Nominal) {
				t.Errorf("the run's cause is %q, %q, %s", run.Trigger, run.Job, run.Turn)
			}
		}
	}
	if ok != 1 {
		t.Errorf("%d mirrors succeeded, want one", ok)
	}
}

// A clock that was a year ahead leaves nothing for which a job would wait; one
// that is set back by an hour has nothing done twice.
func TestTurnsOfAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	qa := on(t, s, "qa", envdb.QA, `mirror: {from: prod, schedule: {every: 1m, anchor: "CRON_TZ=UTC 2026-01-01"}}`)
	w := newWorld(t, on(t, s, "prod", envdb.Production), qa)
	job := w.Jobs()[0]
	look := func(now time.Time) manager.JobLook {
		t.Helper()
		look, err := w.LookJob(t.Context(), job, now, time.Time{})
		if err != nil {
			t.Fatal(problem(err))
		}
		return look
	}
	done := 0
	run := func(turn schedule.Turn) {
		t.Helper()
		err := w.RunJobAs(t.Context(), job, turn, func(context.Context, time.Time) error {
			done++
			return nil
		})
		if err != nil {
			t.Fatal(problem(err))
		}
	}
	now := time.Now()
	ahead := now.AddDate(1, 0, 0)
	look(ahead) // its schedule is in force from then on
	due := look(ahead.Add(2 * time.Minute))
	if !due.Due {
		t.Fatal("a year ahead nothing is due after a turn")
	}
	run(due.Turn)

	if look(now).Due {
		t.Error("with the clock put right a job has missed something")
	}
	later := now.Add(2 * time.Minute)
	due = look(later)
	if !due.Due || !due.Last.IsZero() {
		t.Fatalf("with the clock put right a turn later is %+v due", due)
	}
	run(due.Turn)
	if done != 2 {
		t.Errorf("%d turns were done, want 2", done)
	}
	for _, at := range []time.Time{later, later.Add(-30 * time.Second), later.Add(-time.Hour)} {
		if look := look(at); look.Due {
			t.Errorf("at %s the turn of %s is due again, after that of %s", at, look.Turn.Nominal, look.Last)
		}
	}
	if !look(later.Add(time.Minute)).Due {
		t.Error("the next turn is not due")
	}
}
