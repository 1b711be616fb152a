package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// bench is a benchmark that runs.
type bench struct {
	options
	scale scale
	lock  *os.File
	// root is the directory of this scale; work is what goes when the
	// benchmark ends.
	root, work string
	// source holds the databases and is kept; target is made anew each time.
	source, target *cluster.Cluster
	programs       cluster.Programs
	envdb          string // the program that is measured
	load           string // of the machine, before
	forget         bool   // remove the databases at the end
}

// settings are those of both servers, beside PostgreSQL's defaults.
func (o options) settings() map[string]string {
	s := map[string]string{
		"shared_buffers":            "512MB",
		"maintenance_work_mem":      "256MB",
		"max_wal_size":              "8GB",
		"checkpoint_timeout":        "15min",
		"max_connections":           "200",
		"max_prepared_transactions": "0",
		"wal_level":                 "replica",
		"fsync":                     "on",
		"synchronous_commit":        "on",
		"full_page_writes":          "on",
	}
	if !o.fsync {
		s["fsync"], s["synchronous_commit"], s["full_page_writes"] = "off", "off", "off"
	}
	return s
}

// stamp says what a kept cluster holds, and how to get in.
type stamp struct {
	Holds    string `json:"holds"`
	Password string `json:"password"`
}

// open starts the servers, fills the source if it holds anything else than it
// shall, and builds envdb.
func open(ctx context.Context, o options) (_ *bench, err error) {
	chosen, ok := scales[o.scale]
	if !ok {
		return nil, envdb.Fail(envdb.ErrMisuse, "there is no scale %q", o.scale).WithNext("choose full, small or tiny")
	}
	b := &bench{options: o, scale: chosen, load: loadNow()}
	if b.dir == "" {
		b.forget = true
		b.dir, err = os.MkdirTemp(largeTemp, "envdb-bench-")
	} else {
		b.dir, err = filepath.Abs(b.dir)
	}
	if err != nil {
		return nil, err
	}
	b.root = filepath.Join(b.dir, chosen.name)
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if err := b.occupy(); err != nil {
		return nil, err
	}
	if b.programs, err = cluster.Find(0); err != nil {
		return nil, err
	}
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	if err := b.startSource(ctx); err != nil {
		return nil, err
	}
	b.target, err = cluster.Create(ctx, cluster.Options{Dir: filepath.Join(b.work, "target"), Settings: b.settings(), Programs: b.programs})
	return b, err
}

// largeTemp is where large files that may go live, on every Unix.
const largeTemp = "/var/tmp"

