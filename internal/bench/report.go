package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// report is what is written down of a benchmark.
type report struct {
	began   time.Time
	took    time.Duration
	partial bool // not every row was measured, or not at full scale
	place   place
	results []result
	// byHand is the part that a person wrote, and that is kept.
	byHand string
}

// publish writes the report, if one is wanted.
func (b *bench) publish(ctx context.Context, results []result, began time.Time) error {
	if b.report == "" {
		return nil
	}
	where, err := b.describe(ctx)
	if err != nil {
		return err
	}
	kept, err := readByHand(b.report)
	if err != nil {
		return err
	}
	if most, any := peak(results); any {
		after := 1 + lastOf(results, "memory")
		results = slices.Insert(results, cmp.Or(after, len(results)), most)
	}
	r := report{
		began: began, took: time.Since(began), partial: b.rows != "" || b.scale.name != "full",
		place: where, results: results, byHand: kept,
	}
	if err := os.WriteFile(b.report, []byte(r.markdown()), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	b.say("wrote %s", b.report)
	return nil
}

// lastOf returns where the last result of a row is, or -1.
func lastOf(results []result, row string) int {
	for i, r := range slices.Backward(results) {
		if r.row == row {
			return i
		}
	}
	return -1
}

// Between these lines a person writes.
const (
	handBegins = "<!-- written by hand: what follows is kept when the figures are measured again -->"
	handEnds   = "<!-- the end of what is written by hand -->"
)

// readByHand returns what a person wrote into the report that is there.
func readByHand(file string) (string, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	_, rest, begins := strings.Cut(string(text), handBegins)
	kept, _, ends := strings.Cut(rest, handEnds)
	if !begins || !ends {
		return "", envdb.Fail(envdb.ErrRefused, "%s does not have the lines between which a person writes, so it is no report of this program", file).
			WithState("it is as it was").WithNext("name another file with -report, or remove it")
	}
	return strings.Trim(kept, "\n"), nil
}

// titles name the rows of the report.
func titles() map[string]string {
	return map[string]string{
		"backup":  "A first backup",
		"change":  "Later backups",
		"restore": "A restore",
		"mirror":  "Mirrors",
		"masking": "A masked mirror",
		"promote": "A promote under load",
		"reset":   "Resets",
		"seed":    "Seeds",
		"daemon":  "The daemon",
		"drill":   "Drills",
		"memory":  "Memory",
		"calls":   "Calls to the store",
	}
}

const introduction = `# Benchmarks

How fast and how small envdb is beside what one would use instead. ` + "`make bench`" + ` measured all figures in one run on one machine,
and wrote this page.

`

const howToRead = `## How to read this

* Everything is a whole process, from its start to its end, as a person would start it. The programs take turns (A B C, C B A, …) on the
  same databases, with the same servers, the same number of connections (` + "`jobs: %d`, `-j %d`" + `) and the same disk. Before each, both servers
  make a checkpoint and the kernel writes what it has. The databases were read once before, and are in memory.
* **Ratio** is the median time of the other program divided by envdb's: above 1, envdb is faster. min–max shows how far rounds
  differ; a ratio within that span says little.
* **CPU** is user and system time of the process with its children, **server CPU** that of both PostgreSQL servers meanwhile. Where both
  together come near the time multiplied by the number of processors, the machine is full, and only less work would be faster.
* **Largest process** is the peak of the resident memory of the largest process (envdb's children, such as pg_dump, are processes of their own);
  **all processes** is the highest sum over envdb or its peer and its children at one moment, read every 25 ms; pages that they share
  count twice.
* envdb encrypts (AES-256-GCM) unless it is told not to; its peers do not. A restore by envdb verifies every chunk, counts the rows of every
  table again and compares every object with the backup; that is in its time. A restore by pg_restore and a clone by pgcopydb are measured with the creation of
  the empty database, which envdb does itself, and with statistics: vacuumdb after pg_restore, pgcopydb's own.
* After each restore, mirror and clone the copy is compared with its source: the number of rows of each table (in the first round their
  length too), indexes, constraints, statistics. A difference fails the benchmark, and so does a process that fails.
* Mirrors are measured with ` + "`baseline: off`" + `, because their peers leave no copy for a reset either; resets with it.

`

// markdown writes the report.
func (r report) markdown() string {
	var w strings.Builder
	w.WriteString(introduction)
	if r.partial {
		w.WriteString("**This is not a whole run at full scale: it shows what was measured, and nothing else.**\n\n")
	}
	r.summary(&w)
	fmt.Fprintf(&w, "%s\n%s\n%s\n\n", handBegins, r.byHand, handEnds)
	fmt.Fprintf(&w, howToRead, r.place.jobs, r.place.jobs)
	r.machine(&w)
	w.WriteString("## The figures\n")
	var last string
	for _, one := range r.results {
		if one.row != last {
			fmt.Fprintf(&w, "\n### %s\n", titles()[one.row])
			last = one.row
		}
		one.markdown(&w)
	}
	return w.String()
}

// summary is the table of what was aimed at.
func (r report) summary(w *strings.Builder) {
	w.WriteString("| work | on | envdb | beside it | wanted | got | met |\n|---|---|---|---|---|---|---|\n")
	for _, one := range r.results {
		if one.verdict.target == "" {
			continue
		}
		envdb, other := "", ""
		if len(one.series) > 0 {
			envdb = seconds(one.series[0].wall()) + " s"
		}
		if best, any := one.beside(); any {
			other = best.who + " " + seconds(best.wall()) + " s"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | **%s** |\n", one.work, one.on, envdb, other, one.verdict.target, one.verdict.got, yes(one.verdict.met))
	}
	w.WriteString("\n")
}

// beside returns the fastest of the other programs, or of envdb's other ways
// if there is none.
func (r result) beside() (series, bool) {
	if len(r.series) < 2 {
		return series{}, false
	}
	others := slices.DeleteFunc(slices.Clone(r.series[1:]), series.isEnvdb)
	if len(others) == 0 {
		others = r.series[1:]
	}
	return slices.MinFunc(others, func(x, y series) int { return cmp.Compare(x.wall(), y.wall()) }), true
}

// machine says where and how it was measured.
func (r report) machine(w *strings.Builder) {
	fmt.Fprintf(w, "## Where and how\n\n| | |\n|---|---|\n| command | `%s` |\n| when | %s, in %s |\n", r.place.command, r.began.UTC().Format("2006-01-02 15:04 UTC"), r.took.Round(time.Second))
	for _, f := range r.place.facts {
		fmt.Fprintf(w, "| %s | %s |\n", f.name, f.value)
	}
	w.WriteString("\n")
}

// markdown writes one result.
func (r result) markdown(w *strings.Builder) {
	fmt.Fprintf(w, "\n**%s**, %s", r.work, r.on)
	if len(r.series) > 0 {
		fmt.Fprintf(w, " (%s)\n\n| | median s | min–max s | ratio | CPU s | server CPU s | largest process MiB | all processes MiB |\n|---|---|---|---|---|---|---|---|\n", rounds(len(r.series[0].samples)))
	} else {
		w.WriteString("\n\n")
	}
	for i, s := range r.series {
		ratio := ""
		if i > 0 {
			ratio = fmt.Sprintf("%.2f", r.series[0].faster(s))
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", s.who, seconds(s.wall()), s.span(), ratio, seconds(s.cpu()), seconds(s.server()), mebibytes(s.largest()), mebibytes(max(s.together(), s.largest())))
	}
	if len(r.series) > 0 {
		w.WriteString("\n")
	}
	for _, f := range r.facts {
		fmt.Fprintf(w, "* %s: %s\n", f.name, f.value)
	}
	if r.verdict.target != "" {
		fmt.Fprintf(w, "* wanted: %s; got: %s; **%s**\n", r.verdict.target, r.verdict.got, yes(r.verdict.met))
	}
	for _, s := range r.series {
		fmt.Fprintf(w, "* %s: `%s`\n", s.who, s.command)
	}
}

func rounds(n int) string {
	if n == 1 {
		return "one round"
	}
	return fmt.Sprintf("%d rounds", n)
}
