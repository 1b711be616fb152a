package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/schedule"
)

// Cause says why an operation runs, for its record.
type Cause struct {
	Trigger ledger.Trigger
	// Job and Turn are those of the calendar.
	Job  string
	Turn time.Time
}

// because returns a manager whose runs are recorded with a cause.
func (m *Manager) because(c Cause) *Manager {
	caused := *m
	caused.cause = c
	return &caused
}

// Jobs returns the jobs of the calendar.
func (m *Manager) Jobs() []config.Job { return m.config.Jobs() }

// JobLook is what the calendar and the store say of a job.
type JobLook struct {
	// Due says that Turn is to run now.
	Due  bool
	Turn schedule.Turn
	// Next is when the next turn after now begins; zero for never.
	Next time.Time
	// Last is the nominal time of the last success; zero for none.
	Last time.Time
}

// LookJob returns what of a job is due at now. tried is the turn that this
// daemon began last, if it did.
//
// That a turn was done stands in a mark, so it is done once, whoever looks. A
// job that is seen for the first time has missed nothing.
func (m *Manager) LookJob(ctx context.Context, job config.Job, now, tried time.Time) (JobLook, error) {
	return m.lookJob(ctx, job, now, tried, (*backup.Viewer).View)
}

func (m *Manager) lookJob(ctx context.Context, job config.Job, now, tried time.Time, view func(*backup.Viewer, context.Context, string) (*backup.View, error)) (JobLook, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return JobLook{}, err
	}
	at := m.markedAt(job)
	v, err := view(m.viewer(repository), ctx, at)
	if err != nil {
		return JobLook{}, err
	}
	since, known := calendarSince(v, job, now)
	if !known {
		since = now.UTC().Truncate(time.Second)
		if err := repository.MarkCalendar(ctx, at, job.Name, job.Schedule.Fingerprint(), since); err != nil {
			return JobLook{}, err
		}
	}
	calendar, err := job.Schedule.Calendar(job.Name)
	if err != nil {
		return JobLook{}, err
	}
	look := JobLook{Last: lastTurn(v.Turns[job.Name], now)}
	attempts := []schedule.Attempt{{Nominal: tried}, {Nominal: look.Last, Succeeded: true}}
	look.Turn, look.Due = calendar.Due(now, since, attempts)
	if look.Due && !look.Last.Before(look.Turn.Nominal) { // the clock was set back
		look.Due = false
	}
	if next := calendar.Next(now, 1); len(next) > 0 {
		look.Next = next[0].Begins
	}
	return look, nil
}

// markedAt returns the environment whose marks hold the turns of a job: its own,
// or the first one for what is of none.
func (m *Manager) markedAt(job config.Job) string {
	if job.Environment != "" {
		return job.Environment
	}
	return m.config.Names()[0]
}

// calendarSince returns since when a job has its schedule. What is to be so in
// the future was marked by a clock that was ahead, and counts for nothing: the
// job would wait for it.
func calendarSince(v *backup.View, job config.Job, now time.Time) (since time.Time, known bool) {
	for _, c := range v.Calendars { // the oldest first
		if c.Job == job.Name && c.Fingerprint == job.Schedule.Fingerprint() && !c.Since.After(now) {
			since, known = c.Since, true
		}
	}
	return since, known
}

// turnsAhead is how far in the future a turn that is marked may lie: clocks
// differ, and are set back by an hour. What is further ahead was marked by a
// clock that was wrong.
const turnsAhead = 2 * time.Hour

// lastTurn returns the last turn that was done; zero for none.
func lastTurn(turns []time.Time, now time.Time) (last time.Time) {
	for _, t := range turns {
		if t.After(last) && !t.After(now.Add(turnsAhead)) {
			last = t
		}
	}
	return last
}

// RunJob runs a turn of a job, unless another daemon has done it meanwhile. Of
// several daemons one does it; the others get ErrBusy.
func (m *Manager) RunJob(ctx context.Context, job config.Job, turn schedule.Turn) error {
	return m.RunJobAs(ctx, job, turn, func(ctx context.Context, _ time.Time) error {
		return m.because(Cause{Trigger: ledger.TriggerCalendar, Job: job.Name, Turn: turn.Nominal}).carryOutJob(ctx, job)
	})
}

