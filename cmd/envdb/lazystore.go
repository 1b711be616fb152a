package main

import (
	"context"
	"io"
	"iter"
	"sync"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/store"
	"github.com/envdb/envdb/internal/store/dir"
)

// lazyStore opens the configured store when it is first needed, and only if it
// holds a repository: what needs only PostgreSQL works without it, and a disk
// that is not mounted is not mistaken for an empty store.
type lazyStore struct {
	open func() (opened, error)
}

// opened is a store and the repository in it.
type opened struct {
	envdb.Store
	repository *backup.Repository
}

var _ envdb.Store = (*lazyStore)(nil)

func newLazyStore(ctx context.Context, c *config.Config) *lazyStore {
	return &lazyStore{open: sync.OnceValues(func() (opened, error) {
		st, err := openStore(ctx, c)
		if err != nil {
			return opened{}, err
		}
		repository, err := backup.Open(ctx, st, c.Project, backup.Access{})
		return opened{st, repository}, err
	})}
}

// repository returns the repository in the store.
func (l *lazyStore) repository(context.Context) (*backup.Repository, error) {
	st, err := l.open()
	return st.repository, err
}

// openStore opens the configured store, with or without a repository in it.
func openStore(ctx context.Context, c *config.Config) (envdb.Store, error) {
	at, err := c.Store()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Config{
		URL: at.URL, Endpoint: at.Endpoint, Region: at.Region, Profile: at.Profile, PathStyle: at.PathStyle, SingleWriter: at.SingleWriter,
	})
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

// Unfinished implements manager.Attic: a directory holds the half-written
// files of writers that died.
func (l *lazyStore) Unfinished(ctx context.Context) (manager.Unfinished, error) {
	return l.eachUnfinished(func(d *dir.Store) ([]dir.Leftover, error) { return d.Leftovers(ctx) })
}

// RemoveUnfinished implements manager.Attic.
func (l *lazyStore) RemoveUnfinished(ctx context.Context) (manager.Unfinished, error) {
	return l.eachUnfinished(func(d *dir.Store) ([]dir.Leftover, error) { return d.Clean(ctx) })
}

func (l *lazyStore) eachUnfinished(look func(*dir.Store) ([]dir.Leftover, error)) (found manager.Unfinished, err error) {
	st, err := l.open()
	if err != nil {
		return found, err
	}
	directory, ok := st.Store.(*dir.Store)
	if !ok {
		return found, nil
	}
	files, err := look(directory)
	for _, f := range files {
		found.Files, found.Bytes = found.Files+1, found.Bytes+f.Size
	}
	return found, err
}
