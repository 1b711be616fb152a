package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

const (
	// flushEvery is how often a run's steps and log are stored while it runs.
	flushEvery = 10 * time.Second
	// briefly bounds the wait for a store that a run can do without.
	briefly = 5 * time.Second
	// finally bounds any other wait for the store to take a record.
	finally = 30 * time.Second
)

// Recording is the record of a run in the making. It is safe for concurrent
// use.
type Recording struct {
	ledger *Ledger
	id     string
	log    logBuffer
	steps  steps

	mu  sync.Mutex // guards run
	run Run

	writing  sync.Mutex // one write at a time; taken before mu
	spooled  bool       // the store was down when the run began
	stored   []byte     // the record as it was last stored
	logged   int        // the changes of the log that are stored
	finished bool

	begun   chan struct{} // holds a value if a step began that is not stored
	stop    context.CancelFunc
	stopped chan struct{}
}

// Begin records that a run begins, before it changes anything. A run that
// needs only PostgreSQL begins even if the store is down: its record then goes
// to the spool.
func (l *Ledger) Begin(ctx context.Context, run Run) (*Recording, error) {
	now := l.config.Now().UTC()
	if run.ID == "" {
		run.ID = newRunID(now)
	}
	if len(run.ID) != runIDLength {
		return nil, fmt.Errorf("begin a run: id %q is not one of NewRunID's", run.ID)
	}
	run.User, run.Host, run.Version = l.config.User, l.config.Host, l.config.Version
	run.Process, run.Started, run.Outcome = l.config.Machine.Self, now, Running
	run.Versions, run.Facts = slices.Clone(run.Versions), maps.Clone(run.Facts)
	r := &Recording{ledger: l, id: run.ID, run: run, begun: make(chan struct{}, 1), stopped: make(chan struct{})}
	if err := r.save(ctx); err != nil {
		return nil, fmt.Errorf("record the %s of %s: %w", run.Operation, run.Environment, err)
	}
	flushing, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	go r.keepFlushing(flushing)
	return r, nil
}

// ID returns the run's id.
func (r *Recording) ID() string { return r.id }

// Run returns the record as it is now.
func (r *Recording) Run() Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := r.run
	run.Versions, run.Facts = slices.Clone(run.Versions), maps.Clone(run.Facts)
	run.Steps = r.steps.list()
	return run
}

// Update changes the record (its point, backup, versions or facts), durably
// once it returns nil. What names the record stays as it is.
func (r *Recording) Update(ctx context.Context, change func(*Run)) error {
	r.mu.Lock()
	was := r.run
	change(&r.run)
	r.run.ID, r.run.Operation, r.run.Environment, r.run.Outcome = was.ID, was.Operation, was.Environment, was.Outcome
	r.mu.Unlock()
	if err := r.save(ctx); err != nil {
		return fmt.Errorf("record of run %s: %w", r.id, err)
	}
	return nil
}

// WillCreate records the names of databases before the run creates them, so
// that whoever finds one without a marker knows whose it is.
func (r *Recording) WillCreate(ctx context.Context, databases ...string) error {
	return r.Update(ctx, func(run *Run) { run.Versions = append(run.Versions, databases...) })
}

// Attr sets a fact of the run. It is stored with the next write.
func (r *Recording) Attr(key string, value any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run.Facts == nil {
		r.run.Facts = map[string]any{}
	}
	r.run.Facts[key] = value
}

// Step begins a step and returns what ends it. Steps may overlap; one that is
// still open at Finish ends there. That it began is stored soon, so that the
// record of a run that dies names the step it died in.
func (r *Recording) Step(name string) (end func()) {
	r.steps.begin(name, r.ledger.config.Now())
	r.storeSoon()
	return func() { r.steps.end(name, r.ledger.config.Now()) }
}

// Report returns a Report that notes the steps it hears of, and hands them on
// to next, which may be nil. A step that nobody began begins when it is first
// heard of, and ends when it is whole.
func (r *Recording) Report(next envdb.Report) envdb.Report {
	return func(p envdb.Progress) {
		if r.steps.heard(p, r.ledger.config.Now()) {
			r.storeSoon()
		}
		next.Send(p)
	}
}

// storeSoon has the record stored by keepFlushing, without waiting for it.
func (r *Recording) storeSoon() {
	select {
	case r.begun <- struct{}{}:
	default:
	}
}

// Tee returns a handler that writes the run's log and hands records on to
// next, which may be nil.
func (r *Recording) Tee(next slog.Handler) slog.Handler {
	return newTee(next, &r.log, r.ledger.config.LogLevel)
}

