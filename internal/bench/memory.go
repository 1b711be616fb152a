package main

import (
	"context"
	"errors"
	"fmt"
)

// mostMemory is how much a process of envdb may have in memory.
const mostMemory = 256 << 20

// memories measures a backup and a restore of a table of large values.
func (b *bench) memories(ctx context.Context, rounds int) (_ []result, err error) {
	db := b.scale.albums()
	want, err := readContent(ctx, b.source.URL(db.name))
	if err != nil {
		return nil, err
	}
	at, err := b.backedUp(ctx, db)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, at.remove()) }()
	list, err := b.compete(ctx, rounds, []contender{
		{"envdb backup", envdbLine("backup", "prod"), b.envdbBackup(db, encrypted, map[string]footprint{}).round},
		b.copying("envdb restore", &check{want: want}, at, nil, at.envdb("restore", "prod@latest", "--onto", b.target.URL(db.name).Reveal())),
	})
	if err != nil {
		return nil, err
	}
	return []result{
		{work: "backup", on: db.what, series: list[:1], verdict: within(list[:1])},
		{work: "restore", on: db.what, series: list[1:], verdict: within(list[1:])},
	}, nil
}

// within says whether envdb kept to its memory.
func within(list []series) verdict {
	most := mostOf(list)
	return verdict{target: mebibytes(mostMemory) + " MiB or less", got: mebibytes(most) + " MiB", met: most <= mostMemory}
}

// mostOf returns the most that a process of envdb had in memory; its children
// count as processes of their own.
func mostOf(list []series) int64 {
	var most int64
	for _, s := range list {
		if s.isEnvdb() && len(s.samples) > 0 {
			most = max(most, s.own(), s.largest())
		}
	}
	return most
}

// peak sums the memory of every work up: the line of the report that says
// what envdb needs at most.
func peak(results []result) (result, bool) {
	var most int64
	var at string
	for _, r := range results {
		if here := mostOf(r.series); here > most {
			most, at = here, r.work+", "+r.on
		}
	}
	return result{row: "memory", work: "peak memory", on: "every work in this report", facts: []fact{{"the most", fmt.Sprintf("%s MiB, in: %s", mebibytes(most), at)}},
		verdict: verdict{target: mebibytes(mostMemory) + " MiB or less", got: mebibytes(most) + " MiB", met: most <= mostMemory}}, most > 0
}
