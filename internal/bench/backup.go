package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// contender is a program that does a work: once per round, in turn with the
// others.
type contender struct {
	who string
	// shown is the command line, as the report shows it.
	shown string
	// round does the work once, and checks what it made.
	round func(context.Context) (Sample, error)
}

// compete lets the contenders do the work in turn, each second round from the
// last to the first: what one leaves in memory and on disk would otherwise
// always meet the same one.
func (b *bench) compete(ctx context.Context, rounds int, all []contender) ([]series, error) {
	list := make([]series, len(all))
	for n := range rounds {
		for i := range all {
			if n%2 == 1 {
				i = len(all) - 1 - i
			}
			c := all[i]
			sample, err := c.round(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.who, err)
			}
			b.say("%-24s %s s, CPU %s s, server %s s", c.who, seconds(sample.Wall), seconds(sample.CPU), seconds(sample.Server))
			list[i].who, list[i].command = c.who, c.shown
			list[i].samples = append(list[i].samples, sample)
		}
	}
	return list, nil
}

// backups measures a first backup into an empty store.
func (b *bench) backups(ctx context.Context, rounds int) ([]result, error) {
	var results []result
	for _, col := range []struct {
		db   database
		want float64
	}{{b.scale.shop(), 1}, {b.scale.log(), 1.5}} {
		if _, err := readContent(ctx, b.source.URL(col.db.name)); err != nil {
			return nil, err
		}
		sizes := map[string]footprint{}
		list, err := b.compete(ctx, rounds, []contender{
			b.envdbBackup(col.db, encrypted, sizes), b.envdbBackup(col.db, unencrypted, sizes), b.pgDump(col.db, sizes),
		})
		if err != nil {
			return nil, err
		}
		r := result{work: "backup", on: col.db.what, series: list, verdict: atLeast(list[0].faster(list[2]), col.want)}
		for _, s := range list {
			r.facts = append(r.facts, fact{"stored by " + s.who, fmt.Sprintf("%s MiB in %d files", mebibytes(sizes[s.who].bytes), sizes[s.who].files)})
		}
		results = append(results, r)
	}
	return results, nil
}

// atLeast says whether something is so many times faster as it should be.
func atLeast(ratio, want float64) verdict {
	return verdict{target: fmt.Sprintf("%.2f× as fast or faster", want), got: fmt.Sprintf("%.2f×", ratio), met: ratio >= want}
}

func (b *bench) envdbBackup(db database, s sealed, sizes map[string]footprint) contender {
	args := []string{"backup", "prod"}
	return contender{s.String(), envdbLine(args...), func(ctx context.Context) (_ Sample, err error) {
		at, err := b.newSite(ctx, db, s)
		if err != nil {
			return Sample{}, err
		}
		defer func() { err = errors.Join(err, at.remove()) }()
		sample, err := b.measure(ctx, at.envdb(args...))
		if err != nil {
			return sample, err
		}
		sizes[s.String()], err = size(at.store())
		return sample, err
	}}
}

// dumper is the peer of a backup.
const dumper = "pg_dump"

func (b *bench) pgDump(db database, sizes map[string]footprint) contender {
	dir := filepath.Join(b.work, "dump-"+db.name)
	c := b.dump(db, dir)
	return contender{dumper, b.line(c), func(ctx context.Context) (_ Sample, err error) {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		sample, err := b.measure(ctx, c)
		if err != nil {
			return sample, err
		}
		sizes[dumper], err = size(dir)
		return sample, err
	}}
}

// dump is pg_dump's command line: a directory, with gzip at level 1, which
// every version that has -Z takes a number for.
func (b *bench) dump(db database, dir string) command {
	return b.tool("pg_dump", "-Fd", fmt.Sprintf("-j%d", b.jobs), "-Z1", "-f", dir, b.source.URL(db.name).Reveal())
}
