package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/s3test"
)

// TestMain lets the test binary be the command too: scripts run it as a
// process of its own, with real streams, signals and exit codes.
func TestMain(m *testing.M) {
	testscript.Main(s3test.Wrap(pgtest.Wrap(m)), map[string]func(){
		"envdb": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs testdata/script: what a person types, and what they read.
// Every script has a source and a target database on two clusters, and the
// roles that docs/getting-started.md creates. Its commands beside testscript's:
//
//	run CODE ARG…           run envdb, which must exit with CODE; neither stream
//	                        may hold a password, nor an identity but init's
//	secret ARG…             run envdb, whose output is meant to hold a password
//	sql SERVER STATEMENT…   run SQL as the superuser of SERVER (prod or copy), in
//	                        the script's own database there
//	rows SERVER QUERY WANT  the rows of a query, columns apart by |
//	await SERVER QUERY WANT wait until the rows are these
//	flip FILE               change one byte in the middle of a file
//	json CODE WORDS FACT…   run envdb -o json and look facts up; see jsonCommand
//	pick VAR REGEXP         set a variable to the first group of a match in stdout
//	server NAME             start an empty cluster of the script's own; NAME_URL
//	                        leads to where prod's database would be on it
//	same SERVER             the database is the same as prod's, all of it
//	user ACTION…            use the S3 keys of a new user who may do this with
//	                        the script's bucket; owner goes back to its owner
//	roles PREFIX PROJECT R=P…  make users who may do what docs/policies/P.json says
//	as ROLE                 use the S3 keys of such a user
//	ask STATUS METHOD KEY R…  what the S3 server answers such users' requests
//	refused PREFIX PROJECT P WORDS  the S3 server does not take a policy
//
// The variable S3_BUCKET names an empty bucket of the script's own, S3_ENDPOINT
// the server, and the owner's keys are where AWS's chain finds them.
func TestScripts(t *testing.T) {
	t.Parallel()
	buckets := s3test.Start(t)
	prod, copies := pgtest.Start(t), pgtest.StartOwn(t, pgtest.Options{Side: pgtest.Target, Settings: map[string]string{"max_prepared_transactions": "5"}})
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			newScene(e.T().(testing.TB), prod, copies, buckets).export(e)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"run": runCommand, "secret": secretCommand, "sql": sqlCommand, "rows": rowsCommand, "flip": flipCommand, "pick": pickCommand, "json": jsonCommand, "await": awaitCommand, "user": userCommand, "owner": ownerCommand, "server": serverCommand, "same": sameCommand, "roles": rolesCommand, "as": asCommand, "ask": askCommand, "refused": refusedCommand,
		},
	})
}

// scene is what one script plays on.
type scene struct {
	t         testing.TB
	servers   map[string]*pgtest.Server
	databases map[string]string
	passwords []string
	variables map[string]string
	s3        *s3test.Server
	bucket    string
	roles     map[string]s3test.User
}

type sceneKey struct{}

func newScene(t testing.TB, prod, copies *pgtest.Server, buckets *s3test.Server) *scene {
	s := &scene{
		t:         t,
		servers:   map[string]*pgtest.Server{"prod": prod, "copy": copies},
		databases: map[string]string{"prod": prod.CreateDatabase(t), "copy": copies.CreateDatabase(t)},
		passwords: []string{prod.Password(), copies.Password()},
		variables: map[string]string{},
		roles:     map[string]s3test.User{},
		s3:        buckets,
		bucket:    buckets.Bucket(t),
	}
	_, secret := buckets.Keys()
	s.passwords = append(s.passwords, secret)
	s.variables["S3_BUCKET"], s.variables["S3_ENDPOINT"] = s.bucket, buckets.Endpoint()
	s.role("PROD", "prod", "BYPASSRLS", "GRANT pg_read_all_data TO %s")
	s.role("COPY", "copy", "CREATEDB", "GRANT pg_signal_backend TO %s", "ALTER DATABASE "+postgres.Quote(s.databases["copy"])+" OWNER TO %s")
	fresh, err := postgres.WithDatabase(envdb.ConnString(s.variables["COPY_URL"]), s.databases["copy"]+"_new")
	if err != nil {
		t.Fatal(err)
	}
	s.variables["COPY_NEW_URL"] = fresh.Reveal()
	for variable, ending := range map[string]string{"COPY_TEST_URL": "_{name}", "COPY_RELEASE_URL": "_r_{name}", "COPY_SEED_URL": "_s_{name}"} {
		s.variables[variable] = strings.Replace(fresh.Reveal(), s.databases["copy"]+"_new", s.databases["copy"]+ending, 1)
	}
	t.Cleanup(func() { s.tidy(copies, s.databases["copy"]) })
	s.variables["PROD_ADMIN_URL"] = prod.URL(s.databases["prod"]).Reveal()
	s.variables["COPY_ADMIN_URL"] = copies.URL(s.databases["copy"]).Reveal()
	return s
}

