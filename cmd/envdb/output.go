package main

import (
	"io"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

// print writes a result to stdout: as JSON, or as text renders it. Both show
// the same struct.
func print[T any](a *app, result T, text func(io.Writer, T)) error {
	switch a.output {
	case "json":
		return console.JSON(a.stdout, result)
	case "table":
		text(a.stdout, result)
		return nil
	}
	return envdb.Fail(envdb.ErrMisuse, "-o %s: no such form", a.output).WithNext("use -o table or -o json")
}

// checkOutput refuses an unknown -o before anything runs.
func (a *app) checkOutput() error {
	return print(&app{output: a.output, stdout: io.Discard}, struct{}{}, func(io.Writer, struct{}) {})
}

// printPlan shows what would be executed.
func (a *app) printPlan(p *manager.Plan) error {
	return print(a, p, renderPlan)
}

// counted returns a number with its noun: "1 table", "26 tables".
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return console.Count(n) + " " + noun + "s"
}
