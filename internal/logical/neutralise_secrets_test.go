package logical_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// dumped returns what pg_dump writes of a database.
func dumped(t *testing.T, s *pgtest.Server, database string) string {
	t.Helper()
	tools, err := postgres.FindTools(t.Context(), s.Major())
	if err != nil {
		t.Fatal(err)
	}
	env, err := postgres.ToolEnv(s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tools.Dump)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("pg_dump: %v: %s", err, out)
	}
	return string(out)
}

// secretive is a database with secrets in its definitions, each written "SEC",
// in all the places that take options.
const secretive = `
CREATE SUBSCRIPTION "su'b1" CONNECTION 'postgresql://u@127.0.0.1/x?p%61ssword=SEC1' PUBLICATION p WITH (connect = false);
CREATE SUBSCRIPTION connection CONNECTION 'host=a options=''-c a=SEC2'' passfile=C:\SEC3' PUBLICATION "slot_name", q WITH (connect = false, slot_name = 'feed', binary = true);
CREATE SUBSCRIPTION none CONNECTION 'user=u password=SEC4' PUBLICATION p WITH (connect = false, slot_name = NONE);
CREATE FOREIGN DATA WRAPPER "W x" OPTIONS (debug 'true', "Api Key" 'SEC5');
CREATE SERVER "S.x" TYPE 't' FOREIGN DATA WRAPPER "W x" OPTIONS (host 'h', "PassWord" 'SEC6', aws_secret E'SEC7\\''),', note 'it''s (a) note, fine');
CREATE SERVER bare FOREIGN DATA WRAPPER "W x" OPTIONS (token 'SEC8');
CREATE SERVER address FOREIGN DATA WRAPPER "W x" OPTIONS (db 'mysql://u:SEC9@host/db', source 'PG:host=h p%61ssword=SEC10');
CREATE SERVER plain FOREIGN DATA WRAPPER "W x" OPTIONS (host 'h', url 'https://host/path');
CREATE FOREIGN TABLE "F.t" (options int OPTIONS (credentials 'SEC11'), b int OPTIONS (col 'B', passwd 'SEC12') DEFAULT 7, c int OPTIONS (col 'C')) SERVER "S.x" OPTIONS (sheet 'one', "Credentials" 'SEC13');
CREATE FOREIGN TABLE kept (a int OPTIONS (col 'A')) SERVER plain OPTIONS (sheet 'two');
COMMENT ON SERVER bare IS 'bare';`

func TestNeutralisedCopyHoldsNoSecretOfItsDefinitions(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	source := loadSource(t, s, secretive)
	if n := strings.Count(dumped(t, s, source), "SEC"); n != 13 {
		t.Fatalf("the source's dump holds %d secrets, want 13", n)
	}
	m, cat := takenFrom(t, s, source)
	database, loaded := loadInto(t, target, m, cat, logical.Loading{Neutralise: &logical.Neutralisation{}})

	dump := dumped(t, target, database)
	for line := range strings.Lines(dump) {
		if strings.Contains(line, "SEC") {
			t.Errorf("the copy's dump holds %s", line)
		}
	}
	for _, want := range []string{"host 'h'", "note 'it''s (a) note, fine'", "debug 'true'", "col 'B'", "col 'C'", "sheet 'one'", "sheet 'two'", "url 'https://host/path'", `PUBLICATION slot_name, q`, "binary = true"} {
		if !strings.Contains(dump, want) {
			t.Errorf("the copy's dump lacks %s", want)
		}
	}
	facts := strings.Join(loaded.Neutralised, "\n")
	for _, want := range []string{"option Api Key of foreign-data wrapper W x", "option token of server bare", "option passwd of column public.F.t.b", "option credentials of column public.F.t.options", "subscription su'b1", "connection string was replaced"} {
		if !strings.Contains(facts, want) {
			t.Errorf("the facts do not mention %q:\n%s", want, facts)
		}
	}
	if strings.Contains(facts, "SEC") {
		t.Errorf("the facts hold a secret:\n%s", facts)
	}

	x := logical.Expect{Loaded: loaded, Neutralised: true}
	report, err := checkCopy(t, target, database, cat, x)
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, d := range report.Checks[0].Explained {
		if strings.Contains(d.Why, "options") {
			explained = append(explained, d.Class+" "+d.Identity)
		}
	}
	slices.Sort(explained)
	if got, want := strings.Join(explained, ", "), `column public."F.t".b, column public."F.t".options, foreign table public."F.t", foreign-data wrapper "W x", server "S.x", server address, server bare`; got != want {
		t.Errorf("explained %s, want %s", got, want)
	}

	// What the load did not say is found, and explains nothing.
	target.Exec(t, database, "ALTER SERVER plain OPTIONS (ADD password 'x')", "ALTER FOREIGN TABLE kept ALTER a OPTIONS (SET col 'Z')", "ALTER SUBSCRIPTION none CONNECTION 'host=elsewhere'")
	_, err = checkCopy(t, target, database, cat, x)
	for _, want := range []string{"different server plain", "different column public.kept.a", "extra secret option password of server plain", "extra connection of subscription none"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check says %v, want %q", err, want)
		}
	}
}

