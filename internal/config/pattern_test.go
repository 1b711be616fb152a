package config_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"pgregory.net/rapid"
)

const patterned = `
project: acme
store: {url: store}
environments:
  prod: {tier: production, url: "${PROD_DATABASE_URL}"}
  qa: {tier: qa, url: "postgres://localhost/test_taken"}
  test-declared: {tier: test, url: "postgres://localhost/declared"}
  test-*: {tier: test, url: "postgres://app:${PASSWORD}@localhost:5433/test_{name}?sslmode=disable", ttl: 7d, idle: 2d, labels: {team: core}}
  test-big-*: {tier: test, url: "postgres://localhost/big_{name}", direct_url: "host=db dbname=big_{name}", maintenance_db: "m_{name}", pooler: {admin: "postgres://pool/pgbouncer", database: "p_{name}"}}
  release-*: {tier: release, url: "env:RELEASE_URL"}
  literal: {tier: dev, url: "postgres://localhost/{name}"}
`

func patternConfig(t *testing.T, environ ...string) *config.Config {
	t.Helper()
	return load(t, patterned, append([]string{"PASSWORD=a{name}b", "RELEASE_URL=postgres://localhost/r_{name}", "PROD_DATABASE_URL=postgres://prod/shop"}, environ...)...)
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	c := patternConfig(t)
	for name, want := range map[string]struct{ pattern, url string }{
		"test-feature-x": {"test-*", "postgres://app:a{name}b@localhost:5433/test_feature_x?sslmode=disable"},
		"test-1":         {"test-*", "postgres://app:a{name}b@localhost:5433/test_1?sslmode=disable"},
		"test-big-job":   {"test-big-*", "postgres://localhost/big_job"},
		"test-big-":      {"test-*", "postgres://app:a{name}b@localhost:5433/test_big_?sslmode=disable"},
		"release-1.2":    {"release-*", "postgres://localhost/r_1.2"},
		"test-declared":  {"", "postgres://localhost/declared"},
		"literal":        {"", "postgres://localhost/{name}"},
	} {
		env, err := c.Environment(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if env.Name != name || env.Pattern != want.pattern || env.URL.Reveal() != want.url {
			t.Errorf("%s is %s of %q at %s, want %q at %s", name, env.Name, env.Pattern, env.URL.Reveal(), want.pattern, want.url)
		}
	}
	env, err := c.Environment("test-x")
	if err != nil || env.TTL != 7*envdb.Day || env.Idle != 48*time.Hour || env.Labels["team"] != "core" || env.Tier != envdb.Test || env.Jobs != c.Connections {
		t.Errorf("test-x is %+v, %v", env, err)
	}
	big, err := c.Environment("test-big-a_b")
	word, _ := strings.CutPrefix(big.URL.Reveal(), "postgres://localhost/big_")
	if err != nil || big.DirectURL.Reveal() != "host=db dbname=big_"+word || big.MaintenanceDB != "m_"+word || big.Pooler.Database != "p_"+word {
		t.Errorf("test-big-a_b is %+v, %v", big, err)
	}
}

func TestPatternsAreListedApart(t *testing.T) {
	t.Parallel()
	c := patternConfig(t)
	if got := strings.Join(c.Names(), " "); got != "prod qa test-declared literal" {
		t.Errorf("names: %s", got)
	}
	var patterns []string
	for _, p := range c.Patterns() {
		patterns = append(patterns, p.Name)
		if p.URL != "" {
			t.Errorf("%s has the URL %s", p.Name, p.URL)
		}
	}
	if got := strings.Join(patterns, " "); got != "test-* test-big-* release-*" {
		t.Errorf("patterns: %s", got)
	}
	for _, env := range c.Environments() {
		if strings.Contains(env.Name, "*") {
			t.Errorf("%s is among the environments", env.Name)
		}
	}
}

func TestNamesOfNoPattern(t *testing.T) {
	t.Parallel()
	c := patternConfig(t)
	for _, name := range []string{"", "test-", "tst-x", "xtest-1", "test-a@b", "test-a/b", "test-a b", "test-*", "Test-x", "TEST-DECLARED", "test-Declared", "test-" + strings.Repeat("x", 80)} {
		if env, err := c.Environment(name); !errors.Is(err, envdb.ErrNotFound) {
			t.Errorf("%q is %+v, %v", name, env, err)
		}
	}
	for name, want := range map[string]string{
		"test-":    `there is no environment "test-": nothing is in the place of the star of test-*`,
		"test-a/b": `there is no environment "test-a/b": name "test-a/b" holds '/'`,
	} {
		if _, err := c.Environment(name); err == nil || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := c.Environment("tst-x")
	if _, next := envdb.Advice(err); !strings.Contains(next, "test-*") {
		t.Errorf("next: %s", next)
	}
}

func TestPatternWhoseReferenceIsUnset(t *testing.T) {
	t.Parallel()
	c := load(t, patterned)
	env, err := c.Environment("test-x")
	if !errors.Is(err, config.ErrUnset) || env.Name != "test-x" || env.Pattern != "test-*" || env.Tier != envdb.Test || env.URL != "" {
		t.Errorf("got %+v, %v", env, err)
	}
	c = patternConfig(t, "RELEASE_URL=postgres://localhost/all")
	if _, err := c.Environment("release-1"); err == nil || !strings.HasPrefix(err.Error(), "envdb.yaml:10:") || !strings.Contains(err.Error(), "has no {name} in the name of the database") {
		t.Errorf("got %v", err)
	}
}

// What a pattern and a declared environment would share is refused.
func TestTwinOfADeclaredEnvironment(t *testing.T) {
	t.Parallel()
	l := place(t, strings.ReplaceAll(patterned, "localhost:5433", "localhost"), "PASSWORD=p")
	write(t, filepath.Join(l.WorkDir, "none"), "")
	c, err := l.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Environment("test-taken")
	if !errors.Is(err, envdb.ErrRefused) || !strings.Contains(err.Error(), "that of qa too") {
		t.Errorf("got %v", err)
	}
	if strings.Contains(report(err), "app:p") {
		t.Errorf("the error shows a password: %v", err)
	}
}

// Names that differ never meet in one database, whose name PostgreSQL keeps
// whole.
func TestNamesNeverShareADatabase(t *testing.T) {
	t.Parallel()
	c := patternConfig(t)
	database := func(name string) string {
		env, err := c.Environment(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, rest, _ := strings.Cut(env.URL.Reveal(), ":5433/")
		base, _, _ := strings.Cut(rest, "?")
		if base == "" {
			base = env.URL.Reveal()
		}
		return base
	}
	for _, near := range [][]string{
		{"test-feature-x", "test-feature_x", "test-feature.x", "test-Feature-x", "test-feature-X", "test-feature-é", "test-feature-ü"},
		{"test-" + strings.Repeat("a", 57), "test-" + strings.Repeat("a", 58), "test-" + strings.Repeat("a", 56) + "b"},
	} {
		seen := map[string]string{}
		for _, name := range near {
			d := database(name)
			if other, twice := seen[d]; twice {
				t.Errorf("%s and %s share %s", name, other, d)
			}
			seen[d] = name
			// What would be the hashed name of another is hashed itself.
			word := strings.TrimPrefix(d, "test_")
			if again := "test-" + strings.ReplaceAll(word, "_", "-"); again != name && database(again) == d {
				t.Errorf("%s and %s share %s", name, again, d)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-cA-C][a-cA-C0-1._é-]{0,30}`), 2, 2, rapid.ID[string]).Draw(t, "names")
		a, b := database("test-"+names[0]), database("test-"+names[1])
		if a == b {
			t.Fatalf("%q share %s", names, a)
		}
		if len(a) > 63 || len(b) > 63 {
			t.Fatalf("%s, %s: too long", a, b)
		}
	})
}
