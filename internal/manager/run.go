package manager

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
)

// job says what a run is going to do, before it does it.
type job struct {
	operation   envdb.Operation
	environment string
	source      string // the environment that is read, if another
	point       time.Time
	backup      envdb.BackupID
	// offline allows the run while the store cannot be written: it needs
	// PostgreSQL only, or only reads.
	offline bool
}

// execution is a run that is under way.
type execution struct {
	job
	recording *ledger.Recording
	log       *slog.Logger
	report    envdb.Report
	endStep   func()
	// takenOver are the dead runs whose leases this run took; their sessions
	// on the server are ended before anything is changed there.
	takenOver []ledger.Holder
}

func (x *execution) id() string { return x.recording.ID() }

// app is the application_name of the run's sessions: the fence.
func (x *execution) app() string { return appOf(x.id()) }

func appOf(run string) string { return "envdb/" + run }

// step ends the step before and begins the next.
func (x *execution) step(name string) {
	x.endStep()
	x.log.Debug("step began", "step", name)
	x.endStep = x.recording.Step(name)
}

// facts notes pairs of names and values in the run's record.
func (x *execution) facts(pairs ...any) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if name, ok := pairs[i].(string); ok {
			x.recording.Attr(name, pairs[i+1])
		}
	}
}

// run is the one door: lease, record, work, record, release. The work runs in
// a context that ends when the lease is lost.
func (m *Manager) run(ctx context.Context, j job, work func(context.Context, *execution) error) (err error) {
	id := m.ledger.NewRunID()
	claim := ledger.Claim{Run: id, Operation: j.operation, Offline: j.offline, Over: overruled(j.operation)}
	take := m.ledger.Exclude
	if j.operation.Reads() {
		take = m.ledger.Share
	}
	lease, err := take(ctx, j.environment, claim)
	if err != nil {
		return err
	}
	defer func() { err = tidy(ctx, m.log, err, lease.Release) }()

	if lease.Held() {
		err := m.awake(lease.Context(), j.environment, j.operation)
		if err != nil && (!j.offline || errors.Is(err, envdb.ErrPreflight)) {
			return err
		}
		if _, err := m.ledger.FlushSpool(lease.Context()); err != nil {
			m.log.Warn("records of runs that ended while the store was down are still on this machine", "reason", err)
		}
	}
	recording, err := m.ledger.Begin(lease.Context(), ledger.Run{
		ID: id, Operation: j.operation, Environment: j.environment, Source: j.source, Point: j.point, Backup: j.backup,
		Unleased: !lease.Held(), Trigger: m.cause.Trigger, Job: m.cause.Job, Turn: m.cause.Turn,
	})
	if err != nil {
		return err
	}
	x := &execution{
		job: j, recording: recording, takenOver: lease.TakenOver(), endStep: func() {},
		log: slog.New(recording.Tee(m.log.Handler())), report: recording.Report(m.report),
	}
	for _, dead := range x.takenOver {
		x.log.Warn("took over from a run that is gone", "run", dead.Run, "operation", dead.Operation, "host", dead.Host)
		if !dead.Operation.Reads() {
			continue // it is marked when its sessions have been ended
		}
		if err := m.ledger.MarkInterrupted(lease.Context(), dead.Run, "its process is gone; run "+id+" took over"); err != nil {
			x.log.Warn("a run that is gone is not marked yet", "run", dead.Run, "reason", err)
		}
	}
	err = work(lease.Context(), x)
	x.endStep()
	if lost := context.Cause(lease.Context()); err != nil && lost != nil && !errors.Is(err, lost) {
		err = errors.Join(lost, err)
	}
	return m.conclude(ctx, j, recording, err)
}

// overruled returns which operations give way to another. What undoes something
// in a moment does not wait for a backup, which the ladder takes again.
func overruled(o envdb.Operation) []envdb.Operation {
	switch o {
	case envdb.OpPromote, envdb.OpRollback, envdb.OpReset:
		return []envdb.Operation{envdb.OpBackup}
	}
	return nil
}

// conclude records how the run ended.
func (m *Manager) conclude(ctx context.Context, j job, recording *ledger.Recording, err error) error {
	finished := joinCleanup(nil, ctx, func(ctx context.Context) error { return recording.Finish(ctx, err, nil) })
	switch {
	case finished == nil:
		return err
	case err != nil:
		return errors.Join(err, aside(finished))
	}
	return envdb.Fail(nil, "the %s of %s was done, but not recorded: %w", j.operation, j.environment, finished).
		WithState("the %s of %s was done; envdb runs will call it interrupted", j.operation, j.environment)
}

// cleanupPatience is how long tidying up may take after a run was stopped.
const cleanupPatience = 30 * time.Second

// joinCleanup tidies up even when ctx has ended, and joins what that says to
// err.
func joinCleanup(err error, ctx context.Context, cleanup func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupPatience)
	defer cancel()
	failed := cleanup(ctx)
	switch {
	case failed == nil:
		return err
	case err == nil:
		return failed
	}
	return errors.Join(err, aside(failed))
}

// tidy is joinCleanup for what ends by itself (a lease, a hold): beside work
// that was done it is no failure that it could not be released.
func tidy(ctx context.Context, log *slog.Logger, err error, cleanup func(context.Context) error) error {
	if err != nil {
		return joinCleanup(err, ctx, cleanup)
	}
	if failed := joinCleanup(nil, ctx, cleanup); failed != nil {
		log.Warn("it was done, but not everything could be tidied up", "reason", failed)
	}
	return nil
}

// aside is an error beside the one that matters: what it says of the state of
// things is not said of the whole.
func aside(err error) error { return errors.New(err.Error()) }

// jobs returns how many connections work for an environment.
func (m *Manager) jobs(env config.Environment) int { return max(env.Jobs, 1) }