// A wrapper may insist on an option that is a secret: it gets a harmless value.
func TestOptionsThatAWrapperInsistsOnAreBlank(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	m, cat := takenFrom(t, s, loadSource(t, s, `CREATE FUNCTION strict(text[], oid) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN IF $2 = 'pg_catalog.pg_foreign_server'::regclass AND NOT EXISTS (SELECT FROM unnest($1) o WHERE o LIKE 'api_key=%') THEN RAISE 'api_key is required'; END IF; END $$;
		CREATE FOREIGN DATA WRAPPER w VALIDATOR strict; CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (api_key 'SEC', host 'h')`))
	database, loaded := loadInto(t, target, m, cat, logical.Loading{Neutralise: &logical.Neutralisation{}})
	if got := target.QueryText(t, database, "SELECT srvoptions FROM pg_foreign_server"); got != "{api_key=neutralised,host=h}" {
		t.Errorf("the options are %s", got)
	}
	if _, err := checkCopy(t, target, database, cat, logical.Expect{Loaded: loaded, Neutralised: true}); err != nil {
		t.Error(err)
	}
	raw, _ := loadInto(t, target, m, cat, logical.Loading{})
	if got := target.QueryText(t, raw, "SELECT srvoptions FROM pg_foreign_server"); got != "{api_key=SEC,host=h}" {
		t.Errorf("the options of a raw copy are %s", got)
	}
}

// A superuser lacks nothing: what is refused runs as the owner of an object.
func TestRefusalsNameWhoLacksWhat(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	owner, _ := s.CreateRole(t, "")
	q := postgres.Quote(owner)
	tests := []struct {
		name, source, before string
		want, next           []string
	}{
		{
			name: "matview", source: "CREATE TABLE hidden (id int); CREATE MATERIALIZED VIEW sums AS SELECT count(*) FROM hidden; ALTER MATERIALIZED VIEW sums OWNER TO " + q,
			want: []string{"refresh materialized view public.sums: permission denied for table hidden", "42501"},
			next: []string{"materialized view public.sums belongs to role " + owner, "grant " + owner},
		},
		{
			name: "function", source: "CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2'", before: "CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1'",
			want: []string{"restore FUNCTION public.twice(integer): ", "already exists", "42723"},
			next: []string{"function public.twice(integer)", "extension"},
		},
		{
			name: "other", source: "CREATE TABLE b (id int)", before: "DROP SCHEMA public",
			want: []string{"restore TABLE public.b", "3F000"}, next: []string{"table public.b"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, cat := takenFrom(t, s, loadSource(t, s, test.source))
			database := s.CreateDatabase(t)
			if test.before != "" {
				s.Exec(t, database, test.before)
			}
			_, err := logical.Load(t.Context(), logical.Loading{URL: s.URL(database)}, m, cat)
			if err == nil {
				t.Fatal("loaded")
			}
			state, next := envdb.Advice(err)
			if !containsEach(err.Error(), test.want) || !containsEach(next, test.next) || strings.Contains(next, "environment's url") || !strings.Contains(state, "half built") {
				t.Errorf("%v: state %q, next %q; want %q and next %q", err, state, next, test.want, test.next)
			}
		})
	}
}

func containsEach(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
}
