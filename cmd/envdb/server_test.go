package main

import (
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/equal"
)

// serverCommand is the script command "server NAME": it starts an empty
// cluster that ends with the script.
func serverCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: server NAME")
	}
	s := sceneOf(ts)
	fresh := pgtest.StartOwn(s.t, pgtest.Options{})
	s.servers[args[0]], s.databases[args[0]] = fresh, s.databases["prod"]
	s.passwords = append(s.passwords, fresh.Password())
	ts.Setenv(strings.ToUpper(args[0])+"_URL", fresh.URL(s.databases["prod"]).Reveal())
}

// sameCommand is the script command "same SERVER": what is there must be what
// production has, definitions with owners and rights, rows, sequences, large
// objects and settings.
func sameCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: same SERVER")
	}
	s := sceneOf(ts)
	found, err := equal.Diff(s.t.Context(), s.servers["prod"].URL(s.databases["prod"]), s.servers[args[0]].URL(s.databases[args[0]]), equal.Options{
		Parts: []equal.Part{equal.Definitions, equal.Rows, equal.Sequences, equal.LargeObjects, equal.MaterializedViews, equal.Settings, equal.Locale},
	})
	ts.Check(err)
	if len(found) > 0 {
		ts.Fatalf("%s is not the same as production:\n%s", args[0], strings.Join(found, "\n"))
	}
}
