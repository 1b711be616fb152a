package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/config"
)

// Names of tables are read as SQL reads them.
func TestTableNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`feature_flags`:       "|feature_flags",
		`API.Clients`:         "api|clients",
		`"API"."Clients"`:     "API|Clients",
		`shop."Ünï ""q"" T"`:  `shop|Ünï "q" T`,
		`Größe`:               "|größe",
		`ÄB.c$1`:              "Äb|c$1",
		`"a.b".c`:             "a.b|c",
		`a.`:                  "",
		`.a`:                  "",
		`a b`:                 "",
		`"a`:                  "",
		`"a"b`:                "",
		`""`:                  "",
		`a.b.c`:               "",
		`1a`:                  "",
		`a; DROP TABLE users`: "",
	} {
		text := fmt.Sprintf("%s    mirror: {from: prod, preserve: ['%s']}\n", strings.ReplaceAll(small, `qa: {tier: qa, url: "${QA_DATABASE_URL}"}`, "qa:\n    tier: qa\n    url: ${QA_DATABASE_URL}"), text)
		c, err := place(t, text).Load("", nil)
		got := ""
		if err == nil {
			table := c.Environments()[1].Mirror.Preserve[0].Table
			got = table.Schema + "|" + table.Name
		}
		if got != want {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// Secrets of a remap come from references, when the environment is used.
func TestRemapIsResolved(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(small, `qa: {tier: qa, url: "${QA_DATABASE_URL}"}`, `qa:
    tier: qa
    url: postgres://localhost/qa
    mirror:
      from: prod
      remap:
        servers: {Legacy: {host: sandbox, password: "env:SECRET", user_mapping: {user: app, password: file:key}}}
        rows:
          - {table: settings, set: {value: "lower('X')", token: env:SECRET, key: file:key}, where: "a = 1"}
          - {table: s.t, set: {v: "1"}, at_least: 0}
        must_not_contain: [live]`)
	c := load(t, text)
	if _, err := c.Environment("qa"); !errors.Is(err, config.ErrUnset) {
		t.Errorf("without the variable: %v", err)
	}
	l := place(t, text, "SECRET=it's ${x}")
	write(t, l.WorkDir+"/key", "from a file\n")
	c, err := l.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings %v", c.Warnings)
	}
	if c := load(t, strings.Replace(text, `password: "env:SECRET"`, "password: hunter2", 1)); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].String(), "remap.servers.Legacy.password holds a secret") {
		t.Errorf("warnings of a literal secret: %v", c.Warnings)
	}
	env, err := c.Environment("qa")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Remap{
		Servers: []config.RemapServer{{Name: "legacy", Options: []config.RemapOption{{Name: "host", Value: "sandbox"}, {Name: "password", Value: "it's ${x}"}},
			Mapping: []config.RemapOption{{Name: "user", Value: "app"}, {Name: "password", Value: "from a file"}}}},
		Rows: []config.RemapRows{
			{Entry: "envdb.yaml:14:13: environments.qa.mirror.remap.rows[0]", Table: config.TableName{Name: "settings"}, Where: "a = 1", AtLeast: 1, Set: []config.RemapColumn{
				{Name: "value", Value: "lower('X')"}, {Name: "token", Value: "it's ${x}", Literal: true}, {Name: "key", Value: "from a file", Literal: true},
			}},
			{Entry: "envdb.yaml:15:13: environments.qa.mirror.remap.rows[1]", Table: config.TableName{Schema: "s", Name: "t"}, Set: []config.RemapColumn{{Name: "v", Value: "1"}}},
		},
		MustNotContain: []string{"live"},
	}
	if got := fmt.Sprintf("%+v", env.Mirror.Remap); got != fmt.Sprintf("%+v", want) {
		t.Errorf("got %s\nwant %+v", got, want)
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	c := load(t, `
project: acme
store: {url: store}
environments:
  a: {tier: qa, url: "${A}", access: read}
  b: {tier: qa, url: "${B}", access: {role: "App Role", mode: read-write}}
  c: {tier: qa, url: "${C}"}
`)
	for i, want := range []config.Access{{Mode: config.ReadAccess}, {Role: "App Role", Mode: config.ReadWriteAccess}, {}} {
		if got := c.Environments()[i].Access; got != want || got.Declared() != (i < 2) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
