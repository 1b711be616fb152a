package logical_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
)

// What happens to a table between the snapshot and the lock must not be seen:
// the table is read as it is after a new snapshot, or as it was.
func TestTableChangesBetweenSnapshotAndLock(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change string
		rows   int64 // of the table t afterwards; -1 if it is gone
		again  bool  // whether a new snapshot is needed
	}{
		"truncated":               {"TRUNCATE t", 0, true},
		"truncated and filled":    {"TRUNCATE t; INSERT INTO t SELECT n, n, 'new' FROM generate_series(1, 7) n", 7, true},
		"rewritten":               {"ALTER TABLE t ALTER n TYPE bigint", 100, true},
		"vacuumed full":           {"VACUUM FULL t", 100, true},
		"clustered":               {"CLUSTER t USING t_pkey", 100, true},
		"dropped":                 {"DROP TABLE t", -1, true},
		"renamed":                 {"ALTER TABLE t RENAME TO other", -1, true},
		"swapped for another":     {"BEGIN; ALTER TABLE t RENAME TO old; CREATE TABLE t (id int, n int, s text); COMMIT", 0, true},
		"dropped and made again":  {"DROP TABLE t; CREATE TABLE t (id int, n int, s text)", 0, true},
		"moved to another schema": {"CREATE SCHEMA x; ALTER TABLE t SET SCHEMA x", -1, true},
		"column dropped":          {"ALTER TABLE t DROP COLUMN s", 100, true},
		"column renamed":          {"ALTER TABLE t RENAME COLUMN s TO z", 100, true},
		"column replaced":         {"ALTER TABLE t DROP COLUMN s, ADD COLUMN s text DEFAULT 'x'", 100, true},
		"column widened":          {"ALTER TABLE t ALTER v TYPE varchar(20)", 100, true},
		"column added":            {"ALTER TABLE t ADD COLUMN more int DEFAULT 5", 100, true},
		"rows written":            {"DELETE FROM t WHERE id <= 50; INSERT INTO t SELECT n, n FROM generate_series(200, 210) n", 100, false},
		"another table made":      {"CREATE TABLE another (id int)", 100, false},
		"indexed":                 {"CREATE INDEX ON t (n)", 100, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := pgtest.Start(t)
			db := s.CreateDatabase(t)
			s.Exec(t, db,
				"CREATE TABLE t (id int PRIMARY KEY, n int, s text, v varchar(10))",
				"INSERT INTO t SELECT n, n, 'row', 'v' FROM generate_series(1, 100) n")
			tries := 0
			m := newMemory()
			got, err := logical.TakeHooked(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1}, m, func(attempt int) {
				tries = attempt
				if attempt == 1 {
					for _, sql := range statements(c.change) {
						s.Exec(t, db, sql)
					}
				}
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if again := tries > 1; again != c.again {
				t.Errorf("%d snapshots were taken; want another one: %t", tries, c.again)
			}
			rows := int64(-1)
			for _, table := range got.Tables {
				if table.Schema+"."+table.Name == "public.t" {
					rows = table.Rows
				}
			}
			if rows != c.rows {
				t.Errorf("t has %d rows, want %d", rows, c.rows)
			}
			checkChunks(t, m, got)
		})
	}
}

// statements splits what cannot run as one simple query, except a transaction.
func statements(sql string) []string {
	if strings.HasPrefix(sql, "BEGIN") {
		return []string{sql}
	}
	return strings.Split(sql, "; ")
}

func TestBackupGivesUpOnATableThatKeepsChanging(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE restless (id int)")
	m := newMemory()
	_, err := logical.TakeHooked(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1}, m,
		func(int) { s.Exec(t, db, "TRUNCATE restless") }, nil)
	if !errors.Is(err, envdb.ErrBusy) || !strings.Contains(err.Error(), `"public"."restless" was truncated`) {
		t.Errorf("got %v, want busy, with the table's name", err)
	}
	if state, next := envdb.Advice(err); state == "" || next == "" {
		t.Errorf("no advice: %q, %q", state, next)
	}
	if len(m.chunks) != 0 {
		t.Errorf("chunks of %d parts were put", len(m.chunks))
	}
}

