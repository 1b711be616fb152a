package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

const (
	// warnAhead is how long before its end people are told of it.
	warnAhead = 24 * time.Hour
	// warnedFor is how long a warning stands before what it warns of is done,
	// however late it came.
	warnedFor = time.Hour
)

// Fate is what becomes of an environment that was created.
type Fate string

// The fates. Of what is to go, people are warned first.
const (
	Stays     Fate = "stays"
	Warned    Fate = "warned"
	Protected Fate = "protected"
	Goes      Fate = "goes"
	Gone      Fate = "destroyed"
	Unknown   Fate = "unknown"
)

// Expiry is what becomes of every environment that was created.
type Expiry struct {
	At           time.Time    `json:"at"`
	Environments []ExpiryLine `json:"environments"`
}

// ExpiryLine is what becomes of one of them.
type ExpiryLine struct {
	Environment string `json:"environment"`
	Fate        Fate   `json:"fate"`
	// Due is when it goes, and Why.
	Due     time.Time `json:"due,omitzero"`
	Why     string    `json:"why,omitempty"`
	Run     string    `json:"run,omitempty"`
	Dropped []string  `json:"dropped,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// end returns when an instance goes, and why; a zero time is never. idle is
// how long one of its pattern may be without a visitor, 0 for ever.
func end(i *ledger.Instance, idle time.Duration) (due time.Time, why string) {
	if !i.Expires.IsZero() {
		due, why = i.Expires, "its time to live ends"
	}
	if idle == 0 || i.Use.Last.IsZero() {
		return due, why
	}
	if empty := i.Use.Last.Add(idle); due.IsZero() || empty.Before(due) {
		due, why = empty, fmt.Sprintf("nobody connected since %s", i.Use.Last.UTC().Format(time.DateTime+" UTC"))
	}
	return due, why
}

// fate judges an instance: it goes once its end has come and a warning stood
// for long enough.
func fate(i *ledger.Instance, idle time.Duration, now time.Time) (f Fate, due time.Time, why string) {
	if !i.Destroying.IsZero() {
		return Goes, i.Destroying, "destroying it was begun"
	}
	due, why = end(i, idle)
	switch {
	case due.IsZero() || due.Sub(now) > warnAhead:
		return Stays, due, why
	case i.ProtectedUntil.After(now):
		return Protected, due, why
	case i.Warned.IsZero():
		return Warned, latest(due, now.Add(warnedFor)), why
	}
	due = latest(due, i.Warned.Add(warnedFor))
	if due.After(now) {
		return Warned, due, why
	}
	return Goes, due, why
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// observe returns what is known of the use of a version after a new look at it.
// Any difference is a sign of life: another database, more sessions, or
// counters that began anew.
func observe(was ledger.Use, seen generation.Use, now time.Time) ledger.Use {
	is := ledger.Use{At: now, OID: seen.OID, Sessions: seen.Sessions, Reset: seen.Reset, Last: was.Last}
	same := was.OID == is.OID && was.Sessions == is.Sessions && was.Reset.Equal(is.Reset) && seen.Connected == 0
	if !same || was.Last.IsZero() {
		is.Last = now
	}
	return is
}

// PlanExpired returns what DestroyExpired would do now.
func (m *Manager) PlanExpired(ctx context.Context) (*Expiry, error) {
	return m.eachInstance(ctx, func(_ context.Context, _ config.Environment, _ *ledger.Environment, line *ExpiryLine) error {
		return nil
	})
}

// DestroyExpired destroys the environments that were created and whose time to
// live is over, or that nobody connected to for as long as their pattern says,
// and warns of those that go within a day. Call it every hour or so. One that
// fails does not keep the others.
func (m *Manager) DestroyExpired(ctx context.Context) (*Expiry, error) {
	return m.eachInstance(ctx, m.carryOut)
}

// eachInstance looks at every environment that was created, and lets act do what
// is to be done.
func (m *Manager) eachInstance(ctx context.Context, act func(context.Context, config.Environment, *ledger.Environment, *ExpiryLine) error) (*Expiry, error) {
	records, err := m.ledger.Environments(ctx)
	if err != nil {
		return nil, err
	}
	e := &Expiry{At: m.now().UTC(), Environments: []ExpiryLine{}}
	var errs []error
	for _, record := range records {
		if record.Instance == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return e, context.Cause(ctx)
		}
		line := ExpiryLine{Environment: record.Name}
		env, err := m.config.Environment(record.Name)
		if err == nil {
			err = sameInstance(env, record.Instance)
		}
		if err == nil {
			m.lookAt(ctx, env, &record)
			line.Fate, line.Due, line.Why = fate(record.Instance, env.Idle, m.now())
			err = act(ctx, env, &record, &line)
		}
		if err != nil {
			line.Error = err.Error()
			if line.Fate == "" {
				line.Fate = Unknown
			}
			errs = append(errs, err)
		}
		e.Environments = append(e.Environments, line)
	}
	return e, errors.Join(errs...)
}

// lookAt asks the server who uses an instance, if its pattern wants to know. A
// server that does not answer says nothing of its use.
func (m *Manager) lookAt(ctx context.Context, env config.Environment, record *ledger.Environment) {
	if env.Idle == 0 || record.Hibernation != nil {
		return
	}
	g, err := m.look(ctx, env)
	if err == nil {
		defer g.Close()
		var seen generation.Use
		if seen, err = g.Use(ctx); err == nil {
			record.Instance.Use = observe(record.Instance.Use, seen, m.now().UTC())
			return
		}
	}
	record.Instance.Use.Last = time.Time{} // so that it does not count as idle
	m.log.Debug("nobody knows who uses the environment", "env", env.Name, "reason", err)
}

// carryOut stores what was seen of an instance, and warns of its end or
// destroys it.
func (m *Manager) carryOut(ctx context.Context, env config.Environment, seen *ledger.Environment, line *ExpiryLine) error {
	if line.Fate != Goes {
		return m.note(ctx, env, seen, line)
	}
	target, err := env.Target()
	if err != nil {
		return err
	}
	due := func(e *ledger.Environment) bool {
		if e.Instance == nil {
			return false
		}
		e.Instance.Use = seen.Instance.Use
		f, _, _ := fate(e.Instance, env.Idle, m.now())
		return f == Goes
	}
	result, err := m.destroy(ctx, env, target, due)
	if errors.Is(err, errStays) {
		line.Fate, line.Why = Stays, "it was asked for again just now"
		return nil
	}
	if err != nil {
		return err
	}
	line.Fate, line.Run, line.Dropped = Gone, result.Run, result.Dropped
	return nil
}

// note stores what was seen of an instance that stays for now, and when people
// were told that it goes.
func (m *Manager) note(ctx context.Context, env config.Environment, seen *ledger.Environment, line *ExpiryLine) error {
	if line.Fate == Warned && seen.Instance.Warned.IsZero() {
		m.log.Warn("the environment is going to be destroyed", "env", env.Name, "at", line.Due.UTC().Format(time.DateTime+" UTC"), "because", line.Why,
			"to_keep_it", "envdb env protect "+env.Name+" 2d")
	}
	_, err := m.ledger.ChangeEnvironment(ctx, env.Name, func(e *ledger.Environment) error {
		if e.Instance == nil {
			return envdb.Fail(envdb.ErrBusy, "%s has just been destroyed", env.Name).WithNext("run this again")
		}
		if last := seen.Instance.Use.Last; !last.IsZero() {
			e.Instance.Use = seen.Instance.Use
		}
		switch {
		case line.Fate != Warned:
			e.Instance.Warned = time.Time{}
		case e.Instance.Warned.IsZero():
			e.Instance.Warned = m.now().UTC()
		}
		return nil
	})
	return err
}