// tidy drops the versions that a script made, so that its role can go.
func (s *scene) tidy(server *pgtest.Server, base string) {
	versions := server.QueryText(s.t, "postgres", "SELECT datname FROM pg_database WHERE starts_with(datname, "+postgres.Literal(base+"_")+")")
	for name := range strings.Lines(versions) {
		server.DropDatabase(s.t, strings.TrimSpace(name))
	}
}

// role makes the role that envdb uses on a server, and the variables that lead
// there: PROD_URL, PROD_ROLE and so on.
func (s *scene) role(prefix, server, attributes string, grants ...string) {
	at := s.servers[server]
	name, password := at.CreateRole(s.t, attributes)
	for _, grant := range grants {
		at.Exec(s.t, "postgres", fmt.Sprintf(grant, postgres.Quote(name)))
	}
	to := at.URLAs(name, password, s.databases[server])
	s.passwords = append(s.passwords, password, url.QueryEscape(password), url.PathEscape(password))
	s.variables[prefix+"_URL"] = to.Reveal()
	s.variables[prefix+"_ROLE"] = name
	s.variables[prefix+"_DB"] = s.databases[server]
	s.variables[prefix+"_PORT"] = strconv.Itoa(at.Port())
}

func (s *scene) export(e *testscript.Env) {
	e.Values[sceneKey{}] = s
	for name, value := range s.variables {
		e.Setenv(name, value)
	}
	for _, variable := range s.s3.Env() {
		name, value, _ := strings.Cut(variable, "=")
		e.Setenv(name, value)
	}
	e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
	e.Setenv("TZ", "UTC")
}

func sceneOf(ts *testscript.TestScript) *scene { return ts.Value(sceneKey{}).(*scene) }

// runCommand runs envdb and looks at its exit code and its secrecy.
func runCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: run CODE ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got, err := exitOf(ts.Exec("envdb", args[1:]...))
	ts.Check(err)
	for _, stream := range []string{"stdout", "stderr"} {
		for _, secret := range sceneOf(ts).passwords {
			if strings.Contains(ts.ReadFile(stream), secret) {
				ts.Fatalf("%s holds a password", stream)
			}
		}
		if testIdentity.MatchString(ts.ReadFile(stream)) && !slices.Contains(args, "init") {
			ts.Fatalf("%s holds an identity", stream)
		}
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if advises := strings.Contains(ts.ReadFile("stderr"), "\nNext: "); want != 0 && want != 5 && !advises && want != 9 {
		ts.Fatalf("the error has no Next: line")
	}
}

// testIdentity is what an identity looks like, not only the talk of one.
var testIdentity = regexp.MustCompile(`AGE-SECRET-KEY-1[A-Z0-9]{20}`)

func exitOf(err error) (int, error) {
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

func secretCommand(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("envdb", args...))
}

func sqlCommand(ts *testscript.TestScript, _ bool, args []string) {
	s := sceneOf(ts)
	s.servers[args[0]].Exec(s.t, s.databases[args[0]], args[1:]...)
}

func rowsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: rows SERVER QUERY WANT")
	}
	s := sceneOf(ts)
	got := s.servers[args[0]].QueryText(s.t, s.databases[args[0]], args[1])
	if (got == args[2]) == neg {
		ts.Fatalf("%s gives %q, want %q", args[1], got, args[2])
	}
}

// flipCommand damages a file as a bad disk does: its size stays.
func flipCommand(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	content[len(content)/2] ^= 0xff
	ts.Check(os.Chmod(path, 0o600))
	ts.Check(os.WriteFile(path, content, 0o600))
}

func pickCommand(ts *testscript.TestScript, _ bool, args []string) {
	found := compile(ts, args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("stdout does not match %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func compile(ts *testscript.TestScript, pattern string) *regexp.Regexp {
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	return re
}

// awaitCommand waits until a query gives the rows wanted.
func awaitCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: await SERVER QUERY WANT")
	}
	s := sceneOf(ts)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		if s.servers[args[0]].QueryText(s.t, s.databases[args[0]], args[1]) == args[2] {
			return
		}
	}
	ts.Fatalf("%s never gives %q", args[1], args[2])
}
