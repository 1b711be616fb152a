package main

import (
	"context"
	"log/slog"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/store"
)

// openStore opens the configured store, with or without a repository in it.
func openStore(ctx context.Context, c *config.Config, log *slog.Logger) (envdb.Store, error) {
	at, err := c.Store()
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, store.Config{
		URL: at.URL, Endpoint: at.Endpoint, Region: at.Region, Profile: at.Profile, PathStyle: at.PathStyle, SingleWriter: at.SingleWriter, Log: log,
	})
	if _, next := envdb.Advice(err); err != nil && next == "" && ctx.Err() == nil {
		return nil, envdb.Fail(envdb.ErrPreflight, "%w", err).WithState("nothing was changed").
			WithNext("check store.url, and what the user that runs envdb may do there")
	}
	return st, err
}

// openRepository opens the repository in the configured store.
func openRepository(ctx context.Context, st envdb.Store, c *config.Config) (*backup.Repository, error) {
	access, err := c.Access()
	if err != nil {
		return nil, err
	}
	return backup.Open(ctx, st, c.Project, access)
}
