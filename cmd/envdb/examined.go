package main

import (
	"context"
	"fmt"

	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/store/dir"
	"github.com/envdb/envdb/internal/store/s3"
)

// What the doctor asks of a store beside its contract depends on what it is.
var (
	_ manager.Attic  = (*lazyStore)(nil)
	_ manager.Prober = (*lazyStore)(nil)
)

// Unfinished implements manager.Attic: a directory holds the half-written
// files of writers that died, a bucket their unfinished uploads.
func (l *lazyStore) Unfinished(ctx context.Context) (manager.Unfinished, error) {
	return l.eachUnfinished(ctx, (*dir.Store).Leftovers, (*s3.Store).Leftovers)
}

// RemoveUnfinished implements manager.Attic.
func (l *lazyStore) RemoveUnfinished(ctx context.Context) (manager.Unfinished, error) {
	return l.eachUnfinished(ctx, (*dir.Store).Clean, (*s3.Store).Clean)
}

func (l *lazyStore) eachUnfinished(ctx context.Context, files func(*dir.Store, context.Context) ([]dir.Leftover, error), uploads func(*s3.Store, context.Context) ([]s3.Leftover, error)) (found manager.Unfinished, err error) {
	st, err := l.open.get(ctx)
	if err != nil {
		return found, err
	}
	add := func(size int64) { found.Files, found.Bytes = found.Files+1, found.Bytes+size }
	switch st := st.(type) {
	case *dir.Store:
		left, err := files(st, ctx)
		for _, f := range left {
			add(f.Size)
		}
		return found, err
	case *s3.Store:
		left, err := uploads(st, ctx)
		for _, u := range left {
			add(u.Size)
		}
		return found, err
	}
	return found, nil
}

// Probe implements manager.Prober. A directory is no service.
func (l *lazyStore) Probe(ctx context.Context) (manager.Service, error) {
	st, err := l.connect.get(ctx)
	if err != nil {
		return manager.Service{}, err
	}
	bucket, ok := st.(*s3.Store)
	if !ok {
		return manager.Service{}, nil
	}
	can, err := bucket.Probe(ctx)
	s := manager.Service{Place: fmt.Sprintf("%s at %s (profile %s, region %s)", bucket, can.Endpoint, can.Profile, can.Region), Skew: can.Skew}
	for _, c := range can.List {
		s.Abilities = append(s.Abilities, manager.Ability{Name: c.Name, Tried: c.Can != s3.Unknown, Can: c.Can == s3.Can, Needed: c.Needed, Detail: c.Detail})
	}
	return s, err
}
