package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// columns are the two databases on which times are compared.
func (s scale) columns() []database { return []database{s.shop(), s.log()} }

// restores measures a restore onto an empty server, indexes and statistics
// included.
func (b *bench) restores(ctx context.Context, rounds int) (results []result, err error) {
	for _, db := range b.scale.columns() {
		r, err := b.restoreOf(ctx, db, rounds)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

func (b *bench) restoreOf(ctx context.Context, db database, rounds int) (_ result, err error) {
	want, err := readContent(ctx, b.source.URL(db.name))
	if err != nil {
		return result{}, err
	}
	at, err := b.backedUp(ctx, db)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, at.remove()) }()
	dump := filepath.Join(b.work, "dump-"+db.name)
	defer func() { err = errors.Join(err, os.RemoveAll(dump)) }()
	if _, err := run(ctx, b.dump(db, dump)); err != nil {
		return result{}, err
	}
	steps := stepTimes{}
	list, err := b.compete(ctx, rounds, []contender{
		b.copying("envdb", &check{want: want}, at, steps, at.envdb("restore", "prod@latest", "--onto", b.target.URL(db.name).Reveal())),
		b.copying("pg_restore, vacuumdb", &check{want: want}, at, nil,
			b.tool("createdb", "--maintenance-db", b.target.URL("postgres").Reveal(), db.name),
			b.tool("pg_restore", fmt.Sprintf("-j%d", b.jobs), "-d", b.target.URL(db.name).Reveal(), dump),
			b.tool("vacuumdb", "-q", "--analyze-only", fmt.Sprintf("-j%d", b.jobs), "-d", b.target.URL(db.name).Reveal())),
	})
	if err != nil {
		return result{}, err
	}
	return result{
		work: "restore", on: db.what, series: list, facts: steps.facts(),
		verdict: atLeast(list[0].faster(list[1]), 1.2),
	}, nil
}

// backedUp returns a site whose store holds one backup of the database.
func (b *bench) backedUp(ctx context.Context, db database) (*site, error) {
	at, err := b.newSite(ctx, db, encrypted)
	if err != nil {
		return nil, err
	}
	if _, err := run(ctx, at.envdb("backup", "prod")); err != nil {
		return nil, errors.Join(err, at.remove())
	}
	return at, nil
}

// mirrors measures a mirror of the newest backup, and one as of now, beside
// pgcopydb's clone.
func (b *bench) mirrors(ctx context.Context, rounds int) (results []result, err error) {
	for _, db := range b.scale.columns() {
		r, err := b.mirrorOf(ctx, db, rounds)
		if err != nil {
			return nil, err
		}
		results = append(results, r...)
	}
	return results, nil
}

func (b *bench) mirrorOf(ctx context.Context, db database, rounds int) (_ []result, err error) {
	want, err := readContent(ctx, b.source.URL(db.name))
	if err != nil {
		return nil, err
	}
	at, err := b.backedUp(ctx, db)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, at.remove()) }()
	steps, freshSteps := stepTimes{}, stepTimes{}
	create := b.tool("createdb", "--maintenance-db", b.target.URL("postgres").Reveal(), db.name)
	contenders := []contender{
		b.copying("envdb mirror", &check{want: want}, at, steps, at.envdb("mirror", "prod", "copy")),
		b.freshMirror(db, &check{want: want}, freshSteps),
		b.copying("pgcopydb clone", &check{want: want}, at, nil, create, b.clone(db)),
	}
	if db.name == b.scale.log().name {
		// It splits tables if it is told to, so where that counts it may.
		contenders = append(contenders, b.copying("pgcopydb clone, splitting", &check{want: want}, at, nil, create,
			b.clone(db, "--split-tables-larger-than", b.scale.split)))
	}
	list, err := b.compete(ctx, rounds, contenders)
	if err != nil {
		return nil, err
	}
	mirror, fresh, peers := list[0], list[1], list[2:]
	best := slices.MinFunc(peers, func(x, y series) int { return cmp.Compare(x.wall(), y.wall()) })
	ratio := best.faster(fresh)
	return []result{
		{work: "mirror from the newest backup", on: db.what, series: append([]series{mirror}, peers...), facts: steps.facts(), verdict: atLeast(mirror.faster(best), 1)},
		{work: "mirror --fresh, into an empty store", on: db.what, series: append([]series{fresh}, peers...), facts: freshSteps.facts(),
			verdict: verdict{target: "1.30× the clone's time or less", got: fmt.Sprintf("%.2f×", ratio), met: ratio <= 1.3}},
	}, nil
}

// clone is pgcopydb's command line.
func (b *bench) clone(db database, more ...string) command {
	return command{program: "pgcopydb", args: append([]string{
		"clone", "--source", b.source.URL(db.name).Reveal(), "--target", b.target.URL(db.name).Reveal(),
		"--dir", filepath.Join(b.work, "pgcopydb"), "--restart", "--not-consistent",
		"--table-jobs", fmt.Sprint(b.jobs), "--index-jobs", fmt.Sprint(b.jobs),
	}, more...)}
}

// copying runs commands that bring a database into the empty target, and
// checks what is there then.
func (b *bench) copying(who string, as *check, at *site, steps stepTimes, commands ...command) contender {
	return contender{who, b.line(commands...), func(ctx context.Context) (Sample, error) {
		if err := b.dropAll(ctx); err != nil {
			return Sample{}, err
		}
		sample, err := b.measure(ctx, commands...)
		if err != nil {
			return sample, err
		}
		if err := steps.add(ctx, at, sample); err != nil {
			return sample, err
		}
		return sample, as.same(ctx, b.target.URL(at.db.name))
	}}
}

// freshMirror is a mirror as of now by a site that holds no backup yet.
func (b *bench) freshMirror(db database, as *check, steps stepTimes) contender {
	args := []string{"mirror", "prod", "copy", "--fresh"}
	return contender{"envdb mirror --fresh", envdbLine(args...), func(ctx context.Context) (_ Sample, err error) {
		at, err := b.newSite(ctx, db, encrypted)
		if err != nil {
			return Sample{}, err
		}
		defer func() { err = errors.Join(err, at.remove()) }()
		return b.copying("", as, at, steps, at.envdb(args...)).round(ctx)
	}}
}

// stepTimes are the times of envdb's own steps, as its records have them.
type stepTimes map[string][]time.Duration

// add reads the record of the run that the sample is of. Nil steps want none.
func (t stepTimes) add(ctx context.Context, at *site, s Sample) error {
	if t == nil {
		return nil
	}
	made, err := answer[taken](s)
	if err != nil {
		return err
	}
	shown, err := run(ctx, at.envdb("runs", "show", made.Run))
	if err != nil {
		return err
	}
	report, err := answer[struct {
		Run struct {
			Steps []struct {
				Name string        `json:"name"`
				Took time.Duration `json:"took_ns"`
			} `json:"steps"`
		} `json:"run"`
	}](shown)
	if err != nil {
		return err
	}
	if len(report.Run.Steps) == 0 {
		return fmt.Errorf("the record of the run %s has no steps: %s", made.Run, shown.Output)
	}
	for _, step := range report.Run.Steps {
		t[step.Name] = append(t[step.Name], step.Took)
	}
	return nil
}

// facts returns the median of each step, as one fact.
func (t stepTimes) facts() []fact {
	var list []string
	for _, name := range sortedKeys(t) {
		list = append(list, name+" "+seconds(median(t[name]))+" s")
	}
	return []fact{{"steps of envdb", join(list)}}
}
