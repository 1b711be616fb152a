package logical_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// small is a database with a few of the things that can go wrong.
const small = `
CREATE TABLE parent (id int PRIMARY KEY, body text);
INSERT INTO parent SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i;
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent);
INSERT INTO child SELECT i, i FROM generate_series(1, 1000) i;
CREATE INDEX ON parent (body);
CREATE SEQUENCE numbers; SELECT nextval('numbers');`

func TestLoadFailures(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	m, taken := takenFrom(t, s, loadSource(t, s, small))
	tests := []struct {
		name   string
		change func(*logical.Catalogue, *loadable, *logical.Loading)
		before string // run in the target
		kind   error
		want   []string
	}{
		{
			name: "missing extension", kind: envdb.ErrPreflight, want: []string{"nosuch 1.2", "vector 0.5"},
			change: func(c *logical.Catalogue, _ *loadable, _ *logical.Loading) {
				c.Extensions = append(slices.Clone(c.Extensions), logical.Extension{Name: "nosuch", Version: "1.2"}, logical.Extension{Name: "vector", Version: "0.5"})
			},
		},
		{
			name: "older target", kind: envdb.ErrPreflight, want: []string{"the source was 99"},
			change: func(c *logical.Catalogue, _ *loadable, _ *logical.Loading) { c.Server.VersionNum = 990001 },
		},
		{
			name: "missing locale", kind: envdb.ErrPreflight, want: []string{"locale xx_YY.UTF-8"},
			change: func(c *logical.Catalogue, _ *loadable, _ *logical.Loading) {
				c.Database.LocaleProvider, c.Database.Collate = "c", "xx_YY.UTF-8"
			},
		},
		{
			name: "damaged chunk", want: []string{"load table public.parent", "table/public/parent from chunk 0", "pack 7 is damaged"},
			change: func(_ *logical.Catalogue, m *loadable, _ *logical.Loading) {
				m.fetch = func(r backup.Ref) error {
					if r.Part == "table/public/parent" {
						return errors.New("pack 7 is damaged")
					}
					return nil
				}
			},
		},
		{
			name: "damaged schema", want: []string{"schema", "pack 7 is damaged"},
			change: func(_ *logical.Catalogue, m *loadable, _ *logical.Loading) {
				m.fetch = func(r backup.Ref) error {
					if r.Part == logical.PartArchive {
						return errors.New("pack 7 is damaged")
					}
					return nil
				}
			},
		},
		{
			name: "no schema", kind: envdb.ErrVerification, want: []string{"no schema"},
			change: func(_ *logical.Catalogue, m *loadable, _ *logical.Loading) { m.memory = newMemory() },
		},
		{
			name: "unlisted error", before: "CREATE TABLE child ()",
			want: []string{"restore TABLE public.child", "already exists", "SQLSTATE 42P07"},
		},
		{
			name: "rows that do not fit", before: "ALTER DATABASE @db SET search_path = nowhere",
			want: []string{"load table public.parent", "SQLSTATE 22"},
			change: func(c *logical.Catalogue, _ *loadable, _ *logical.Loading) {
				c.Tables = slices.Clone(c.Tables)
				for i := range c.Tables {
					c.Tables[i].Columns = slices.Clone(c.Tables[i].Columns)
					slices.Reverse(c.Tables[i].Columns)
				}
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cat, backup := *taken, &loadable{memory: m.memory}
			database := target.CreateDatabase(t)
			l := logical.Loading{URL: target.URL(database), Jobs: 2}
			if test.change != nil {
				test.change(&cat, backup, &l)
			}
			if test.before != "" {
				target.Exec(t, database, strings.ReplaceAll(test.before, "@db", database))
			}
			_, err := logical.Load(t.Context(), l, backup, &cat)
			if err == nil {
				t.Fatal("loaded")
			}
			if test.kind != nil && !errors.Is(err, test.kind) {
				t.Errorf("kind of %v, want %v", err, test.kind)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
			if state, next := envdb.Advice(err); state == "" || test.kind != nil && next == "" {
				t.Errorf("%v: state %q, next %q", err, state, next)
			}
		})
	}
}

func TestMissingExtensionSaysHowToGetIt(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	conn := s.Connect(t, "postgres")
	cat := &logical.Catalogue{Extensions: []logical.Extension{{Name: "vector", Version: "0.5"}, {Name: "pg_cron", Version: "1.4"}}}
	_, err := logical.Preflight(t.Context(), conn, cat, logical.PreflightOptions{})
	if _, next := envdb.Advice(err); !strings.Contains(next, "-pgvector") || !strings.Contains(next, "-cron") || !strings.Contains(next, "extensions.skip") {
		t.Errorf("next is %q", next)
	}
	skip := logical.PreflightOptions{SkipExtensions: []string{"vector", "pg_cron"}}
	if findings, err := logical.Preflight(t.Context(), conn, cat, skip); err != nil || len(findings.Notes) != 2 {
		t.Errorf("skipped: %v, %v", findings.Notes, err)
	}
}

// TestInterruptedLoadLeavesNoSession cancels a load while a session is in the
// middle of a COPY.
func TestInterruptedLoadLeavesNoSession(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	m, cat := takenFrom(t, s, loadSource(t, s, small))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.fetch = func(r backup.Ref) error {
		if strings.HasPrefix(r.Part, "table/") {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	database := s.CreateDatabase(t)
	_, err := logical.Load(ctx, logical.Loading{URL: s.URL(database), App: "envdb/interrupted", Jobs: 2}, m, cat)
	if !errors.Is(err, envdb.ErrInterrupted) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, func() bool {
		return s.QueryText(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = "+postgres.Literal(database)) == "0"
	})
}

// eventually polls until ok, for as long as a slow machine may need.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestCheckFindsWhatIsWrong changes a loaded database, and expects each change
// to be named.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	m, cat := takenFrom(t, s, loadSource(t, s, small, "CREATE MATERIALIZED VIEW sums AS SELECT count(*) FROM parent", "SELECT lo_create(77)"))
	database, loaded := loadInto(t, target, m, cat, logical.Loading{})
	x := logical.Expect{Loaded: loaded}
	if _, err := checkCopy(t, target, database, cat, x); err != nil {
		t.Fatal(err)
	}
	target.Exec(t, database,
		"DROP INDEX parent_body_idx", "DELETE FROM child WHERE id = 7", "SELECT nextval('numbers')", "SELECT lo_unlink(77)",
		"REFRESH MATERIALIZED VIEW sums WITH NO DATA", "CREATE VIEW more AS SELECT 1", "ALTER TABLE parent ALTER body SET NOT NULL")
	report, err := checkCopy(t, target, database, cat, x)
	if !errors.Is(err, envdb.ErrVerification) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"missing index public.parent_body_idx", "different rows public.child: 999 rows, 1000 in the backup",
		"different sequence public.numbers: at 2", "different large objects", "different materialized view public.sums",
		"extra view public.more", "different column public.parent.body",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q: %v", want, err)
		}
	}
	if report.Checks[0].Outcome != logical.Failed {
		t.Errorf("objects: %s", report.Checks[0].Outcome)
	}
}

// TestTemplate loads databases whose schema public and plpgsql are not as
// every database begins with.
func TestTemplate(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	for name, sql := range map[string]string{
		"empty":           "SELECT 1",
		"public dropped":  "DROP SCHEMA public; CREATE SCHEMA app; CREATE TABLE app.t (id int)",
		"public made new": "DROP SCHEMA public; CREATE SCHEMA public; CREATE TABLE public.t (id int); COMMENT ON SCHEMA public IS 'new'",
		"no plpgsql":      "DROP EXTENSION plpgsql",
		"public changed":  "REVOKE ALL ON SCHEMA public FROM PUBLIC; COMMENT ON SCHEMA public IS NULL; COMMENT ON EXTENSION plpgsql IS 'x'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, cat := takenFrom(t, s, loadSource(t, s, sql))
			database, loaded := loadInto(t, target, m, cat, logical.Loading{})
			if _, err := checkCopy(t, target, database, cat, logical.Expect{Loaded: loaded}); err != nil {
				t.Error(err)
			}
		})
	}
}
