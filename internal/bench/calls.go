package main

import (
	"context"
	"errors"
	"fmt"
)

// calls counts the calls to an S3 store that each operation makes.
func (b *bench) calls(ctx context.Context, rounds int) (_ []result, err error) {
	db := b.scale.shop()
	want, err := readContent(ctx, b.source.URL(db.name))
	if err != nil {
		return nil, err
	}
	k, err := b.newBucket(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.stop()) }()
	works := []callWork{
		{work: "first backup", do: func(at *site) contender { return plain("envdb", b, at.envdb("backup", "prod")) }},
		{work: "second backup, nothing changed", do: func(at *site) contender { return plain("envdb", b, at.envdb("backup", "prod")) }},
		{work: "list of backups", do: func(at *site) contender { return plain("envdb", b, at.envdb("backups", "prod")) }},
		{work: "verify", do: func(at *site) contender { return plain("envdb", b, at.envdb("verify", "prod")) }},
		{work: "restore", do: func(at *site) contender {
			return b.copying("envdb", &check{want: want}, at, nil, at.envdb("restore", "prod@latest", "--onto", b.target.URL(db.name).Reveal()))
		}},
	}
	var bytes int64
	for range rounds {
		if bytes, err = b.callRound(ctx, db, k, works); err != nil {
			return nil, err
		}
	}
	var results []result
	for _, w := range works {
		results = append(results, result{work: w.work + ", store on S3", on: db.what, series: []series{w.series}, facts: callFacts(w.made, bytes)})
	}
	return results, nil
}

// callWork is an operation whose calls are counted.
type callWork struct {
	work   string
	do     func(*site) contender
	series series
	made   map[string]int
}

// plain is a contender whose work is one command.
func plain(who string, b *bench, c command) contender {
	return contender{who, b.line(c), func(ctx context.Context) (Sample, error) { return b.measure(ctx, c) }}
}

// callRound does each work once, in a new store, and returns how many bytes
// of data the database has.
func (b *bench) callRound(ctx context.Context, db database, k *bucket, works []callWork) (int64, error) {
	at, err := b.newSiteOn(ctx, db, encrypted, k)
	if err != nil {
		return 0, err
	}
	var bytes int64
	for i := range works {
		w := &works[i]
		k.counted()
		one, err := b.compete(ctx, 1, []contender{w.do(at)})
		if err != nil {
			return 0, fmt.Errorf("%s: %w", w.work, err)
		}
		w.made = k.counted()
		w.series.who, w.series.command = one[0].who, one[0].command
		w.series.samples = append(w.series.samples, one[0].samples...)
		if i == 0 {
			made, err := answer[taken](one[0].samples[0])
			if err != nil {
				return 0, err
			}
			bytes = made.Totals.LogicalBytes
		}
	}
	return bytes, at.remove()
}

// callFacts says how many calls there were, for how much data.
func callFacts(made map[string]int, bytes int64) []fact {
	total := 0
	var list []string
	for _, name := range sortedKeys(made) {
		total += made[name]
		list = append(list, fmt.Sprintf("%s %d", name, made[name]))
	}
	gb := float64(bytes) / 1e9
	return []fact{
		{"calls", fmt.Sprintf("%d, for %.2f GB of data: %.0f per GB", total, gb, float64(total)/gb)},
		{"which", join(list)},
	}
}
