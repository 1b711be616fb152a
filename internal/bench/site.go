package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	// configured is a line more for the copy; without one it has no baseline,
	// as the peers leave none.
	configured string
	// bucket holds the store, if it is set; otherwise a directory does.
	bucket *bucket
	// mask is what the copy's mirror has more.
	mask string
	// more is a further environment.
	more string
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

// newSite sets envdb up in a new directory, whose store is empty.
func (b *bench) newSite(ctx context.Context, db database, s sealed) (*site, error) {
	return b.newSiteOn(ctx, db, s, nil)
}

// newSiteOn does the same with a store in a bucket, unless that is nil.
func (b *bench) newSiteOn(ctx context.Context, db database, s sealed, on *bucket) (*site, error) {
	dir, err := os.MkdirTemp(b.work, "site-")
	if err != nil {
		return nil, err
	}
	at := &site{bench: b, dir: dir, db: db, sealed: s, bucket: on}
	if err := at.configure(); err != nil {
		return at, err
	}
	args := []string{"init", "--recovery-file", filepath.Join(dir, "recovery.txt")}
	if s == unencrypted {
		args = []string{"init", "--no-encryption"}
	}
	_, err = run(ctx, at.envdb(args...))
	return at, err
}

// configure writes the configuration.
func (s *site) configure() error {
	return os.WriteFile(s.config(), []byte(s.configuration()), 0o600)
}

func (s *site) config() string { return filepath.Join(s.dir, "envdb.yaml") }

// configuration is a file as a user would write it.
func (s *site) configuration() string {
	return fmt.Sprintf(`project: bench
store:
%sjobs: %d
home: %s
environments:
  prod:
    tier: production
    url: %s
  copy:
    tier: production-copy
    mirror: {from: prod%s}
    %s
%s%s`, s.storeKeys(), s.bench.jobs, filepath.Join(s.dir, "home"), s.bench.source.URL(s.db.name).Reveal(), s.maskKeys(), cmp.Or(s.configured, "baseline: off"), s.copyURLs(), s.more)
}

// maskKeys says how the mirror masks, if it does.
func (s *site) maskKeys() string {
	if s.mask == "" {
		return ""
	}
	return ", " + s.mask
}

// storeKeys says where the store is and whether it is encrypted.
func (s *site) storeKeys() string {
	keys := "  url: " + s.store() + "\n"
	if s.bucket != nil {
		keys = fmt.Sprintf("  url: s3://%s/%s\n  endpoint: %s\n  region: %s\n", s.bucket.name, filepath.Base(s.dir), s.bucket.endpoint, s.bucket.region)
	}
	if s.sealed == encrypted {
		keys += "  encryption: {identity: file:envdb-key.txt}\n"
	}
	return keys
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
	env := []string{"ENVDB_CONFIG=" + s.config()}
	if s.bucket != nil {
		env = append(env, s.bucket.env...)
	}
	return command{program: s.bench.envdb, args: slices.Concat(args, forPrograms()), env: env, dir: s.dir}
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

// footprint is what a directory holds.
type footprint struct {
	bytes int64
	files int
}

// size counts the files below a directory.
func size(dir string) (footprint, error) {
	var total footprint
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total.bytes += info.Size()
			total.files++
		}
		return err
	})
	return total, err
}
