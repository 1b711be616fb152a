package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// contender is a program that does a work: once per round, in turn with the
// others.
type contender struct {
	who string
	// round does the work once, and checks what it made.
	round func(context.Context) (Sample, command, error)
}

// compete lets the contenders do the work in turn.
func (b *bench) compete(ctx context.Context, rounds int, all []contender) ([]series, error) {
	list := make([]series, len(all))
	for range rounds {
		for i, c := range all {
			sample, command, err := c.round(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.who, err)
			}
			b.say("%-24s %s s, CPU %s s, server %s s", c.who, seconds(sample.Wall), seconds(sample.CPU), seconds(sample.Server))
			list[i].who, list[i].command = c.who, command.String()
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
		if _, err := read(ctx, b.source.URL(col.db.name)); err != nil {
			return nil, err
		}
		sizes := map[string]int64{}
		list, err := b.compete(ctx, rounds, []contender{
			b.envdbBackup(col.db, encrypted, sizes), b.envdbBackup(col.db, unencrypted, sizes), b.pgDump(col.db, sizes),
		})
		if err != nil {
			return nil, err
		}
		r := result{work: "backup", on: col.db.what, series: list, verdict: atLeast(list[0].faster(list[2]), col.want)}
		for _, s := range list {
			r.facts = append(r.facts, fact{"stored by " + s.who, mebibytes(sizes[s.who]) + " MiB"})
		}
		results = append(results, r)
	}
	return results, nil
}

// atLeast says whether something is so many times faster as it should be.
func atLeast(ratio, want float64) verdict {
	return verdict{target: fmt.Sprintf("%.2f× as fast or faster", want), got: fmt.Sprintf("%.2f×", ratio), met: ratio >= want}
}

func (b *bench) envdbBackup(db database, s sealed, sizes map[string]int64) contender {
	return contender{s.String(), func(ctx context.Context) (Sample, command, error) {
		at, err := b.newSite(ctx, db, s)
		if err != nil {
			return Sample{}, command{}, err
		}
		defer at.remove()
		c := at.envdb("backup", "prod")
		sample, err := b.measure(ctx, c)
		if err != nil {
			return sample, c, err
		}
		sizes[s.String()], err = size(at.store())
		return sample, c, err
	}}
}

// dumper is the peer of a backup.
const dumper = "pg_dump"

func (b *bench) pgDump(db database, sizes map[string]int64) contender {
	return contender{dumper, func(ctx context.Context) (Sample, command, error) {
		dir := filepath.Join(b.work, "dump-"+db.name)
		defer os.RemoveAll(dir)
		c := b.dump(db, dir)
		sample, err := b.measure(ctx, c)
		if err != nil {
			return sample, c, err
		}
		sizes[dumper], err = size(dir)
		return sample, c, err
	}}
}

// dump is pg_dump's command line: a directory, with gzip at level 1, which
// every version that has -Z takes a number for.
func (b *bench) dump(db database, dir string) command {
	return b.tool("pg_dump", "-Fd", fmt.Sprintf("-j%d", b.jobs), "-Z1", "-f", dir, b.source.URL(db.name).Reveal())
}
