package logical_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
)

// sessionsOf counts the sessions that a backup has open.
func sessionsOf(t *testing.T, s *pgtest.Server, app string) string {
	t.Helper()
	return s.QueryText(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = '"+app+"'")
}

// failing backs up a table of several chunks and lets something happen at the
// first one.
func failing(t *testing.T, s *pgtest.Server, app string, during func(db string) error) error {
	t.Helper()
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE big (id int, filler text)",
		"INSERT INTO big SELECT n, repeat(md5(n::text), 100) FROM generate_series(1, 10000) n")
	m := newMemory()
	m.onPut = func(c backup.Chunk) error {
		if strings.HasPrefix(c.Part, "table/") && c.Ordinal == 0 {
			return during(db)
		}
		return nil
	}
	_, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), App: app, Jobs: 2}, m)
	if err == nil {
		t.Fatal("the backup succeeded")
	}
	if state, _ := envdb.Advice(err); !strings.Contains(state, "untouched") {
		t.Errorf("%v: the state is %q", err, state)
	}
	takeWaits(t, func() bool { return sessionsOf(t, s, app) == "0" })
	return err
}

func TestInterruptedBackupLeavesNoSession(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
	ctx, cancel := context.WithCancel(t.Context())
	m := newMemory()
	m.onPut = func(backup.Chunk) error { cancel(); return nil }
	_, err := logical.Take(ctx, logical.Source{URL: s.URL(db), App: "envdb/interrupted"}, m)
	if !errors.Is(err, envdb.ErrInterrupted) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want interrupted", err)
	}
	takeWaits(t, func() bool { return sessionsOf(t, s, "envdb/interrupted") == "0" })
}

func TestStoreThatFailsIsTheError(t *testing.T) {
	t.Parallel()
	full := errors.New("the store is full")
	err := failing(t, pgtest.Start(t), "envdb/full", func(string) error { return full })
	if !errors.Is(err, full) || !strings.Contains(err.Error(), `"public"."big"`) {
		t.Errorf("got %v, want the store's error and the table", err)
	}
}

func TestBackupWhoseSessionsAreEndedFails(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	err := failing(t, s, "envdb/ended", func(db string) error {
		s.Exec(t, db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'envdb/ended'")
		return nil
	})
	if !errors.Is(err, envdb.ErrUnreachable) {
		t.Errorf("got %v, want unreachable", err)
	}
}

// Only the leader dies: the rows that the workers still read would be right,
// but nothing would hold the tables as they were.
func TestBackupWhoseLeaderIsEndedFails(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	err := failing(t, s, "envdb/leader", func(db string) error {
		s.Exec(t, db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'envdb/leader' AND backend_xmin IS NOT NULL ORDER BY backend_start LIMIT 1")
		return nil
	})
	if err == nil {
		t.Error("the backup succeeded without its leader")
	}
	if _, next := envdb.Advice(err); next == "" {
		t.Errorf("the error has no next step: %v", err)
	}
}

func TestServerThatStopsMidwayIsUnreachable(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{})
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
	m := newMemory()
	m.onPut = func(backup.Chunk) error { return s.Stop(context.Background()) }
	_, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db)}, m)
	if !errors.Is(err, envdb.ErrUnreachable) {
		t.Errorf("got %v, want unreachable", err)
	}
	if _, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db)}, newMemory()); !errors.Is(err, envdb.ErrUnreachable) {
		t.Errorf("of a server that is down: got %v, want unreachable", err)
	}
	if err := s.Restart(context.Background()); err != nil { // so that its databases can be dropped
		t.Fatal(err)
	}
}
