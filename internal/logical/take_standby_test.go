package logical_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// standbyOf makes another cluster a standby of the primary.
func standbyOf(t *testing.T, primary *pgtest.Server) *pgtest.Server {
	t.Helper()
	standby := pgtest.StartOwn(t, pgtest.Options{})
	if err := standby.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(standby.Data())
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(standby.Data())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(standby.Data(), e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	programs, err := cluster.Find(primary.Major())
	if err != nil {
		t.Fatal(err)
	}
	env, err := postgres.ToolEnv(primary.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(filepath.Join(programs.Dir, "pg_basebackup"), "--pgdata="+standby.Data(), "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	command.Env, command.Dir = env, "/"
	if owner := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	if err := standby.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	return standby
}

// A standby can be backed up, but for what it does not have: the rows of
// unlogged tables, which PostgreSQL does not replicate.
func TestStandbyIsBackedUpWithoutUnloggedRows(t *testing.T) {
	t.Parallel()
	primary := pgtest.StartOwn(t, pgtest.Options{})
	db := primary.CreateDatabase(t)
	primary.Exec(t, db,
		"CREATE TABLE kept (id serial); INSERT INTO kept SELECT FROM generate_series(1, 10)",
		"CREATE UNLOGGED TABLE lost (id serial); INSERT INTO lost SELECT FROM generate_series(1, 10)",
		"SELECT lo_from_bytea(0, 'x')")
	standby := standbyOf(t, primary)
	url := standby.URLAs(cluster.Superuser, primary.Password(), db)
	m := newMemory()
	c, err := logical.Take(t.Context(), logical.Source{URL: url, Jobs: 2}, m)
	if err != nil {
		t.Fatal(err)
	}
	kept, lost := table(t, c, "public.kept"), table(t, c, "public.lost")
	if !c.Server.Standby || kept.Rows != 10 || lost.Rows != 0 || !lost.SchemaOnly || c.LargeObjects.Count != 1 {
		t.Errorf("standby %t, kept %+v, lost %+v, %+v", c.Server.Standby, kept, lost, c.LargeObjects)
	}
	notes := strings.Join(c.Notes, "\n")
	for _, want := range []string{`unlogged table "public"."lost"`, `unlogged sequence "public"."lost_id_seq"`} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes %q do not say %q", notes, want)
		}
	}
	for _, q := range c.Sequences {
		if q.Name == "lost_id_seq" && (q.LastValue != 1 || q.IsCalled) {
			t.Errorf("got %+v, want the start value", q)
		}
	}
	checkChunks(t, m, c)
}
