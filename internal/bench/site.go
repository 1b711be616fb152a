package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// site is a place where envdb is set up for one database: a configuration, a
// store and an identity.
type site struct {
	bench *bench
	dir   string
	db    database
	sealed
	// pooler is in front of the copy, if it is set.
	pooler *pooler
}

// sealed says whether the store is encrypted.
type sealed bool

// The kinds of stores. Encrypted is what a user gets who does not ask.
const (
	encrypted   sealed = true
	unencrypted sealed = false
)

func (s sealed) String() string {
	if s {
		return "envdb"
	}
	return "envdb, not encrypted"
}

// newSite sets envdb up in a new directory with an empty store.
func (b *bench) newSite(ctx context.Context, db database, s sealed) (*site, error) {
	dir, err := os.MkdirTemp(b.work, "site-")
	if err != nil {
		return nil, err
	}
	at := &site{bench: b, dir: dir, db: db, sealed: s}
	return at, errors.Join(at.configure(), at.init(ctx))
}

// configure writes the configuration.
func (s *site) configure() error {
	return os.WriteFile(s.config(), []byte(s.configuration()), 0o600)
}

func (s *site) init(ctx context.Context) error {
	args := []string{"init"}
	if s.sealed == unencrypted && s.bench.canSeal(ctx) {
		args = append(args, "--no-encryption")
	}
	_, err := run(ctx, s.envdb(args...))
	return err
}

// canSeal reports whether envdb encrypts unless it is told not to.
func (b *bench) canSeal(ctx context.Context) bool {
	help, err := run(ctx, command{program: b.envdb, args: []string{"init", "--help"}})
	return err == nil && strings.Contains(string(help.Output), "--no-encryption")
}

func (s *site) config() string { return filepath.Join(s.dir, "envdb.yaml") }

// configuration is a file as a user would write it.
func (s *site) configuration() string {
	return fmt.Sprintf(`project: bench
store:
  url: %s
jobs: %d
home: %s
environments:
  prod:
    tier: production
    url: %s
  copy:
    tier: production-copy
    mirror: {from: prod}
%s`, s.store(), s.bench.jobs, filepath.Join(s.dir, "home"), s.bench.source.URL(s.db.name).Reveal(), s.copyURLs())
}

// copyURLs says how the copy is reached.
func (s *site) copyURLs() string {
	direct := s.bench.target.URL(s.db.name).Reveal()
	if s.pooler == nil {
		return "    url: " + direct + "\n"
	}
	return fmt.Sprintf("    url: %s\n    direct_url: %s\n    pooler: {admin: %q}\n", s.pooler.url(s.db.name).Reveal(), direct, s.pooler.url("pgbouncer").Reveal())
}

func (s *site) store() string { return filepath.Join(s.dir, "store") }

// envdb is a command line of envdb at this site.
func (s *site) envdb(args ...string) command {
	return command{program: s.bench.envdb, args: append(args, "-o", "json", "--quiet"), env: []string{"ENVDB_CONFIG=" + s.config()}, dir: s.dir}
}

// remove removes the site.
func (s *site) remove() error { return os.RemoveAll(s.dir) }

// taken is what envdb says of a backup that it took.
type taken struct {
	ID     string `json:"id"`
	Run    string `json:"run"`
	Totals struct {
		LogicalBytes int64 `json:"logical_bytes"`
		StoredBytes  int64 `json:"stored_bytes"`
		NewBytes     int64 `json:"new_bytes"`
		Rows         int64 `json:"rows"`
	} `json:"totals"`
}

// answer reads what envdb wrote to stdout.
func answer[T any](s Sample) (T, error) {
	var value T
	if err := json.Unmarshal(s.Output, &value); err != nil {
		return value, fmt.Errorf("read envdb's answer: %w\n%s", err, s.Output)
	}
	return value, nil
}

// size returns how many bytes the files below a directory have.
func size(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
