package main

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
)

// lazyStore opens the configured store when it is first needed, and only if it
// holds a repository: what needs only PostgreSQL works without it, and a disk
// that is not mounted is not mistaken for an empty store.
//
// Reading it needs no key: who lost theirs can still see which backups and
// runs there are, and who has a key. Writing does: who cannot open a
// repository leaves nothing in it.
type lazyStore struct {
	connect    *once[envdb.Store] // with or without a repository in it
	open       *once[envdb.Store] // with one, readable or not
	repository *once[*backup.Repository]
}

var _ envdb.Store = (*lazyStore)(nil)

// storeOptions say how a store is opened for more than one command.
type storeOptions struct {
	// keep is how long it is kept why there is no store; 0 is for ever.
	keep time.Duration
	// wrap stands before the store; nil for nothing.
	wrap func(envdb.Store) envdb.Store
}

func newLazyStore(c *config.Config, log *slog.Logger, opts storeOptions) *lazyStore {
	connect := newOnce(func(ctx context.Context) (envdb.Store, error) {
		st, err := openStore(ctx, c, log)
		if err == nil && opts.wrap != nil {
			st = opts.wrap(st)
		}
		return st, err
	})
	open := newOnce(func(ctx context.Context) (envdb.Store, error) {
		st, err := connect.get(ctx)
		if err != nil {
			return nil, err
		}
		_, err = backup.ReadEncryption(ctx, st)
		return st, err
	})
	repository := newOnce(func(ctx context.Context) (*backup.Repository, error) {
		st, err := open.get(ctx)
		if err != nil {
			return nil, err
		}
		return openRepository(ctx, st, c)
	})
	connect.keep, open.keep, repository.keep = opts.keep, opts.keep, opts.keep
	return &lazyStore{connect, open, repository}
}

// writable returns the store for who can open the repository in it.
func (l *lazyStore) writable(ctx context.Context) (envdb.Store, error) {
	if _, err := l.repository.get(ctx); err != nil {
		return nil, err
	}
	return l.connect.get(ctx)
}

// Put implements envdb.Store.
func (l *lazyStore) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	st, err := l.writable(ctx)
	if err != nil {
		return "", err
	}
	return st.Put(ctx, key, body, cond)
}

// Get implements envdb.Store.
func (l *lazyStore) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	st, err := l.open.get(ctx)
	if err != nil {
		return nil, envdb.Object{}, err
	}
	return st.Get(ctx, key, span)
}

// List implements envdb.Store.
func (l *lazyStore) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	st, err := l.open.get(ctx)
	if err != nil {
		return func(yield func(envdb.Object, error) bool) { yield(envdb.Object{}, err) }
	}
	return st.List(ctx, prefix)
}

// Delete implements envdb.Store.
func (l *lazyStore) Delete(ctx context.Context, key string) error {
	st, err := l.writable(ctx)
	if err != nil {
		return err
	}
	return st.Delete(ctx, key)
}

// Seal seals a run's record or log with the repository's key.
func (l *lazyStore) Seal(ctx context.Context, key string, plain []byte) ([]byte, error) {
	repository, err := l.repository.get(ctx)
	if err != nil {
		return nil, err
	}
	return repository.Seal(key, plain)
}

// Unseal opens what Seal made.
func (l *lazyStore) Unseal(ctx context.Context, key string, sealed []byte) ([]byte, error) {
	repository, err := l.repository.get(ctx)
	if err != nil {
		return nil, err
	}
	return repository.Unseal(key, sealed)
}
