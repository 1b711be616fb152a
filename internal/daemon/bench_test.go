package daemon_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/daemon"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/store/dir"
)

const (
	benchEnvironments = 200
	benchPoints       = 50 // of each
)

// counted counts the calls of a store.
type counted struct {
	envdb.Store
	gets, lists atomic.Int64
}

func (c *counted) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, key, span)
}

func (c *counted) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	c.lists.Add(1)
	return c.Store.List(ctx, prefix)
}

// fleet is 200 environments with a ladder, each with 50 restore points of the
// last hours, the newest of them of now.
func fleet(b *testing.B) (*config.Config, *counted) {
	b.Helper()
	home := b.TempDir()
	var yaml strings.Builder
	fmt.Fprintf(&yaml, "project: bench\nstore: {url: '%s/store'}\nhome: home\nenvironments:\n", home)
	for i := range benchEnvironments {
		fmt.Fprintf(&yaml, "  env-%03d: {tier: staging, url: \"postgres://nobody@127.0.0.1:1/env_%03d\", backup: {ladder: [1h, 3h, 6h, 1d]}}\n", i, i)
	}
	path := filepath.Join(home, "envdb.yaml")
	if err := os.WriteFile(path, []byte(yaml.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	c, err := config.Load(path, nil)
	if err != nil {
		b.Fatal(err)
	}
	st, err := dir.Open(filepath.Join(home, "store"))
	if err != nil {
		b.Fatal(err)
	}
	repository, err := backup.Init(b.Context(), st, "bench", backup.InitOptions{})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().UTC()
	var group errgroup.Group
	group.SetLimit(8)
	for _, env := range c.Names() {
		group.Go(func() error {
			for k := range benchPoints {
				at := now.Add(-time.Duration(benchPoints-1-k) * time.Hour)
				w, err := repository.Create(b.Context(), env, backup.CreateOptions{Method: backup.Logical, Now: at, Writer: "bench"})
				if err != nil {
					return err
				}
				if _, err := w.Commit(b.Context(), backup.Description{Point: at, Finished: at.Add(10 * time.Second), Tier: envdb.Staging}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	return c, &counted{Store: st}
}

func tasksOf(c *config.Config, m *manager.Manager) []daemon.Task {
	var tasks []daemon.Task
	for _, env := range c.Names() {
		tasks = append(tasks, &daemon.Ladder{Environment: env, Climber: m, Log: slog.New(slog.DiscardHandler)})
	}
	return tasks
}

// BenchmarkPass is one pass of the loop over 200 environments with 10,000
// restore points on a directory store: the first, which reads every manifest,
// and those after it, while nothing changes.
func BenchmarkPass(b *testing.B) {
	c, st := fleet(b)
	wired := func() *manager.Manager {
		repository, err := backup.Open(b.Context(), st, c.Project, backup.Access{})
		if err != nil {
			b.Fatal(err)
		}
		log := slog.New(slog.DiscardHandler)
		return manager.New(manager.Config{
			Config: c, Log: log, Version: "bench", Ledger: ledger.New(st, c.Project, ledger.Config{Log: log}),
			OpenRepository: func(context.Context) (*backup.Repository, error) { return repository, nil },
		})
	}
	pass := func(b *testing.B, loop *daemon.Loop) {
		st.gets.Store(0)
		st.lists.Store(0)
		loop.Pass(b.Context(), b.Context())
		if s := loop.Status(); len(s.Waiting)+len(s.Running) > 0 {
			b.Fatalf("something is due: %+v %+v", s.Waiting, s.Running)
		}
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			loop := daemon.New(daemon.Config{Work: daemon.Work{Tasks: tasksOf(c, wired())}})
			before := heap()
			pass(b, loop)
			b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-kept")
			runtime.KeepAlive(loop)
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/pass")
		b.ReportMetric(float64(st.gets.Load()), "gets")
		b.ReportMetric(float64(st.lists.Load()), "lists")
	})
	b.Run("unchanged", func(b *testing.B) {
		loop := daemon.New(daemon.Config{Work: daemon.Work{Tasks: tasksOf(c, wired())}})
		pass(b, loop)
		for b.Loop() {
			pass(b, loop)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/pass")
		b.ReportMetric(float64(st.gets.Load()), "gets")
		b.ReportMetric(float64(st.lists.Load()), "lists")
	})
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
