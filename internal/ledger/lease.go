package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// Lease is the right to work on an environment, alone or together with other
// readers, until it is released or lost.
type Lease struct {
	ledger    *Ledger
	env       string
	holder    Holder
	takenOver []Holder

	ctx    context.Context
	cancel context.CancelCauseFunc
	keeper *keeper // nil if the lease is not held

	releasing sync.Mutex
	released  bool
}

// Context ends when the context of the claim does, and when the lease is lost;
// [context.Cause] then says how. The work done under the lease runs in it.
func (l *Lease) Context() context.Context { return l.ctx }

// TakenOver returns the dead holders whose place the lease took. The caller
// ends their sessions on the server and marks their runs; see
// [Ledger.MarkInterrupted]. A reader gets no dead writer: that one is left for
// the next writer, however many readers pass it before.
func (l *Lease) TakenOver() []Holder { return l.takenOver }

// Held reports whether the store knows of the lease. It does not if the claim
// was Offline and the store could not be used.
func (l *Lease) Held() bool { return l.keeper != nil }

// Exclude gives the caller the environment alone. While others hold it, it
// fails with ErrBusy, naming them; see [Claim] for who is waited for.
func (l *Ledger) Exclude(ctx context.Context, env string, c Claim) (*Lease, error) {
	return l.acquire(ctx, env, c, true)
}

// Share gives the caller the environment together with other readers.
func (l *Ledger) Share(ctx context.Context, env string, c Claim) (*Lease, error) {
	return l.acquire(ctx, env, c, false)
}

func (l *Ledger) acquire(ctx context.Context, env string, c Claim, exclusive bool) (*Lease, error) {
	h := l.holder(c)
	began := time.Now()
	watch := watching{log: l.config.Log, env: env, until: began.Add(c.Wait), patient: c.Wait > 0}
	var gone []Holder
	for {
		tried := time.Now()
		removed, rivals, err := l.tryBriefly(ctx, env, h, exclusive, c)
		if removed != nil {
			gone = removed
		}
		switch {
		case err == nil && len(rivals) == 0:
			return l.newLease(ctx, env, h, gone, tried), nil
		case err == nil:
			if c.overrules(rivals) {
				watch.overrule()
				l.askToYield(ctx, env, h, rivals)
			}
			err = watch.wait(ctx, rivals)
		case errors.Is(err, envdb.ErrCondition):
			err = pause(ctx, jitter())
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, envdb.ErrBusy) {
			l.abandon(ctx, env, h)
		}
		if c.Offline && ctx.Err() == nil && !errors.Is(err, envdb.ErrBusy) {
			l.config.Log.WarnContext(ctx, "the store could not take the lease, which this can do without", "env", env, "error", err)
			return l.unheld(ctx, env, h), nil
		}
		return nil, fmt.Errorf("lease of %s: %w", env, err)
	}
}

// yieldPatience is how long those who were told to give way may take: a beat
// until they know, and the time to tidy up.
const yieldPatience = 45 * time.Second

// askToYield tells holders to give way to h. They hear of it at their next
// beat, so it does no harm that it may fail: then they are in the way.
func (l *Ledger) askToYield(ctx context.Context, env string, h Holder, rivals []rival) {
	if !slices.ContainsFunc(rivals, func(r rival) bool { return r.Yield == "" }) {
		return
	}
	err := l.changeLease(ctx, env, func(s *leaseState) error {
		asked := false
		for _, r := range rivals {
			if there := s.find(r.ID); there != nil && there.Yield == "" {
				there.Yield, asked = h.Run, true
			}
		}
		if !asked {
			return errNothingToChange
		}
		return nil
	})
	if err != nil {
		l.config.Log.WarnContext(ctx, "could not ask the holder of the lease to give way", "env", env, "reason", err)
	}
}

// rival is a holder in the way, and what can be said of it.
type rival struct {
	Holder
	life life
}

// tryBriefly is tryAcquire, which does not wait long for a store that the claim
// can do without.
func (l *Ledger) tryBriefly(ctx context.Context, env string, h Holder, exclusive bool, c Claim) ([]Holder, []rival, error) {
	if c.Offline {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, briefly)
		defer cancel()
	}
	return l.tryAcquire(ctx, env, h, exclusive)
}

// tryAcquire makes h a holder unless rivals are in the way. It returns the dead
// holders that it removed. ErrCondition means that another was faster.
func (l *Ledger) tryAcquire(ctx context.Context, env string, h Holder, exclusive bool) (gone []Holder, rivals []rival, err error) {
	state, cond, err := l.readLease(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	if state.find(h.ID) != nil { // an earlier Put was done though it failed
		return nil, nil, nil
	}
	for _, other := range state.holders() {
		if l.letGo.has(other.ID) {
			state.without(other.ID)
			continue
		}
		if l.lifeOf(other) != dead {
			continue
		}
		if writer := state.Writer; !exclusive && writer != nil && writer.ID == other.ID {
			writer.Gone = true
			continue
		}
		gone = append(gone, other)
		state.without(other.ID)
	}
	for _, other := range state.rivals(exclusive) {
		rivals = append(rivals, rival{other, l.lifeOf(other)})
	}
	if len(rivals) > 0 {
		return nil, rivals, nil
	}
	state.add(h, exclusive)
	return gone, nil, l.writeLease(ctx, state, cond)
}

// abandon takes back a claim that may have been written though its Put failed.
// What it cannot take back dies of its missing beat, and is in nobody's way in
// this process.
func (l *Ledger) abandon(ctx context.Context, env string, h Holder) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	l.letGo.add(h.ID)
	if l.removeHolder(ctx, env, h.ID) == nil {
		l.letGo.forget(h.ID)
	}
}