// RunJobAs is RunJob for what is no operation: do gets the nominal time of the
// last success, zero for none.
func (m *Manager) RunJobAs(ctx context.Context, job config.Job, turn schedule.Turn, do func(ctx context.Context, last time.Time) error) error {
	lease, err := m.ledger.Exclude(ctx, ledger.JobLease(job.Name), ledger.Claim{Run: m.ledger.NewRunID(), Operation: job.Operation})
	if err != nil {
		return err
	}
	err = m.runJobAlone(lease.Context(), job, turn, do)
	return tidy(ctx, m.log, err, lease.Release)
}

func (m *Manager) runJobAlone(ctx context.Context, job config.Job, turn schedule.Turn, do func(context.Context, time.Time) error) error {
	look, err := m.lookJob(ctx, job, m.now(), turn.Nominal, (*backup.Viewer).Fresh)
	if err != nil {
		return err
	}
	if !look.Last.Before(turn.Nominal) {
		return nil
	}
	failed := do(ctx, look.Last)
	if failed != nil && !decided(job, failed) {
		return failed
	}
	repository, err := m.open(ctx)
	if err != nil {
		return errors.Join(failed, err)
	}
	// The work is done; its mark must not get lost because somebody stops the
	// daemon now.
	err = joinCleanup(nil, ctx, func(ctx context.Context) error {
		return repository.MarkTurn(ctx, m.markedAt(job), job.Name, turn.Nominal)
	})
	if err != nil {
		return errors.Join(failed, fmt.Errorf("%s is done, but that is not marked, so that it may be done again: %w", job.Name, err))
	}
	return failed
}

// decided reports whether a turn that failed had its result all the same: what a
// drill found is in its report, and at the next try it would find the same.
func decided(job config.Job, err error) bool {
	return job.Operation == envdb.OpDrill && errors.Is(err, envdb.ErrVerification)
}

func (m *Manager) carryOutDrill(ctx context.Context, name string) error {
	d, err := m.config.Drill(name)
	if err != nil {
		return err
	}
	_, err = m.Drill(ctx, DrillRequest{Drill: d, Zone: time.Local})
	return err
}

// carryOutJob runs the operation of a job.
func (m *Manager) carryOutJob(ctx context.Context, job config.Job) error {
	var err error
	switch job.Operation {
	case envdb.OpMirror:
		_, err = m.Mirror(ctx, MirrorRequest{Source: job.Source, Point: envdb.Latest(), Target: job.Environment})
	case envdb.OpSeed:
		_, err = m.Seed(ctx, SeedRequest{Environment: job.Environment})
	case envdb.OpReset:
		_, err = m.Reset(ctx, ResetRequest{Environment: job.Environment})
	case envdb.OpVerify:
		_, err = m.Verify(ctx, VerifyRequest{Environment: job.Environment, ReadData: job.ReadData})
	case envdb.OpExpire:
		_, err = m.Expire(ctx, ExpireRequest{})
	case envdb.OpDrill:
		err = m.carryOutDrill(ctx, job.Drill)
	case envdb.OpMigrate:
		_, err = m.Migrate(ctx, MigrateRequest{Environment: job.Environment})
	default:
		err = envdb.Fail(envdb.ErrMisuse, "no calendar can run %s", job.Operation)
	}
	return err
}

// Housekeeping

// Tidied is what housekeeping removed.
type Tidied struct {
	Leftovers int
	Bytes     int64
}

// TidyStore removes what backups and readers of an environment left in the
// store that died: objects without a manifest, and holds.
func (m *Manager) TidyStore(ctx context.Context, name string) (Tidied, error) {
	var t Tidied
	repository, err := m.open(ctx)
	if err != nil {
		return t, err
	}
	left, err := repository.Leftovers(ctx, name, m.runIsDead(ctx))
	if err != nil {
		return t, err
	}
	for _, l := range left {
		if err := repository.RemoveLeftover(ctx, name, l); err != nil {
			return t, err
		}
		t.Leftovers++
		t.Bytes += l.Bytes
		m.log.Info("removed what an interrupted backup left in the store", "env", name, "backup", l.ID, "objects", l.Objects)
	}
	holds, err := m.ledger.Holds(ctx, name)
	if err != nil {
		return t, err
	}
	var errs []error
	for _, hold := range holds {
		if hold.Gone {
			errs = append(errs, m.ledger.RemoveHold(ctx, hold))
		}
	}
	return t, errors.Join(errs...)
}
