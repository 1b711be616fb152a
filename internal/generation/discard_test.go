package generation_test

import (
	"context"
	"errors"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

func TestDiscard(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	w.release(t, g, "b")
	d := w.build(t, g, "c")
	s.Connect(t, d.Name) // somebody looks at it
	for _, id := range []string{"c", "a"} {
		if err := g.Discard(t.Context(), w.target(t), envdb.OpDiscard, id, nil); err != nil {
			t.Error(problem(err))
		}
	}
	err := g.Discard(t.Context(), w.target(t), envdb.OpDiscard, "b", func(string) bool { return true })
	wants(t, err, envdb.ErrRefused, "it is live")
	if got, want := states(t, g), "live:b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDiscardLeavesThePublishersSlot(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical"}})
	publisher := s.CreateDatabase(t)
	s.Exec(t, publisher, "CREATE PUBLICATION p FOR ALL TABLES",
		"SELECT pg_create_logical_replication_slot('of_production', 'pgoutput')")
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	d := w.build(t, g, "a")
	s.Exec(t, d.Name, "CREATE SUBSCRIPTION copied CONNECTION "+postgres.Literal(s.URL(publisher).Reveal())+
		" PUBLICATION p WITH (connect = false, slot_name = 'of_production')")
	if err := g.Discard(t.Context(), w.target(t), envdb.OpDiscard, "a", nil); err != nil {
		t.Fatal(problem(err))
	}
	if got := s.QueryText(t, "postgres", "SELECT slot_name FROM pg_replication_slots"); got != "of_production" {
		t.Errorf("slots left: %q", got)
	}
	s.Exec(t, "postgres", "SELECT pg_drop_replication_slot('of_production')")
}

func TestDatabasesWithoutAValidMarkerAreNotDropped(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	base := w.base(t)
	g := w.locked(t, "r1")
	cases := map[string]string{
		"none":    "",
		"comment": "someone's notes",
		"broken":  "envdb: {not json",
		"env":     `envdb: {"environment":"qa","base":"` + base + `","state":"dark"}`,
		"base":    `envdb: {"environment":"staging","base":"x","state":"dark"}`,
		"server":  `envdb: {"environment":"staging","base":"` + base + `","state":"dark","system_identifier":"1"}`,
		"oid":     `envdb: {"environment":"staging","base":"` + base + `","state":"dark","system_identifier":"` + s.QueryText(t, "postgres", "SELECT system_identifier FROM pg_control_system()") + `","oid":1}`,
	}
	for id, comment := range cases {
		name := generation.Name(base, envdb.Dark, id)
		s.Exec(t, "postgres", "CREATE DATABASE "+postgres.Quote(name), "COMMENT ON DATABASE "+postgres.Quote(name)+" IS "+postgres.Literal(comment))
		t.Cleanup(func() { s.DropDatabase(t, name) })
		err := g.Discard(t.Context(), w.target(t), envdb.OpDiscard, name, nil)
		wants(t, err, envdb.ErrRefused, "is not dropped")
		_, err = g.Promote(t.Context(), w.target(t), name, generation.PromoteOptions{})
		wants(t, err, envdb.ErrRefused)
	}
	// A run that died right after CREATE DATABASE had recorded the name.
	left := generation.Name(base, envdb.Dark, "none")
	recorded := func(name string) bool { return name == left }
	gone, err := g.CleanUp(t.Context(), w.target(t), envdb.OpMirror, func(string) bool { return false }, recorded)
	if err != nil || len(gone) != 1 || gone[0] != left {
		t.Errorf("cleaned up %q, %s", gone, problem(err))
	}
	// A stranger's database is none of ours whatever was recorded.
	stranger := s.CreateDatabase(t)
	err = g.Discard(t.Context(), w.target(t), envdb.OpDiscard, stranger, func(string) bool { return true })
	wants(t, err, envdb.ErrNotFound)
}

func TestAbandonTidiesUpAfterCtrlC(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")
	d := w.build(t, g, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cause := errors.New("stopped")
	if err := g.Abandon(ctx, w.target(t), envdb.OpMirror, d, cause); err != cause {
		t.Errorf("got %v", err)
	}
	if got := states(t, g); got != "" {
		t.Errorf("left: %q", got)
	}
}

func TestInterruptedDropIsFinished(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	d := w.build(t, g, "a")
	s.Exec(t, "postgres", "UPDATE pg_database SET datconnlimit = -2 WHERE datname = "+postgres.Literal(d.Name)) // as DROP DATABASE does first
	_, err := g.Promote(t.Context(), w.target(t), "a", generation.PromoteOptions{})
	wants(t, err, envdb.ErrRefused, "dropping it was begun")
	gone, err := g.CleanUp(t.Context(), w.target(t), envdb.OpMirror, func(string) bool { return true }, nil)
	if err != nil || len(gone) != 1 {
		t.Errorf("cleaned up %q, %s", gone, problem(err))
	}
}
