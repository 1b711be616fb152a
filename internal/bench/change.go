package main

import (
	"context"
	"errors"
	"fmt"
)

// change is what happens to a table between two backups.
type change struct {
	name string
	// where selects one row of a hundred, in a round.
	where func(rows, round int) string
	want  float64 // what may be stored, as a part of the first backup; 0 is any
}

// changes lists them, in the order in which they are made.
func changes() []change {
	return []change{
		{name: "nothing"},
		{name: "1 % of the rows, contiguous", want: 0.03, where: func(rows, round int) string {
			first := rows/3 + round*rows/20
			return fmt.Sprintf("id BETWEEN %d AND %d", first, first+rows/100-1)
		}},
		{name: "1 % of the rows, at random", where: func(_, round int) string {
			return fmt.Sprintf("abs(hashint8(id)::bigint) %% 100 = %d", round)
		}},
	}
}

// subject is a table that is changed.
type subject struct {
	db    database
	table string
	set   string // what changed rows get: new content, as hard to compress as the old
	rows  int
}

func (s scale) subjects() []subject {
	return []subject{
		{s.archive(), "documents", "body = " + noise("id || 'new' || random()", 16), s.documents},
		{s.log(), "events", "payload = " + payload("(id || 'new' || random())"), s.events},
	}
}

// secondBackups measures backups after the first: of nothing, and of a hundredth.
func (b *bench) secondBackups(ctx context.Context, rounds int) (results []result, err error) {
	for _, s := range b.scale.subjects() {
		r, err := b.changed(ctx, s, rounds)
		if err != nil {
			return nil, err
		}
		results = append(results, r...)
	}
	return results, nil
}

// changed works on a copy of the database, so that the kept one stays as it is.
func (b *bench) changed(ctx context.Context, s subject, rounds int) (_ []result, err error) {
	original := s.db.name
	s.db.name += "_changed"
	err = execute(ctx, b.source.URL("postgres"), "DROP DATABASE IF EXISTS "+s.db.name,
		"CREATE DATABASE "+s.db.name+" TEMPLATE "+original+" STRATEGY file_copy")
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, execute(context.WithoutCancel(ctx), b.source.URL("postgres"), "DROP DATABASE "+s.db.name+" WITH (FORCE)"))
	}()
	if _, err := readTables(ctx, b.source.URL(s.db.name), byCount); err != nil {
		return nil, err
	}
	first := series{who: "envdb, the first"}
	later := make([]series, len(changes()))
	stored, firstStored := make([][]int64, len(changes())), []int64{}
	for round := range rounds {
		if err := b.changeRound(ctx, s, round, &first, later, &firstStored, stored); err != nil {
			return nil, err
		}
	}
	var results []result
	for i, c := range changes() {
		part := float64(median(stored[i])) / float64(median(firstStored))
		r := result{work: "second backup after changing " + c.name, on: s.db.what, series: []series{later[i], first}, facts: []fact{
			{"stored by the first", mebibytes(median(firstStored)) + " MiB"},
			{"stored by the second", fmt.Sprintf("%.2f MiB, %.2f %%", float64(median(stored[i]))/(1<<20), part*100)},
		}}
		if c.want > 0 {
			r.verdict = verdict{target: fmt.Sprintf("%.0f %% of the first's bytes or less", c.want*100), got: fmt.Sprintf("%.2f %%", part*100), met: part <= c.want}
		}
		results = append(results, r)
	}
	return results, nil
}

// changeRound takes a first backup into a new store, and one after each change.
func (b *bench) changeRound(ctx context.Context, s subject, round int, first *series, later []series, firstStored *[]int64, stored [][]int64) (err error) {
	at, err := b.newSite(ctx, s.db, encrypted)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.remove()) }()
	c := at.envdb("backup", "prod")
	first.command = b.line(c)
	bytes, err := b.storedBy(ctx, at, c, first)
	if err != nil {
		return err
	}
	*firstStored = append(*firstStored, bytes)
	for i, change := range changes() {
		if err := b.make(ctx, s, change, round); err != nil {
			return err
		}
		later[i].who, later[i].command = "envdb, the second", b.line(c)
		bytes, err := b.storedBy(ctx, at, c, &later[i])
		if err != nil {
			return err
		}
		b.say("%s after changing %s: %s s, stored %.2f MiB", s.table, change.name, seconds(later[i].samples[round].Wall), float64(bytes)/(1<<20))
		stored[i] = append(stored[i], bytes)
	}
	// What the last one stored is all that is needed, and right.
	want, err := readContent(ctx, b.source.URL(s.db.name))
	if err != nil {
		return err
	}
	_, err = b.copying("", &check{want: want}, at, nil, at.envdb("restore", "prod@latest", "--onto", b.target.URL(s.db.name).Reveal())).round(ctx)
	return err
}

// make changes a hundredth of the table, or nothing.
func (b *bench) make(ctx context.Context, s subject, c change, round int) error {
	if c.where == nil {
		return nil
	}
	return execute(ctx, b.source.URL(s.db.name), "UPDATE "+s.table+" SET "+s.set+" WHERE "+c.where(s.rows, round))
}

// storedBy takes a backup, and returns by how many bytes the store grew.
func (b *bench) storedBy(ctx context.Context, at *site, c command, into *series) (int64, error) {
	before, err := size(at.store())
	if err != nil {
		return 0, err
	}
	sample, err := b.measure(ctx, c)
	if err != nil {
		return 0, err
	}
	into.samples = append(into.samples, sample)
	after, err := size(at.store())
	return after.bytes - before.bytes, err
}