// occupy makes the directories, and keeps every other benchmark out of them.
func (b *bench) occupy() error {
	// The servers' user must get in.
	if err := errors.Join(os.MkdirAll(b.root, 0o755), os.Chmod(b.dir, 0o755)); err != nil {
		return fmt.Errorf("directory of the benchmark: %w", err)
	}
	if err := b.roomy(); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(b.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("lock of the benchmark: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return envdb.Fail(envdb.ErrBusy, "another benchmark runs in %s", b.dir).WithNext("wait for it, or name another directory with -dir")
	}
	b.lock, b.work = lock, filepath.Join(b.root, "work")
	// What is left there is of a benchmark that was killed, and its servers
	// ended with it.
	if err := os.RemoveAll(b.work); err != nil {
		return fmt.Errorf("directory of the benchmark: %w", err)
	}
	return os.Mkdir(b.work, 0o755)
}

// roomy fails if the disk has too little space for what will be written.
func (b *bench) roomy() error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(b.root, &disk); err != nil {
		return fmt.Errorf("space in %s: %w", b.root, err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < b.scale.space {
		return envdb.Fail(envdb.ErrPreflight, "%s has %d GB of free space, and the benchmark needs %d GB", b.root, free>>30, b.scale.space>>30).
			WithState("nothing was measured").WithNext("name a directory on a larger disk: BENCH_DIR=… make bench")
	}
	return nil
}

// build builds the envdb of this source tree, unless another one is named.
func (b *bench) build(ctx context.Context) (err error) {
	if b.program != "" {
		b.envdb, err = filepath.Abs(b.program)
		return err
	}
	b.envdb = filepath.Join(b.work, "envdb")
	_, err = run(ctx, command{program: "go", args: []string{"build", "-o", b.envdb, "github.com/envdb/envdb/cmd/envdb"}})
	return err
}

// startSource starts the kept cluster; one that is missing, or that holds
// other databases, is made.
func (b *bench) startSource(ctx context.Context) error {
	dir, file := filepath.Join(b.root, "source"), filepath.Join(b.root, "source.json")
	options := cluster.Options{Dir: dir, Settings: b.settings(), Programs: b.programs}
	want := stamp{Holds: b.digest()}
	have, err := readStamp(file)
	if err != nil {
		return err
	}
	if have.Holds == want.Holds {
		options.Password = have.Password
		b.source, err = cluster.Reopen(ctx, options)
		return err
	}
	if err := errors.Join(os.RemoveAll(file), os.RemoveAll(dir)); err != nil {
		return fmt.Errorf("remove the old databases: %w", err)
	}
	want.Password = rand.Text()
	options.Password = want.Password
	if b.source, err = cluster.Create(ctx, options); err != nil {
		return err
	}
	for _, d := range b.scale.databases() {
		began := time.Now()
		if err := b.fill(ctx, d); err != nil {
			return fmt.Errorf("fill %s: %w", d.name, err)
		}
		b.say("filled %s in %s", d.name, time.Since(began).Round(time.Second/10))
	}
	text, err := json.Marshal(want)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// digest changes when the databases would be filled otherwise.
func (b *bench) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %+v", b.programs.Major, b.scale.databases())
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

// readStamp reads a stamp; a missing one is the zero stamp.
func readStamp(file string) (stamp, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return stamp{}, nil
	}
	if err != nil {
		return stamp{}, err
	}
	var s stamp
	if err := json.Unmarshal(text, &s); err != nil {
		return stamp{}, fmt.Errorf("read %s: %w", file, err)
	}
	return s, nil
}

// fill makes a database.
func (b *bench) fill(ctx context.Context, d database) error {
	// One that is there was left by a benchmark that was stopped.
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + d.name, "CREATE DATABASE " + d.name} {
		if err := execute(ctx, b.source.URL("postgres"), sql); err != nil {
			return err
		}
	}
	if d.pgbench > 0 {
		_, err := run(ctx, b.tool("pgbench", "-i", "-q", "-s", fmt.Sprint(d.pgbench), b.source.URL(d.name).Reveal()))
		if err != nil {
			return err
		}
	}
	return execute(ctx, b.source.URL(d.name), append(d.fill, "VACUUM (FREEZE, ANALYZE)")...)
}

// tool is one of PostgreSQL's programs, of the server's version.
func (b *bench) tool(name string, args ...string) command {
	return command{program: filepath.Join(b.programs.Dir, name), args: args}
}

// servers returns those that run.
func (b *bench) servers() []*cluster.Cluster {
	var running []*cluster.Cluster
	for _, c := range []*cluster.Cluster{b.source, b.target} {
		if c != nil {
			running = append(running, c)
		}
	}
	return running
}

// close stops the servers; only the source's databases stay.
func (b *bench) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	if b.source != nil {
		errs = append(errs, b.source.Close(ctx))
	}
	if b.target != nil {
		errs = append(errs, b.target.Destroy(ctx))
	}
	if b.lock != nil {
		errs = append(errs, os.RemoveAll(b.work), b.lock.Close())
	}
	if b.forget {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

// say tells who watches what happens.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// settingsText lists the settings of both servers.
func (o options) settingsText() string {
	var list []string
	for _, name := range sortedKeys(o.settings()) {
		list = append(list, name+" = "+o.settings()[name])
	}
	return strings.Join(list, ", ")
}
