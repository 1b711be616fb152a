package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares text with a file of testdata.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs (-update writes it):\n--- got\n%s--- want\n%s", file, text, want)
	}
}

// report is an error as a person sees it.
func report(err error) string {
	state, next := envdb.Advice(err)
	return fmt.Sprintf("%v\nState: %s\nNext: %s\n", err, state, next)
}

// place makes a directory with an envdb.yaml and returns a loader for it.
func place(t *testing.T, text string, environ ...string) config.Loader {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, config.FileName), text)
	return config.Loader{Environ: environ, WorkDir: dir, SystemDir: filepath.Join(dir, "none")}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, text string, environ ...string) *config.Config {
	t.Helper()
	c, err := place(t, text, environ...).Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const small = `
project: acme
store: {url: store}
environments:
  prod: {tier: production, url: "${PROD_DATABASE_URL}"}
  qa: {tier: qa, url: "${QA_DATABASE_URL}"}
`

func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = place(t, string(text)).Load("", nil)
			if !errors.Is(err, envdb.ErrMisuse) {
				t.Fatalf("got %v, want ErrMisuse", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a password:\n%v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", report(err))
		})
	}
}

func TestFaultsHavePositions(t *testing.T) {
	t.Parallel()
	_, err := place(t, strings.ReplaceAll(small, "tier: qa", "teir: qa")).Load("", nil)
	var faults config.Faults
	if !errors.As(err, &faults) || len(faults) != 1 {
		t.Fatalf("got %v", err)
	}
	if f := faults[0]; f.File != "envdb.yaml" || f.Line != 6 || f.Column != 8 || f.Hint != `did you mean "tier"?` {
		t.Errorf("got %+v", f)
	}
}

func TestGoodFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l := place(t, string(text), "PROD_DATABASE_URL=postgres://app:s3cret@pool:6432/shop", "PROD_PASSWORD=wörd", "PGBOUNCER_URL=postgres://pool:6432/pgbouncer", "APP_SECRET=x")
	write(t, filepath.Join(l.WorkDir, "secrets/prod-copy-url"), "postgres://copy/shop_copy\n")
	c, err := l.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	store, err := c.Store()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "project %s, store %s, jobs %d, home %s, names %q\n", c.Project, store.URL, c.Connections, c.Home, c.Names())
	for _, w := range c.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, name := range c.Names() {
		env, err := c.Environment(name)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := json.MarshalIndent(env, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", shown)
		for _, name := range slices.Sorted(maps.Keys(env.Settings)) {
			fmt.Fprintf(&b, "SET %s = '%s'\n", name, env.Settings[name])
		}
	}
	for _, j := range c.Jobs() {
		fmt.Fprintf(&b, "job %s: %s\n", j.Name, j.Schedule)
	}
	shown, err := json.MarshalIndent(struct {
		Daemon        config.Daemon
		Notifications []config.Notification
	}{c.Daemon, c.Notifications()}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%s\n", shown)
	golden(t, "testdata/good.txt", strings.ReplaceAll(b.String(), l.WorkDir, "DIR"))

	prod, err := c.Environment("prod")
	if err != nil || prod.DirectURL.Reveal() != "postgres://envdb:wörd@db1:5432/shop?sslmode=require" {
		t.Errorf("direct_url is %q, %v", prod.DirectURL.Reveal(), err)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := load(t, small, "QA_DATABASE_URL=postgres://localhost/qa")
	env, err := c.Environment("qa")
	if err != nil {
		t.Fatal(err)
	}
	if env.KeepPrevious != 1 || env.Roles != config.MapRoles || env.Jobs != c.Connections || env.Jobs < 1 || env.ConnectionLimit != nil || env.Backup.Method != "logical" || env.Backup.MaxDuty != 0.25 || env.Protected() {
		t.Errorf("got %+v", env)
	}
	if c.Home != "/var/lib/envdb" || len(c.Warnings) != 0 {
		t.Errorf("home %s, warnings %v", c.Home, c.Warnings)
	}
}

func TestReferencesAreResolvedPerEnvironment(t *testing.T) {
	t.Parallel()
	c := load(t, small, "QA_DATABASE_URL=postgres://localhost/qa")
	if env, err := c.Environment("qa"); err != nil || env.URL != "postgres://localhost/qa" {
		t.Errorf("qa: %+v, %v", env, err)
	}
	env, err := c.Environment("prod")
	if !errors.Is(err, config.ErrUnset) || !errors.Is(err, envdb.ErrPreflight) {
		t.Errorf("prod: %v, want ErrUnset", err)
	}
	if env.Name != "prod" || !env.Protected() || env.URL != "" {
		t.Errorf("prod without its URL is %+v", env)
	}
	golden(t, "testdata/unset.txt", report(err))
	for _, env := range c.Environments() {
		if env.URL != "" || env.Name == "" || env.Jobs == 0 {
			t.Errorf("declared: %+v", env)
		}
	}
}

func TestURLVariable(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		`url: "${URL}"`:                                       "URL",
		`url: "env:URL"`:                                      "URL",
		`url: "${URL} "`:                                      "",
		`url: "${URL}?x"`:                                     "",
		`url: "postgres://u:${PASSWORD}@h/db"`:                "",
		`url: "postgres://h/db"`:                              "",
		`url: "env:URL", direct_url: "${DIRECT}"`:             "DIRECT",
		`url: "env:URL", direct_url: "postgres://other:1/db"`: "",
	} {
		c := load(t, "project: p\nstore: {url: s}\nenvironments:\n  prod: {tier: production, "+said+"}\n", "URL=postgres://h/db", "DIRECT=postgres://d/db", "PASSWORD=x")
		if env, err := c.Environment("prod"); err != nil || env.URLVariable != want {
			t.Errorf("%s: %q, %v", said, env.URLVariable, err)
		}
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ url, want, wrong string }{
		"variable":            {"${URL}", "postgres://h/db", ""},
		"env:":                {"env:URL", "postgres://h/db", ""},
		"inside":              {"postgres://u:${PASSWORD}@${HOST}/db", "postgres://u:p@h/db", ""},
		"escaped":             {"postgres://u:$${PASSWORD}@h/db", "postgres://u:${PASSWORD}@h/db", ""},
		"not looked at again": {"postgres://u:${TRICK}@h/db", "postgres://u:${PASSWORD}@h/db", ""},
		"hosts":               {"postgres://u:${PASSWORD}@a:1,b:2/db?target_session_attrs=read-write", "postgres://u:p@a:1,b:2/db?target_session_attrs=read-write", ""},
		"socket":              {"postgres:///db?host=/run/postgresql", "postgres:///db?host=/run/postgresql", ""},
		"raw @ in a password": {"postgres://u:${AT}@h/db", "postgres://u:p@ss:w@h/db", ""},
		"file":                {"file:url", "postgres://f/db", ""},
		"file://":             {"file://DIR/url", "postgres://f/db", ""},
		"keywords":            {"host=h dbname=db password=${PASSWORD}", "host=h dbname=db password=p", ""},
		"unset":               {"${NONE}", "", "the variable NONE is not set"},
		"empty":               {"env:EMPTY", "", "the variable EMPTY is empty"},
		"no file":             {"file:none", "", "no such file or directory"},
		"empty file":          {"file:empty", "", "empty is empty"},
		"directory":           {"file:.", "", "is not a small file"},
		"not a URL":           {"${PASSWORD}", "", "what it refers to is not a connection URL"},
		"no database":         {"postgres://${HOST}", "", "what it refers to names no database"},
		"needs encoding":      {"postgres://u:${SLASH}@h/db", "", "a user name or password with / ? or # in it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := place(t, "", "URL=postgres://h/db", "PASSWORD=p", "HOST=h", "EMPTY=", "TRICK=${PASSWORD}", "SLASH=top/secret", "AT=p@ss:w")
			write(t, filepath.Join(l.WorkDir, config.FileName), fmt.Sprintf("project: p\nstore: {url: s}\nenvironments:\n  qa:\n    tier: qa\n    url: %q\n", strings.ReplaceAll(c.url, "DIR", l.WorkDir)))
			write(t, filepath.Join(l.WorkDir, "url"), "postgres://f/db\r\n")
			write(t, filepath.Join(l.WorkDir, "empty"), "\n")
			loaded, err := l.Load("", nil)
			if err != nil {
				t.Fatal(err)
			}
			env, err := loaded.Environment("qa")
			if got := env.URL.Reveal(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if c.wrong == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.HasPrefix(err.Error(), "envdb.yaml:6:10: environments.qa.url: ") {
				t.Errorf("got %v, want %s", err, c.wrong)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

func TestLiteralPasswordsWarn(t *testing.T) {
	t.Parallel()
	for url, warns := range map[string]bool{
		"postgres://u:hunter2@h/db":            true,
		"postgres://u@h/db?password=hunter2":   true,
		"host=h dbname=db password=hunter2":    true,
		"postgres://u:pre${P}@h/db":            true,
		"postgres://u:${P}@h/db":               false,
		"postgres://u@h/db":                    false,
		"host=h dbname=db password=${P}":       false,
		"postgres://u@h/db?passfile=/x/pgpass": false,
	} {
		c := load(t, strings.ReplaceAll(small, "${QA_DATABASE_URL}", url))
		if got := len(c.Warnings) == 1; got != warns {
			t.Errorf("%s: warnings %v", url, c.Warnings)
		}
		for _, w := range c.Warnings {
			if strings.Contains(w.String(), "hunter2") || w.String() != "envdb.yaml:6: environments.qa.url holds a password; write ${NAME}, env:NAME or file:PATH instead" {
				t.Errorf("warning %s", w)
			}
		}
	}
}

func TestUnknownEnvironment(t *testing.T) {
	t.Parallel()
	c := load(t, small)
	for name, want := range map[string]string{
		"qaa":  `did you mean "qa"? envdb.yaml has prod, qa`,
		"PROD": `did you mean "prod"? envdb.yaml has prod, qa`,
		"x":    "envdb.yaml has prod, qa",
	} {
		_, err := c.Environment(name)
		if !errors.Is(err, envdb.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if _, next := envdb.Advice(err); next != want {
			t.Errorf("%s: %s, want %s", name, next, want)
		}
	}
}

func TestOverlays(t *testing.T) {
	t.Parallel()
	l := place(t, small+"jobs: 2\nhome: h\n", "ENVDB_PROJECT=from.Env", "ENVDB_JOBS=5", "ENVDB_STORE_URL=other", "ENVDB_HOME=/var/x", "ENVDB_PROJECTS=?", "ENVDB_STOREURL=typo", "ENVDB_ELSE=1")
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.Int("jobs", 1, "")
	flags.String("project", "default", "")
	if err := flags.Parse([]string{"--jobs", "7"}); err != nil {
		t.Fatal(err)
	}
	c, err := l.Load("", flags)
	if err != nil {
		t.Fatal(err)
	}
	store, err := c.Store()
	if err != nil {
		t.Fatal(err)
	}
	if c.Project != "from.Env" || c.Connections != 7 || c.Home != "/var/x" || store.URL != filepath.Join(l.WorkDir, "other") {
		t.Errorf("project %s, jobs %d, home %s, store %s", c.Project, c.Connections, c.Home, store.URL)
	}
	if env := c.Environments()[0]; env.Jobs != 7 {
		t.Errorf("jobs of %s: %d", env.Name, env.Jobs)
	}
	want := []string{"the variable ENVDB_PROJECTS is not one of envdb's; did you mean ENVDB_PROJECT?", "the variable ENVDB_STOREURL is not one of envdb's; did you mean ENVDB_STORE_URL?"}
	var got []string
	for _, w := range c.Warnings {
		got = append(got, w.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("warnings %q, want %q", got, want)
	}
}

func TestOverlaysNeedNoKeyInTheFile(t *testing.T) {
	t.Parallel()
	c := load(t, "environments: {qa: {tier: qa, url: \"${QA}\"}}\n", "ENVDB_PROJECT=p", "ENVDB_STORE_URL=file:///s%20x")
	if store, err := c.Store(); err != nil || store.URL != "/s x" || c.Project != "p" {
		t.Errorf("project %s, store %s, %v", c.Project, store.URL, err)
	}
}

func TestBadOverlays(t *testing.T) {
	t.Parallel()
	for pair, want := range map[string]string{
		"ENVDB_JOBS=many":               `ENVDB_JOBS: "many" is not a number from 1 to 128`,
		"ENVDB_JOBS=0":                  `ENVDB_JOBS: "0" is not a number from 1 to 128`,
		"ENVDB_PROJECT=a b":             `ENVDB_PROJECT: name "a b" holds ' '`,
		"ENVDB_STORE_URL=file://host/x": "ENVDB_STORE_URL: names the host host",
		"ENVDB_STORE_URL=sftp://host/x": "ENVDB_STORE_URL: has the unknown scheme sftp",
		"ENVDB_STORE_URL=~/x":           "ENVDB_STORE_URL: begins with ~, which is not expanded",
		"ENVDB_STORE_URL=file:///100%":  "ENVDB_STORE_URL: has a % that is not followed by two hexadecimal digits",
	} {
		_, err := place(t, small, pair).Load("", nil)
		if err == nil || err.Error() != want || !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("%s: %v, want %s", pair, err, want)
		}
		if _, next := envdb.Advice(err); next == "" {
			t.Errorf("%s: no advice", pair)
		}
	}
}

func TestStoreByReference(t *testing.T) {
	t.Parallel()
	c := load(t, strings.ReplaceAll(small, "url: store", "url: \"${DIR}/store\""), "QA_DATABASE_URL=postgres://h/qa")
	if _, err := c.Environment("qa"); err != nil {
		t.Errorf("an environment needs the store: %v", err)
	}
	if _, err := c.Store(); !errors.Is(err, config.ErrUnset) {
		t.Errorf("got %v, want ErrUnset", err)
	}
	c = load(t, strings.ReplaceAll(small, "url: store", "url: env:DIR"), "DIR=file:///backups/./x")
	if store, err := c.Store(); err != nil || store.URL != "/backups/x" {
		t.Errorf("got %s, %v", store.URL, err)
	}
	c = load(t, strings.ReplaceAll(small, "url: store", "url: env:DIR"), "DIR=s3://key:hunter2@backups/x")
	if _, err := c.Store(); err == nil || err.Error() != "store.url holds credentials (or an @), which do not belong into it" {
		t.Errorf("got %v", err)
	}
}

func TestWhereTheFileIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := config.Loader{WorkDir: filepath.Join(dir, "work"), HomeDir: filepath.Join(dir, "home"), SystemDir: filepath.Join(dir, "etc")}
	_, err := l.Load("", nil)
	if !errors.Is(err, envdb.ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	golden(t, "testdata/nowhere.txt", strings.ReplaceAll(report(err), dir, "DIR"))

	// Each place is found before those that were there already.
	places := []string{"etc/envdb.yaml", "home/.config/envdb/envdb.yaml", "work/envdb.yaml", "named.yaml", "given.yaml"}
	for _, file := range places {
		write(t, filepath.Join(dir, file), strings.ReplaceAll(small, "acme", strings.ReplaceAll(file, "/", "-")))
		path := ""
		switch file {
		case "named.yaml":
			l.Environ = []string{"ENVDB_CONFIG=../named.yaml"}
		case "given.yaml":
			path = "../given.yaml"
		}
		c, err := l.Load(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Project != strings.ReplaceAll(file, "/", "-") || c.Path != filepath.Join(dir, file) {
			t.Errorf("found %s with %s, want %s", c.Path, c.Project, file)
		}
		if store, err := c.Store(); err != nil || store.URL != filepath.Join(filepath.Dir(c.Path), "store") {
			t.Errorf("the store of %s is %s, %v", file, store.URL, err)
		}
	}
	for _, path := range []string{"none.yaml", "."} {
		_, err := l.Load(path, nil)
		if _, next := envdb.Advice(err); err == nil || next == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
	if c, err := config.Load(filepath.Join(dir, "given.yaml"), nil); err != nil || c.Project != "given.yaml" {
		t.Errorf("Load: %v", err)
	}
}

func TestReadScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.sql"), "SELECT 1;")
	write(t, filepath.Join(dir, "empty.sql"), " \n")
	scripts, err := config.ReadScripts([]string{filepath.Join(dir, "a.sql")})
	if err != nil || len(scripts) != 1 || scripts[0].SQL != "SELECT 1;" {
		t.Errorf("got %v, %v", scripts, err)
	}
	for _, name := range []string{"none.sql", "empty.sql"} {
		if _, err := config.ReadScripts([]string{filepath.Join(dir, name)}); !errors.Is(err, envdb.ErrPreflight) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, filepath.Join(dir, "commit.sql"), "SELECT 1;\n  commit; DELETE FROM authors")
	if _, err := config.ReadScripts([]string{filepath.Join(dir, "commit.sql")}); !errors.Is(err, envdb.ErrMisuse) || !strings.Contains(err.Error(), "commit.sql:2:3: COMMIT") {
		t.Errorf("a script that ends its transaction: %v", err)
	}
}

// No file makes the reader panic or loop.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/bad/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := place(t, text).Load("", nil)
		if (c == nil) == (err == nil) {
			t.Errorf("%v and %v", c, err)
		}
	})
}

func TestResolveURL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "url"), "postgres://u:hunter2@f/db\n")
	l := config.Loader{WorkDir: dir, Environ: []string{"URL=postgres://u:hunter2@h/db", "BAD=hunter2"}}
	for given, want := range map[string]string{
		"postgres://h/db": "postgres://h/db", "env:URL": "postgres://u:hunter2@h/db", "file:url": "postgres://u:hunter2@f/db",
	} {
		if got, err := l.ResolveURL(given); err != nil || got.Reveal() != want {
			t.Errorf("%s: %s, %v", given, got, err)
		}
	}
	for given, want := range map[string]string{
		"env:NONE":                         "the URL: the variable NONE is not set",
		"postgres://u:hunter2@${NONE}/db":  "the URL: the variable NONE is not set",
		"file:none":                        "the URL: stat " + dir + "/none: no such file or directory",
		"env:BAD":                          "the URL is not a connection URL",
		"postgres://u:hunter2@h":           "the URL names no database",
		"":                                 "the URL is not a connection URL",
		"postgres://u:hunter2/x@localhost": "the URL is not a valid URL: a user name or password with / ? or # in it",
	} {
		_, err := l.ResolveURL(given)
		if err == nil || err.Error() != want || !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("%s: %v, want %s", given, err, want)
		}
	}
}