func (l *Ledger) removeHolder(ctx context.Context, env, id string) error {
	return l.changeLease(ctx, env, func(s *leaseState) error {
		if s.find(id) == nil {
			return errNothingToChange
		}
		s.without(id)
		return nil
	})
}

func (l *Ledger) newLease(ctx context.Context, env string, h Holder, gone []Holder, written time.Time) *Lease {
	lease := l.unheld(ctx, env, h)
	lease.takenOver = gone
	lease.keeper = keep(ctx, env, written, lease.cancel, lease.beat)
	for _, g := range gone {
		l.config.Log.WarnContext(ctx, "took over the lease of a run that is gone", "env", env, "run", g.Run, "operation", g.Operation, "host", g.Host)
	}
	return lease
}

func (l *Ledger) unheld(ctx context.Context, env string, h Holder) *Lease {
	leaseCtx, cancel := context.WithCancelCause(ctx)
	return &Lease{ledger: l, env: env, holder: h, ctx: leaseCtx, cancel: cancel}
}

// beat writes a sign of life. A run that was told to give way ends, and goes on
// beating until it has tidied up.
func (l *Lease) beat(ctx context.Context) error {
	yield := ""
	err := l.ledger.changeLease(ctx, l.env, func(s *leaseState) error {
		mine := s.find(l.holder.ID)
		if mine == nil || mine.Gone {
			return l.lost(s)
		}
		mine.Beat++
		mine.Uptime = l.ledger.config.Machine.Uptime()
		yield = mine.Yield
		return nil
	})
	if yield != "" {
		l.cancel(envdb.Fail(envdb.ErrInterrupted, "the %s of %s gave way to run %s", l.holder.Operation, l.env, yield).
			WithNext("run it again when that has ended: `envdb runs show %s`", yield))
	}
	return err
}

func (l *Lease) lost(s *leaseState) error {
	by := "it is no longer in the store"
	others := slices.DeleteFunc(s.holders(), func(h Holder) bool { return h.ID == l.holder.ID })
	if len(others) > 0 {
		by = "it is held by another: " + describe(others)
	}
	return envdb.Fail(envdb.ErrBusy, "%s: %w: %s", l.env, errLost, by).
		WithNext("see `envdb runs`, then run it again")
}

// Release gives the environment back and stops the beats. It is idempotent, and
// works under a context that has ended. If the store cannot be written, the
// lease ends by itself after a TTL; this Ledger takes it for free at once.
func (l *Lease) Release(ctx context.Context) error {
	l.releasing.Lock()
	defer l.releasing.Unlock()
	if l.released {
		return nil
	}
	l.released = true
	defer l.cancel(context.Canceled)
	if l.keeper == nil {
		return nil
	}
	l.keeper.end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	l.ledger.letGo.add(l.holder.ID)
	if err := l.ledger.removeHolder(ctx, l.env, l.holder.ID); err != nil {
		return fmt.Errorf("release the lease of %s, which now ends by itself in %s: %w", l.env, TTL, err)
	}
	l.ledger.letGo.forget(l.holder.ID)
	return nil
}

// letGo are holders of this process that have given their leases back, which
// their store does not know: they are in nobody's way.
type letGo struct {
	mu    sync.Mutex
	since map[string]time.Time // by the holder's id
}

// add notes a holder, and forgets those that are dead by now for everybody.
func (l *letGo) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since == nil {
		l.since = map[string]time.Time{}
	}
	maps.DeleteFunc(l.since, func(_ string, since time.Time) bool { return time.Since(since) > 2*TTL })
	l.since[id] = time.Now()
}

func (l *letGo) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.since, id)
}

func (l *letGo) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.since[id]
	return known
}

// Watch takes note of the signs of life of those who hold a lease. A holder on
// another machine is known to be dead once its beat has stood still for a TTL
// before the eyes of whoever wants the lease: who has watched need not wait.
func (l *Ledger) Watch(ctx context.Context, env string) error {
	state, _, err := l.readLease(ctx, env)
	if err != nil {
		return err
	}
	for _, h := range state.holders() {
		l.lifeOf(h)
	}
	return nil
}

// Holders returns who holds the lease of an environment now, dead or alive.
func (l *Ledger) Holders(ctx context.Context, env string) ([]Holder, error) {
	state, _, err := l.readLease(ctx, env)
	if err != nil {
		return nil, err
	}
	return state.holders(), nil
}
