package main

import (
	"context"
	"io"
	"iter"
	"sync"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/store"
)

// lazyStore opens the configured store when it is first needed, and only if it
// holds a repository: what needs only PostgreSQL works without it, and a disk
// that is not mounted is not mistaken for an empty store.
type lazyStore struct {
	open func() (envdb.Store, error)
}

var _ envdb.Store = (*lazyStore)(nil)

func newLazyStore(ctx context.Context, c *config.Config) *lazyStore {
	return &lazyStore{open: sync.OnceValues(func() (envdb.Store, error) {
		st, err := openStore(ctx, c)
		if err != nil {
			return nil, err
		}
		if _, err := backup.Open(ctx, st, c.Project); err != nil {
			return nil, err
		}
		return st, nil
	})}
}

// openStore opens the configured store, with or without a repository in it.
func openStore(ctx context.Context, c *config.Config) (envdb.Store, error) {
	url, err := c.StoreURL()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, url)
}

// Put implements envdb.Store.
func (l *lazyStore) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	st, err := l.open()
	if err != nil {
		return "", err
	}
	return st.Put(ctx, key, body, cond)
}

// Get implements envdb.Store.
func (l *lazyStore) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	st, err := l.open()
	if err != nil {
		return nil, envdb.Object{}, err
	}
	return st.Get(ctx, key, span)
}

// List implements envdb.Store.
func (l *lazyStore) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	st, err := l.open()
	if err != nil {
		return func(yield func(envdb.Object, error) bool) { yield(envdb.Object{}, err) }
	}
	return st.List(ctx, prefix)
}

// Delete implements envdb.Store.
func (l *lazyStore) Delete(ctx context.Context, key string) error {
	st, err := l.open()
	if err != nil {
		return err
	}
	return st.Delete(ctx, key)
}