// Finish records how the run ended: err is its error, facts are added to
// those set before. It works under a context that has ended, and stores the
// record in the spool if the store is down. Only its first call counts.
func (r *Recording) Finish(ctx context.Context, err error, facts map[string]any) error {
	for key, value := range facts {
		r.Attr(key, value)
	}
	r.stop()
	<-r.stopped
	r.writing.Lock()
	defer r.writing.Unlock()
	if r.finished {
		return nil
	}
	r.finished = true
	r.conclude(ctx, err)
	if err := r.storeEnd(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("record the end of run %s: %w", r.id, err)
	}
	return nil
}

// conclude fills in the outcome.
func (r *Recording) conclude(ctx context.Context, err error) {
	now := r.ledger.config.Now().UTC()
	r.steps.endAll(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run.Finished = now
	r.run.Outcome = outcomeOf(ctx, err)
	if err == nil {
		return
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	state, next := envdb.Advice(err)
	r.run.Error, r.run.State, r.run.Next = forRecord(err.Error()), forRecord(state), forRecord(next)
}

// outcomeOf says how a run with this error ended. A run whose context was
// cancelled for another reason than a person's failed of that reason.
func outcomeOf(ctx context.Context, err error) Outcome {
	switch {
	case err == nil:
		return Succeeded
	case errors.Is(err, envdb.ErrInterrupted), errors.Is(context.Cause(ctx), envdb.ErrInterrupted):
		return Interrupted
	case errors.Is(err, context.Canceled) && (ctx.Err() == nil || context.Cause(ctx) == context.Canceled):
		return Interrupted
	}
	return Failed
}

// storeEnd writes the last record and the log, in the store or in the spool.
func (r *Recording) storeEnd(ctx context.Context) error {
	log := r.wholeLog()
	run := r.Run()
	if !r.spooled {
		storing, cancel := context.WithTimeout(ctx, r.patience(&run))
		err := r.ledger.storeRun(storing, &run, log)
		cancel()
		if err == nil || r.ledger.config.Spool == "" {
			return err
		}
		r.ledger.config.Log.WarnContext(ctx, "the run's record could not be stored; it waits in the spool", "run", run.ID, "error", err)
	}
	return r.ledger.spool(&run, log)
}

// save stores the record of the running run if it changed.
func (r *Recording) save(ctx context.Context) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	if r.finished {
		return errors.New("the run has finished")
	}
	run := r.Run()
	raw, err := encode(&run)
	if err != nil || bytes.Equal(raw, r.stored) {
		return err
	}
	if !r.spooled {
		err = r.put(ctx, &run, raw)
		if err != nil && run.needsNoStore() && r.ledger.config.Spool != "" && ctx.Err() == nil {
			r.ledger.config.Log.WarnContext(ctx, "the run's record cannot be stored now; it waits in the spool", "run", run.ID, "error", err)
			r.spooled = true
		}
	}
	if r.spooled {
		err = r.ledger.spool(&run, nil)
	}
	if err == nil {
		r.stored = raw
	}
	return err
}

// patience is how long to wait for the store: not long if the run can do
// without.
func (r *Recording) patience(run *Run) time.Duration {
	if run.needsNoStore() && r.ledger.config.Spool != "" {
		return briefly
	}
	return finally
}

func (r *Recording) put(ctx context.Context, run *Run, raw []byte) error {
	ctx, cancel := context.WithTimeout(ctx, r.patience(run))
	defer cancel()
	return r.ledger.putSealed(ctx, r.ledger.recordKey(run), raw)
}

// keepFlushing stores steps and log from time to time until the run ends, and
// the steps also when one begins. What fails is tried again, and counts at
// Finish.
func (r *Recording) keepFlushing(ctx context.Context) {
	defer close(r.stopped)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.begun:
			_ = r.save(ctx)
		case <-tick.C:
			_ = r.save(ctx)
			_ = r.flushLog(ctx)
		}
	}
}

func (r *Recording) flushLog(ctx context.Context) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	text, changes := r.log.snapshot()
	if r.spooled || changes == r.logged {
		return nil
	}
	err := r.ledger.putSealed(ctx, r.ledger.logKey(r.id), text)
	if err == nil {
		r.logged = changes
	}
	return err
}

// wholeLog returns the whole log, nil if there is none.
func (r *Recording) wholeLog() []byte {
	text, changes := r.log.snapshot()
	if changes == 0 {
		return nil
	}
	return text
}