// Changes behind the lock wait for it, or do not concern the snapshot.
func TestWritesAfterTheLockAreNotSeen(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE t (id int, n int)", "INSERT INTO t SELECT n, n FROM generate_series(1, 100) n")
	c, err := logical.TakeHooked(t.Context(), logical.Source{URL: s.URL(db)}, newMemory(), nil, func(int) {
		s.Exec(t, db, "DELETE FROM t", "INSERT INTO t VALUES (1, 1)", "CREATE TABLE later (id int)")
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := table(t, c, "public.t").Rows; got != 100 || len(c.Tables) != 1 {
		t.Errorf("%d tables, t has %d rows; want 1 table with 100", len(c.Tables), got)
	}
}

// An ALTER that comes while the backup runs waits; the backup lets it pass,
// and begins again.
func TestBackupYieldsToAnAlterThatWaits(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE t (id int)", "INSERT INTO t SELECT generate_series(1, 100)")
	patience := 200 * time.Millisecond

	altered := make(chan time.Duration, 1)
	var once sync.Once
	m := newMemory()
	m.onPut = func(c backup.Chunk) error {
		once.Do(func() {
			started := time.Now()
			go func() {
				s.Exec(t, db, "ALTER TABLE t ADD COLUMN more int DEFAULT 7")
				altered <- time.Since(started)
			}()
			// The store takes its time; the backup must not.
			takeWaits(t, func() bool { return len(altered) > 0 })
		})
		return nil
	}
	c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1, LockPatience: patience}, m)
	if err != nil {
		t.Fatal(err)
	}
	if waited := <-altered; waited > 10*patience {
		t.Errorf("the ALTER waited %s; the patience is %s", waited, patience)
	}
	if m.restarts != 1 {
		t.Errorf("the backup began again %d times, want once", m.restarts)
	}
	if got := len(table(t, c, "public.t").Columns); got != 2 {
		t.Errorf("t has %d columns, want the 2 of after the ALTER", got)
	}
	checkChunks(t, m, c)
}

// putOnly is a writer that cannot forget.
type putOnly struct{ m *memory }

func (p putOnly) Put(ctx context.Context, c backup.Chunk) error { return p.m.Put(ctx, c) }

func TestBackupThatYieldsIsBusyIfItsWriterCannotForget(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE wanted (id int)", "INSERT INTO wanted VALUES (1)")
	m := newMemory()
	var once sync.Once
	m.onPut = func(backup.Chunk) error {
		once.Do(func() {
			done := make(chan struct{})
			go func() { defer close(done); s.Exec(t, db, "TRUNCATE wanted") }()
			<-done
		})
		return nil
	}
	_, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1, LockPatience: 100 * time.Millisecond}, putOnly{m})
	if !errors.Is(err, envdb.ErrBusy) {
		t.Fatalf("got %v, want busy", err)
	}
	for _, want := range []string{"AccessExclusiveLock", "wanted", "postgres"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// Somebody holds a table for good: the backup waits for a while, says who it
// is, and makes nobody wait meanwhile.
func TestTableThatIsLockedIsBusy(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE held (id int)")
	holder := s.Connect(t, db)
	if _, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE held"); err != nil {
		t.Fatal(err)
	}
	_, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1, LockPatience: 10 * time.Millisecond}, newMemory())
	if !errors.Is(err, envdb.ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d of postgres", holder.PgConn().PID())) {
		t.Errorf("got %v, want busy, with the process that holds the table", err)
	}
}

// takeWaits polls until the condition holds.
func takeWaits(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Error("waited in vain")
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Money moves between two tables and within one; no backup may see a moment at
// which some of it was under way.
func TestSumIsExactWhileMoneyMoves(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db,
		"CREATE TABLE a (id int PRIMARY KEY, amount bigint, filler text) WITH (fillfactor = 50)",
		"CREATE TABLE b (id int PRIMARY KEY, amount bigint, filler text)",
		"INSERT INTO a SELECT n, 1000, repeat('x', 200) FROM generate_series(1, 500) n",
		"INSERT INTO b SELECT n, 1000, repeat('x', 200) FROM generate_series(1, 500) n")
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 2 {
		conn := s.Connect(t, db)
		writers.Go(func() {
			for ctx.Err() == nil {
				amount, from, to := rand.IntN(100), 1+rand.IntN(500), 1+rand.IntN(500)
				_, err := conn.Exec(ctx, "WITH x AS (UPDATE a SET amount = amount - $1 WHERE id = $2) UPDATE b SET amount = amount + $1 WHERE id = $3", amount, from, to)
				if err != nil && ctx.Err() == nil {
					t.Errorf("move money: %v", err)
					return
				}
			}
		})
	}
	for range 20 {
		m := newMemory()
		c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 2}, m)
		if err != nil {
			t.Fatal(err)
		}
		sum := sumOfColumn(t, m, table(t, c, "public.a"), 1) + sumOfColumn(t, m, table(t, c, "public.b"), 1)
		if sum != 1_000_000 {
			t.Errorf("the sum is %d, want 1000000", sum)
		}
	}
	stop()
	writers.Wait()
}
