package main

import (
	"context"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/store"
)

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

// openRepository opens the repository in the configured store.
func openRepository(ctx context.Context, st envdb.Store, c *config.Config) (*backup.Repository, error) {
	access, err := accessOf(c)
	if err != nil {
		return nil, err
	}
	return backup.Open(ctx, st, c.Project, access)
}

// accessOf returns what the configuration says of opening the repository. With
// an identity it must be encrypted: one that is not is not the one meant.
func accessOf(c *config.Config) (backup.Access, error) {
	e := c.Encryption()
	if !e.Configured {
		return backup.Access{}, nil
	}
	identities, err := identitiesOf(c)
	return backup.Access{Identities: identities, KeyID: e.KeyID, Required: true}, err
}

// identitiesOf reads the configured identities.
func identitiesOf(c *config.Config) ([]seal.Identity, error) {
	text, err := c.Identity()
	if err != nil {
		return nil, err
	}
	identities, err := seal.ParseIdentities(text)
	if err != nil {
		return nil, fmt.Errorf("read the identity %s: %w", c.Encryption().Reference(), err)
	}
	return identities, nil
}
