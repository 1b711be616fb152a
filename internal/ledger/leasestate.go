package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// leaseState is the object of an environment's lease. It is never deleted, for
// a store has no conditional delete: a free lease is one without holders.
type leaseState struct {
	Environment string   `json:"environment"`
	Writer      *Holder  `json:"writer,omitempty"`
	Readers     []Holder `json:"readers,omitempty"`

	modified time.Time // by the store's clock; for people only
}

// find returns the holder with the id, or nil.
func (s *leaseState) find(id string) *Holder {
	if s.Writer != nil && s.Writer.ID == id {
		return s.Writer
	}
	for i := range s.Readers {
		if s.Readers[i].ID == id {
			return &s.Readers[i]
		}
	}
	return nil
}

// holders returns everyone in the lease.
func (s *leaseState) holders() []Holder {
	all := slices.Clone(s.Readers)
	if s.Writer != nil {
		all = append(all, *s.Writer)
	}
	return all
}

// rivals returns those with whom a new holder cannot share.
func (s *leaseState) rivals(exclusive bool) []Holder {
	if exclusive {
		return s.holders()
	}
	if s.Writer != nil && !s.Writer.Gone {
		return []Holder{*s.Writer}
	}
	return nil
}

// without removes a holder.
func (s *leaseState) without(id string) {
	if s.Writer != nil && s.Writer.ID == id {
		s.Writer = nil
	}
	s.Readers = slices.DeleteFunc(s.Readers, func(h Holder) bool { return h.ID == id })
}

func (s *leaseState) add(h Holder, exclusive bool) {
	if exclusive {
		s.Writer = &h
		return
	}
	s.Readers = append(s.Readers, h)
}

// readLease returns the lease of env and the condition under which it is still
// so.
func (l *Ledger) readLease(ctx context.Context, env string) (*leaseState, envdb.Condition, error) {
	key := l.leaseKey(env)
	raw, object, err := l.read(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return &leaseState{Environment: env}, envdb.IfAbsent(), nil
	}
	if err != nil {
		return nil, envdb.Condition{}, fmt.Errorf("read the lease of %s: %w", env, err)
	}
	state := &leaseState{}
	err = json.Unmarshal(raw, state)
	if err == nil && state.Environment != env {
		err = fmt.Errorf("it is of environment %q", state.Environment)
	}
	if err != nil {
		return nil, envdb.Condition{}, envdb.Fail(nil, "the lease of %s (%s) is unreadable: %w", env, key, err).
			WithState("nothing was changed").
			WithNext("see that no envdb works on %s, then delete the object %s from the store", env, key)
	}
	state.modified = object.Modified
	return state, envdb.IfMatch(object.Tag), nil
}

func (l *Ledger) writeLease(ctx context.Context, state *leaseState, cond envdb.Condition) error {
	_, err := l.writeJSON(ctx, l.leaseKey(state.Environment), state, cond)
	return err
}

// errNothingToChange is what a change of a lease returns that leaves it as it is.
var errNothingToChange = errors.New("nothing to change")

// changeLease applies change until no one else's write came in between. A change
// that returns an error ends it; that there is nothing to change is none.
func (l *Ledger) changeLease(ctx context.Context, env string, change func(*leaseState) error) error {
	for {
		state, cond, err := l.readLease(ctx, env)
		if err != nil {
			return err
		}
		err = change(state)
		if errors.Is(err, errNothingToChange) {
			return nil
		}
		if err != nil {
			return err
		}
		err = l.writeLease(ctx, state, cond)
		if !errors.Is(err, envdb.ErrCondition) {
			return err
		}
		if err := pause(ctx, jitter()); err != nil {
			return err
		}
	}
}

// read returns a whole small object.
func (l *Ledger) read(ctx context.Context, key string) ([]byte, envdb.Object, error) {
	body, object, err := l.store.Get(ctx, key, envdb.Span{})
	if err != nil {
		return nil, object, err
	}
	raw, err := io.ReadAll(body)
	return raw, object, errors.Join(err, body.Close())
}

func (l *Ledger) writeJSON(ctx context.Context, key string, value any, cond envdb.Condition) (envdb.Tag, error) {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return "", err
	}
	return l.store.Put(ctx, key, bytes.NewReader(append(raw, '\n')), cond)
}

// jitter keeps those who lost a race from meeting again.
func jitter() time.Duration { return 5*time.Millisecond + rand.N(45*time.Millisecond) }

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
