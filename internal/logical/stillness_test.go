package logical_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// watched is a database of which a backup was taken.
type watched struct {
	server *pgtest.Server
	db     string
	source backup.Source
	then   *backup.Stillness
}

func watch(t *testing.T, s *pgtest.Server, db string) *watched {
	t.Helper()
	w := &watched{server: s, db: db}
	w.backUp(t)
	return w
}

func (w *watched) backUp(t *testing.T) {
	t.Helper()
	c, err := logical.Take(t.Context(), logical.Source{URL: w.server.URL(w.db), Jobs: 2}, newMemory())
	if err != nil {
		t.Fatal(err)
	}
	w.then = c.Stillness()
	w.source = backup.Source{
		SystemIdentifier: c.Server.SystemIdentifier, Timeline: c.Server.Timeline, PostmasterStart: c.Server.PostmasterStart,
		DatabaseOID: c.Database.OID,
	}
}

// changed returns what has changed since the backup.
func (w *watched) changed(t *testing.T) string {
	t.Helper()
	before := time.Now()
	now, err := logical.Look(t.Context(), logical.Source{URL: w.server.URL(w.db)})
	if err != nil {
		t.Fatal(err)
	}
	if early := before.Sub(now.Now); early > time.Second || time.Now().Before(now.Now) {
		t.Errorf("the moment is %s, and now is %s", now.Now, before)
	}
	return logical.Changed(w.source, w.then, now)
}

// still makes a server that nobody else writes to: the snapshot is that of the
// whole server.
func stillServer(t *testing.T) (*pgtest.Server, string) {
	t.Helper()
	s := pgtest.StartOwn(t, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE account (id bigserial PRIMARY KEY, balance int)", "INSERT INTO account (balance) SELECT 1 FROM generate_series(1, 100)",
		"CREATE SEQUENCE ticket", "CREATE SEQUENCE untouched", "SELECT lo_from_bytea(4711, 'x')", "CREATE ROLE reader")
	return s, db
}

// To take a backup, and to look, changes nothing: an idle database is the same
// for weeks. Reading does not count, nor does what writes no row.
func TestIdleDatabaseIsUnchanged(t *testing.T) {
	t.Parallel()
	s, db := stillServer(t)
	w := watch(t, s, db)
	for i := range 50 {
		if why := w.changed(t); why != "" {
			t.Fatalf("look %d: %s", i, why)
		}
		if i%10 == 0 {
			s.Exec(t, db, "SELECT sum(balance) FROM account", "CHECKPOINT", "BEGIN; SELECT count(*) FROM account; ROLLBACK")
		}
	}
	first := w.then
	w.backUp(t)
	if *first != *w.then {
		t.Errorf("two backups of an idle database found %+v and %+v", first, w.then)
	}
}

// Whatever changes the database is seen.
func TestEveryChangeIsSeen(t *testing.T) {
	t.Parallel()
	s, db := stillServer(t)
	for _, sql := range []string{
		"UPDATE account SET balance = 2 WHERE id = 1",
		"DELETE FROM account WHERE id = 99",
		"TRUNCATE account",
		"BEGIN; INSERT INTO account (balance) VALUES (5); ROLLBACK", // its sequence has moved
		"CREATE TABLE another (id int)",
		"ALTER TABLE account ADD note text",
		"COMMENT ON TABLE account IS 'the books'",
		"GRANT SELECT ON account TO reader",
		"ALTER ROLE reader SET work_mem = '5MB'",
		"ALTER DATABASE " + db + " SET work_mem = '5MB'",
		"COMMENT ON DATABASE " + db + " IS 'the shop'",
		"SELECT lo_put(4711, 0, 'y')",
		"SELECT nextval('ticket')",
		"SELECT nextval('ticket')",
		"SELECT setval('ticket', 5, false)",
		"SELECT setval('ticket', 5, true)",
		"CREATE SEQUENCE late",
		"DROP SEQUENCE late",
		"DO $$ BEGIN INSERT INTO account (balance) VALUES (1); EXCEPTION WHEN OTHERS THEN NULL; END $$", // a subtransaction
		"CREATE MATERIALIZED VIEW total AS SELECT sum(balance) FROM account",
		"REFRESH MATERIALIZED VIEW total",
	} {
		w := watch(t, s, db)
		if why := w.changed(t); why != "" {
			t.Fatalf("before %s: %s", sql, why)
		}
		s.Exec(t, db, sql)
		if w.changed(t) == "" {
			t.Errorf("%s: nothing has changed, it seems", sql)
		}
	}
}

// A nextval that writes no WAL moves no transaction id.
func TestNextvalWithoutTransactionIDIsSeen(t *testing.T) {
	t.Parallel()
	s, db := stillServer(t)
	s.Exec(t, db, "SELECT nextval('ticket')") // logs 32 ahead
	w := watch(t, s, db)
	s.Exec(t, db, "SELECT nextval('ticket')")
	if why := w.changed(t); why != "a sequence has moved" {
		t.Errorf("what has changed is %q, want the sequence", why)
	}
}

