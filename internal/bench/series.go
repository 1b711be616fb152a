package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// series is what one program did, round by round.
type series struct {
	// who is the program and how it was set; command is its command line.
	who, command string
	samples      []Sample
}

// result is one line of the report: a work, by envdb and by others.
type result struct {
	row string
	// work is what was done, on which database.
	work, on string
	series   []series
	facts    []fact
	verdict  verdict
}

// fact is a figure beside times and memory.
type fact struct{ name, value string }

// verdict compares a result with what was aimed at.
type verdict struct {
	target, got string
	met         bool
}

// median returns the middle of what is measured, or the mean of the two in
// the middle.
func median[T ~int64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// of returns one figure of each sample.
func of[T any](samples []Sample, figure func(Sample) T) []T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = figure(s)
	}
	return values
}

// isEnvdb reports whether the program is envdb, however it was set.
func (s series) isEnvdb() bool { return strings.HasPrefix(s.who, "envdb") }

func (s series) walls() []time.Duration {
	return of(s.samples, func(s Sample) time.Duration { return s.Wall })
}

// wall is the median of the times.
func (s series) wall() time.Duration { return median(s.walls()) }

func (s series) cpu() time.Duration {
	return median(of(s.samples, func(s Sample) time.Duration { return s.CPU }))
}

func (s series) server() time.Duration {
	return median(of(s.samples, func(s Sample) time.Duration { return s.Server }))
}

// largest, own and together are the most of all rounds.
func (s series) largest() int64 {
	return slices.Max(of(s.samples, func(s Sample) int64 { return s.Largest }))
}

func (s series) own() int64 { return slices.Max(of(s.samples, func(s Sample) int64 { return s.Own })) }

func (s series) together() int64 {
	return slices.Max(of(s.samples, func(s Sample) int64 { return s.Together }))
}

// span returns the least and the most of the times.
func (s series) span() string {
	return seconds(slices.Min(s.walls())) + "–" + seconds(slices.Max(s.walls()))
}

// faster returns how many times faster s is than the other.
func (s series) faster(than series) float64 {
	return float64(than.wall()) / float64(cmp.Or(s.wall(), 1))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

func mebibytes(n int64) string { return fmt.Sprintf("%d", (n+1<<19)>>20) }

// print shows the result to who watches.
func (r result) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %s\n", r.work, r.on)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.series) > 0 {
		fmt.Fprintln(table, "  \tmedian s\tmin–max\tCPU s\tserver CPU s\town MiB\tlargest MiB\ttogether MiB")
	}
	for _, s := range r.series {
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.who, seconds(s.wall()), s.span(), seconds(s.cpu()), seconds(s.server()), mebibytes(s.own()), mebibytes(s.largest()), mebibytes(s.together()))
	}
	table.Flush()
	for _, f := range r.facts {
		fmt.Fprintf(w, "  %s: %s\n", f.name, f.value)
	}
	if r.verdict.target != "" {
		fmt.Fprintf(w, "  %s: wanted %s: %s\n", r.verdict.got, r.verdict.target, yes(r.verdict.met))
	}
}

func yes(met bool) string {
	if met {
		return "yes"
	}
	return "no"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func join(list []string) string { return strings.Join(list, ", ") }
