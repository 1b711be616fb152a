package postgres_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// psql asks a real client program that is given nothing but ToolEnv.
func psql(t *testing.T, to envdb.ConnString, sql string) string {
	t.Helper()
	env, err := postgres.ToolEnv(to)
	if err != nil {
		t.Fatal(err)
	}
	tools, err := postgres.FindTools(t.Context(), postgres.Oldest)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tools.PSQL, "--no-psqlrc", "--no-password", "-AtXc", sql)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v: %s", err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func TestToolEnvCarriesOddPasswords(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for _, password := range []string{"plain", "p@ss:w/rd?#&=%41+", ` lead'ing "quotes" \ and spaces `, "ünïcödé✓", "$(id) `id` ;", "a%b%%20"} {
		role, _ := s.CreateRole(t, "")
		s.Exec(t, "postgres", "ALTER ROLE "+role+" PASSWORD "+postgres.Literal(password))
		for _, to := range []envdb.ConnString{
			s.URLAs(role, password, "postgres"),
			envdb.ConnString(strings.NewReplacer("USER", role, "PASSWORD", strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password),
				"DIR", s.SocketDir(), "PORT", strconv.Itoa(s.Port())).Replace("user=USER password='PASSWORD' host=DIR port=PORT dbname=postgres")),
		} {
			if got := psql(t, to, "SELECT current_user"); got != role {
				t.Errorf("password %q: came in as %q", password, got)
			}
			connect(t, to, postgres.Options{})
		}
	}
}

func TestToolEnvCarriesParameters(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	to := s.URL("postgres") + "?application_name=my%20app&work_mem=7MB&search_path=a%2C%20b&options=-c%20geqo%3Doff&timezone=Asia/Tokyo"
	const sql = `SELECT concat_ws('|', current_setting('application_name'), current_setting('work_mem'), current_setting('search_path'),
		current_setting('geqo'), current_setting('timezone'))`
	const want = "my app|7MB|a, b|off|Asia/Tokyo"
	if got := psql(t, to, sql); got != want {
		t.Errorf("psql sees %q, want %q", got, want)
	}
}

func TestPinText(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for name, options := range map[string]string{"no options": "", "options": "&options=-c%20standard_conforming_strings%3Doff%20-c%20geqo%3Doff"} {
		env, err := postgres.ToolEnv(envdb.ConnString(s.URL("postgres").Reveal() + options))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(postgres.PinText(env), func(s string) bool { return strings.HasPrefix(s, "PGOPTIONS=") })
		if i < 0 {
			t.Fatalf("%s: no PGOPTIONS", name)
		}
		got := postgres.PinText(env)[i]
		on, off := strings.LastIndex(got, "standard_conforming_strings=on"), strings.LastIndex(got, "standard_conforming_strings=off")
		if on < off || on < 0 || !strings.Contains(got, `DateStyle=ISO,\ YMD`) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestToolEnvTable(t *testing.T) {
	dir := t.TempDir()
	services := filepath.Join(dir, "services")
	passwords := filepath.Join(dir, "passwords")
	write(t, services, "[prod]\nhost=service.example\nport=6000\nuser=su\ndbname=sdb\nsslmode=require\n")
	write(t, passwords, "pass.example:5432:db:u:from-file\n")
	t.Setenv("PGPASSFILE", passwords)
	t.Setenv("PGSSLMODE", "disable")
	t.Setenv("PGHOSTADDR", "192.0.2.1") // pgx does not heed it, so the tools must not
	t.Setenv("PGSERVICEFILE", services)

	tests := map[string]struct {
		to   envdb.ConnString
		want []string
	}{
		"ipv6":       {"postgres://u:p@[::1]:5433/db", []string{"PGHOST=::1", "PGPORT=5433", "PGUSER=u", "PGPASSWORD=p", "PGDATABASE=db", "PGSSLMODE=disable"}},
		"two hosts":  {"postgres://u:p@h1:1,[::2]:2/db?target_session_attrs=read-write", []string{"PGHOST=h1,::2", "PGPORT=1,2", "PGTARGETSESSIONATTRS=read-write"}},
		"one port":   {"postgres://u:p@h1,h2/db?port=7", []string{"PGHOST=h1,h2", "PGPORT=7"}},
		"ssl":        {"postgres://u:p@h/db?sslmode=require&sslnegotiation=postgres&sslsni=0", []string{"PGSSLMODE=require", "PGSSLNEGOTIATION=postgres", "PGSSLSNI=0"}},
		"ssl=true":   {"postgres://u:p@h/db?ssl=true", []string{"PGSSLMODE=require"}},
		"service":    {"service=prod host=given.example", []string{"PGHOST=given.example", "PGPORT=6000", "PGUSER=su", "PGDATABASE=sdb", "PGSSLMODE=require"}},
		"pass file":  {"postgres://u@pass.example/db", []string{"PGPASSWORD=from-file", "PGPORT=5432"}},
		"no db":      {"postgres://u:p@h", []string{"PGDATABASE=u"}},
		"at in user": {"postgres://a%40b:c%3Ad@h/x%2Fy", []string{"PGUSER=a@b", "PGPASSWORD=c:d", "PGDATABASE=x/y"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			env, err := postgres.ToolEnv(tt.to)
			if err != nil {
				t.Fatal(err)
			}
			for _, pair := range tt.want {
				if !slices.Contains(env, pair) {
					t.Errorf("no %s in %q", pair, slices.DeleteFunc(env, func(s string) bool { return !strings.HasPrefix(s, "PG") }))
				}
			}
			for _, name := range []string{"PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE"} {
				if slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, name+"=") }) {
					t.Errorf("%s is passed on", name)
				}
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pg_dump waited for ever for a server that took its connection and said
// nothing; the fault sweep found it.
func TestToolsDoNotWaitForEver(t *testing.T) {
	t.Parallel()
	for url, want := range map[envdb.ConnString]string{
		"postgres://u@127.0.0.1/db":                   "PGCONNECT_TIMEOUT=10",
		"postgres://u@127.0.0.1/db?connect_timeout=3": "PGCONNECT_TIMEOUT=3",
	} {
		env, err := postgres.ToolEnv(url)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(env, want) {
			t.Errorf("%s gives %q, want %s", url, env, want)
		}
	}
}
