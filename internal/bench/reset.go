package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/envdb/envdb/internal/postgres"
)

// What a reset may cost: as a share of the fastest copy that PostgreSQL itself
// makes, with a copy that waits, and of a small environment.
const (
	dearestReset = 1.15
	longestSwap  = 300 * time.Millisecond
	smallReset   = 450 * time.Millisecond
)

// resets measures resets beside the bare CREATE DATABASE … TEMPLATE.
func (b *bench) resets(ctx context.Context, rounds int) (results []result, err error) {
	for _, db := range []database{b.scale.gigabyte(), leaflet()} {
		r, err := b.resetOf(ctx, db, rounds)
		if err != nil {
			return nil, err
		}
		results = append(results, r...)
	}
	return results, nil
}

// gigabyte is a database of 1 GB at full scale; leaflet is one of 10 MB. They
// are made for this row and go with it.
func (s scale) gigabyte() database {
	return database{name: "gigabyte", what: fmt.Sprintf("%d MB", max(1, s.accounts*2/3)*15), pgbench: max(1, s.accounts*2/3)}
}

func leaflet() database {
	return database{name: "leaflet", what: "10 MB", fill: []string{
		"CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL)",
		"INSERT INTO notes SELECT i, md5(i::text) || md5('x' || i) FROM generate_series(1, 20000) i",
	}}
}

func (b *bench) resetOf(ctx context.Context, db database, rounds int) (_ []result, err error) {
	if err := b.fill(ctx, db); err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, execute(context.WithoutCancel(ctx), b.source.URL("postgres"), "DROP DATABASE "+db.name))
	}()
	want, err := readContent(ctx, b.source.URL(db.name))
	if err != nil {
		return nil, err
	}
	at, err := b.backedUp(ctx, db)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, at.remove()) }()
	baseline, err := b.filled(ctx, at, "baseline: auto")
	if err != nil {
		return nil, err
	}
	copied, err := b.compete(ctx, rounds, []contender{b.reset(at, &check{want: want}), b.bareCopy(baseline, "wal_log"), b.bareCopy(baseline, "file_copy")})
	if err != nil {
		return nil, err
	}
	if _, err := b.filled(ctx, at, "spares: 1"); err != nil {
		return nil, err
	}
	spared, err := b.compete(ctx, rounds, []contender{b.reset(at, &check{want: want})})
	if err != nil {
		return nil, err
	}
	best := slices.MinFunc(copied[1:], func(x, y series) int { return cmp.Compare(x.wall(), y.wall()) })
	ratio := best.faster(copied[0])
	first := result{work: "reset", on: db.what, series: copied, facts: []fact{told(copied[0])}, verdict: verdict{
		target: fmt.Sprintf("%.2f× the time of the best bare copy or less", dearestReset), got: fmt.Sprintf("%.2f×", ratio), met: ratio <= dearestReset}}
	if db.name == leaflet().name {
		first.verdict = atMost(copied[0].wall(), smallReset)
	}
	swap := median(of(spared[0].samples, func(s Sample) time.Duration { return s.Told }))
	return []result{first, {work: "reset with a spare", on: db.what, series: spared, facts: []fact{told(spared[0]),
		{"until the process ends", seconds(spared[0].wall()) + " s, in which it drops the oldest version and makes the next spare"}},
		verdict: atMost(swap, longestSwap)}}, nil
}

func atMost(got, most time.Duration) verdict {
	return verdict{target: fmt.Sprintf("%d ms or less", most.Milliseconds()), got: milliseconds(got), met: got <= most}
}

// told says when the result stood on stdout.
func told(s series) fact {
	values := of(s.samples, func(s Sample) time.Duration { return s.Told })
	return fact{"until the result is printed", fmt.Sprintf("%s (%s–%s)", milliseconds(median(values)), milliseconds(slices.Min(values)), milliseconds(slices.Max(values)))}
}

// filled makes a copy with a baseline, in the configuration given, and returns
// the baseline's name.
func (b *bench) filled(ctx context.Context, at *site, configured string) (string, error) {
	if err := b.dropAll(ctx); err != nil {
		return "", err
	}
	at.configured = configured
	if err := at.configure(); err != nil {
		return "", err
	}
	// The second mirror makes the first one previous, which every reset drops.
	for range 2 {
		if _, err := run(ctx, at.envdb("mirror", "prod", "copy")); err != nil {
			return "", err
		}
	}
	return b.only(ctx, "SELECT datname FROM pg_database WHERE datname LIKE '%\\_\\_baseline\\_%'")
}

// reset damages the copy, resets it, and looks whether it is whole.
func (b *bench) reset(at *site, as *check) contender {
	reset := at.envdb("reset", "copy")
	return contender{"envdb reset", b.line(reset), func(ctx context.Context) (Sample, error) {
		to := b.target.URL(at.db.name)
		table, err := queryText(ctx, to, "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relpages > 0 ORDER BY relname LIMIT 1")
		if err != nil {
			return Sample{}, err
		}
		if err := execute(ctx, to, "DROP TABLE "+table[0]+" CASCADE"); err != nil {
			return Sample{}, err
		}
		sample, err := b.measure(ctx, reset)
		if err != nil {
			return sample, err
		}
		return sample, as.same(ctx, to)
	}}
}

// bareCopy is what psql needs for a copy of the baseline.
func (b *bench) bareCopy(baseline, strategy string) contender {
	sql := "CREATE DATABASE bare TEMPLATE " + postgres.Quote(baseline) + " STRATEGY " + strategy
	create := b.tool("psql", "-X", "-q", "-d", b.target.URL("postgres").Reveal(), "-c", sql)
	return contender{"psql, " + strategy, b.line(create), func(ctx context.Context) (Sample, error) {
		sample, err := b.measure(ctx, create)
		if err != nil {
			return sample, err
		}
		return sample, execute(ctx, b.target.URL("postgres"), "DROP DATABASE bare")
	}}
}

// only returns the one row of a query on the target.
func (b *bench) only(ctx context.Context, sql string) (string, error) {
	found, err := queryText(ctx, b.target.URL("postgres"), sql)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s found %d rows", firstLine(sql), len(found))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}