// A transaction that was open at the backup commits later, without a new
// transaction id: the highest one is the same before and after.
func TestOpenTransactionThatCommits(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"COMMIT", "ROLLBACK", "PREPARE TRANSACTION 'later'"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			s := pgtest.StartOwn(t, pgtest.Options{Settings: map[string]string{"autovacuum": "off", "max_prepared_transactions": "2"}})
			db := s.CreateDatabase(t)
			s.Exec(t, db, "CREATE TABLE account (balance int)")
			open := s.Connect(t, db)
			if _, err := open.PgConn().Exec(t.Context(), "BEGIN; INSERT INTO account VALUES (1)").ReadAll(); err != nil {
				t.Fatal(err)
			}
			w := watch(t, s, db)
			if why := w.changed(t); why != "" {
				t.Fatalf("while it is open: %s", why)
			}
			if _, err := open.PgConn().Exec(t.Context(), end).ReadAll(); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(end, "PREPARE") {
				if why := w.changed(t); why != "" {
					t.Fatalf("while it is prepared: %s", why)
				}
				s.Exec(t, db, "COMMIT PREPARED 'later'")
			}
			if w.changed(t) == "" {
				t.Error("nothing has changed, it seems")
			}
		})
	}
}

// After a restart, a crash or on another server nothing is known.
func TestRestartIsAChange(t *testing.T) {
	t.Parallel()
	s, db := stillServer(t)
	w := watch(t, s, db)
	if err := s.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	if why := w.changed(t); why != "the server was restarted" {
		t.Errorf("what has changed is %q", why)
	}
	other := w.source
	other.DatabaseOID++
	now, err := logical.Look(t.Context(), logical.Source{URL: s.URL(db)})
	if err != nil {
		t.Fatal(err)
	}
	other.PostmasterStart = now.Server.PostmasterStart
	if why := logical.Changed(other, w.then, now); why != "it is another database" {
		t.Errorf("what has changed is %q", why)
	}
	other.Timeline++
	if why := logical.Changed(other, w.then, now); !strings.HasPrefix(why, "the server is on timeline") {
		t.Errorf("what has changed is %q", why)
	}
	other.SystemIdentifier = "1"
	if why := logical.Changed(other, w.then, now); why != "it is another server" {
		t.Errorf("what has changed is %q", why)
	}
}

// A standby replays without telling: it is never unchanged. Promoted, it is on
// another timeline.
func TestStandbyIsNeverUnchanged(t *testing.T) {
	t.Parallel()
	primary, db := stillServer(t)
	standby := standbyOf(t, primary)
	url := standby.URLAs(cluster.Superuser, primary.Password(), db)
	c, err := logical.Take(t.Context(), logical.Source{URL: url, Jobs: 1}, newMemory())
	if err != nil {
		t.Fatal(err)
	}
	now, err := logical.Look(t.Context(), logical.Source{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	source := backup.Source{SystemIdentifier: c.Server.SystemIdentifier, Timeline: c.Server.Timeline, PostmasterStart: c.Server.PostmasterStart, DatabaseOID: c.Database.OID}
	if why := logical.Changed(source, c.Stillness(), now); why != "it is a standby" {
		t.Errorf("what has changed is %q", why)
	}
}

// Who may not read every sequence cannot tell.
func TestUnreadableSequenceIsNotUnchanged(t *testing.T) {
	t.Parallel()
	s, db := stillServer(t)
	name, password := s.CreateRole(t, "")
	s.Exec(t, db, "GRANT SELECT ON SEQUENCE ticket TO "+name)
	w := watch(t, s, db)
	now, err := logical.Look(t.Context(), logical.Source{URL: s.URLAs(name, password, db)})
	if err != nil {
		t.Fatal(err)
	}
	now.Stillness.Snapshot = w.then.Snapshot // making a role took a transaction
	if why := logical.Changed(w.source, w.then, now); why != "not every sequence may be read" {
		t.Errorf("what has changed is %q", why)
	}
	if why := logical.Changed(w.source, nil, now); !strings.HasPrefix(why, "it is not known") {
		t.Errorf("what has changed is %q", why)
	}
}

func BenchmarkLook(b *testing.B) {
	s := pgtest.StartOwn(b, pgtest.Options{})
	db := s.CreateDatabase(b)
	s.Exec(b, db, "DO $$ BEGIN FOR i IN 1..20 LOOP EXECUTE format('CREATE SEQUENCE s%s', i); END LOOP; END $$")
	for b.Loop() {
		if _, err := logical.Look(b.Context(), logical.Source{URL: s.URL(db)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/look")
}
