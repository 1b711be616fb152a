package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

// Probe checks that the store truly honours conditional writes: some endpoints
// accept the headers and ignore them, and then two runs would hold one lease.
// It writes a few small objects under probe/ and deletes them.
func Probe(ctx context.Context, store envdb.Store) (err error) {
	p := probe{store: store, key: "probe/" + newNonce()}
	defer func() {
		cleanup := context.WithoutCancel(ctx)
		err = errors.Join(err, store.Delete(cleanup, p.key), store.Delete(cleanup, p.key+"-race"))
	}()
	for _, check := range []func(context.Context) error{p.absent, p.match, p.missing, p.race} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

type probe struct {
	store envdb.Store
	key   string
	first envdb.Tag
}

func (p *probe) put(ctx context.Context, key, text string, cond envdb.Condition) (envdb.Tag, error) {
	return p.store.Put(ctx, key, strings.NewReader(text), cond)
}

// refused wants a write to have been refused.
func refused(err error, what string) error {
	if errors.Is(err, envdb.ErrCondition) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("probe the store: %s: %w", what, err)
	}
	return envdb.Fail(envdb.ErrPreflight, "the store ignores conditions: it accepted %s", what).
		WithState("leases would not hold on this store").
		WithNext("use a store with conditional writes, or let a single daemon write: `single_writer: ID` in the configuration")
}

func (p *probe) absent(ctx context.Context) (err error) {
	if p.first, err = p.put(ctx, p.key, "first", envdb.IfAbsent()); err != nil {
		return fmt.Errorf("probe the store: write a new object: %w", err)
	}
	_, err = p.put(ctx, p.key, "again", envdb.IfAbsent())
	return refused(err, "a second write of an object that must not exist")
}

func (p *probe) match(ctx context.Context) error {
	second, err := p.put(ctx, p.key, "second", envdb.IfMatch(p.first))
	if err != nil {
		return fmt.Errorf("probe the store: replace an object by its tag: %w", err)
	}
	_, err = p.put(ctx, p.key, "third", envdb.IfMatch(p.first))
	if err := refused(err, "a write over a tag that has changed"); err != nil {
		return err
	}
	l := Ledger{store: p.store}
	raw, object, err := l.read(ctx, p.key)
	if err != nil {
		return fmt.Errorf("probe the store: read back: %w", err)
	}
	if !bytes.Equal(raw, []byte("second")) || object.Tag != second {
		return envdb.Fail(envdb.ErrPreflight, "the store does not return what was written last: %q under tag %s, not %q under %s", raw, object.Tag, "second", second).
			WithState("leases would not hold on this store").
			WithNext("use a store that reads what it wrote")
	}
	return nil
}

func (p *probe) missing(ctx context.Context) error {
	if err := p.store.Delete(ctx, p.key); err != nil {
		return fmt.Errorf("probe the store: delete: %w", err)
	}
	_, err := p.put(ctx, p.key, "fourth", envdb.IfMatch(p.first))
	return refused(err, "a write over an object that is gone")
}

// race lets several write one new object at once: one must win.
func (p *probe) race(ctx context.Context) error {
	const racers = 8
	var winners atomic.Int32
	group, ctx := errgroup.WithContext(ctx)
	for range racers {
		group.Go(func() error {
			_, err := p.put(ctx, p.key+"-race", newNonce(), envdb.IfAbsent())
			if err == nil {
				winners.Add(1)
			}
			if errors.Is(err, envdb.ErrCondition) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("probe the store: write one object %d times at once: %w", racers, err)
	}
	if n := winners.Load(); n != 1 {
		return refused(nil, fmt.Sprintf("%d of %d writes of one object at once", n, racers))
	}
	return nil
}
