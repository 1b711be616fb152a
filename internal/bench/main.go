// Command bench measures envdb beside what a user would pick instead, and
// writes docs/benchmarks.md.
//
// The one idea in it: whole processes, as a person would start them, in turn
// on the same databases, servers and disk. What was restored or copied is
// compared with its source each time, so nothing can win by doing less; a
// process that fails fails the benchmark. `make bench` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/envdb/envdb"
)

// defaultJobs is how many connections envdb and its peers use.
const defaultJobs = 2

// options are the command line.
type options struct {
	dir, scale, rows, report, program string
	rounds, jobs                      int
	fsync                             bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		if _, next := envdb.Advice(err); next != "" {
			fmt.Fprintln(os.Stderr, "Next:", next)
		}
		stop()
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", os.Getenv("BENCH_DIR"), "keep the databases in this `directory` for the next run (default: $BENCH_DIR; without, they are removed at the end)")
	flags.StringVar(&o.scale, "scale", "full", "how large the databases are: full (2.5 GB), small (250 MB) or tiny")
	flags.StringVar(&o.rows, "rows", "", "only these `rows`, with commas: "+strings.Join(rowNames(), ", ")+"; or none, to fill the databases")
	flags.IntVar(&o.rounds, "rounds", 0, "how often each work is measured (default: as each row wants)")
	flags.IntVar(&o.jobs, "jobs", defaultJobs, "connections of envdb, jobs of its peers")
	flags.StringVar(&o.program, "envdb", "", "measure this `program` (default: built from the source)")
	flags.BoolVar(&o.fsync, "fsync", true, "servers wait for the disk")
	flags.StringVar(&o.report, "report", "", "write the report into this `file`")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no option", flags.Arg(0))
	}
	return o, nil
}

func start(ctx context.Context, args []string) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	wanted, err := chooseRows(o.rows)
	if err != nil {
		return err
	}
	b, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		if err := b.close(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}()
	began := time.Now()
	results, err := b.measureRows(ctx, wanted)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "measured in %s\n", time.Since(began).Round(time.Second))
	return b.publish(ctx, results, began)
}

// row is one kind of work that is measured.
type row struct {
	name string
	// rounds is how often, unless the command line says.
	rounds  int
	measure func(*bench, context.Context, int) ([]result, error)
}

// rows lists what can be measured, in the order of the report.
func rows() []row {
	return []row{
		{"backup", 3, (*bench).backups},
		{"change", 1, (*bench).secondBackups},
		{"restore", 3, (*bench).restores},
		{"mirror", 3, (*bench).mirrors},
		{"masking", 3, (*bench).maskings},
		{"promote", 10, (*bench).promotes},
		{"reset", 5, (*bench).resets},
		{"seed", 3, (*bench).seeds},
		{"daemon", 1, (*bench).daemons},
		{"drill", 3, (*bench).drills},
		{"memory", 1, (*bench).memories},
		{"calls", 1, (*bench).calls},
	}
}

func rowNames() []string {
	var names []string
	for _, r := range rows() {
		names = append(names, r.name)
	}
	return names
}

// chooseRows returns the rows that are named, or all; "none" is none.
func chooseRows(text string) ([]row, error) {
	switch text {
	case "":
		return rows(), nil
	case "none":
		return nil, nil
	}
	var chosen []row
	for name := range strings.SplitSeq(text, ",") {
		i := slices.IndexFunc(rows(), func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no row %q; there are %s", name, strings.Join(rowNames(), ", "))
		}
		chosen = append(chosen, rows()[i])
	}
	return chosen, nil
}

// measureRows measures one row after the other, and says what it found.
func (b *bench) measureRows(ctx context.Context, wanted []row) ([]result, error) {
	var all []result
	for _, r := range wanted {
		rounds := r.rounds
		if b.rounds > 0 {
			rounds = b.rounds
		}
		b.say("── %s, %d rounds", r.name, rounds)
		found, err := r.measure(b, ctx, rounds)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		for _, one := range found {
			one.row = r.name
			one.print(os.Stderr)
			all = append(all, one)
		}
	}
	return all, nil
}
