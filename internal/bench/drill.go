package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/envdb/envdb/internal/drill"
)

// What a drill may cost.
const (
	mostChecks      = 0.80 // of the restore
	mostSampled     = 0.25
	mostOfDrill     = 256 << 20
	mostUnaccounted = 0.02 // of the time
)

// drills measures what the checks of a drill add to the restore, in full and by
// sample, and whether the report explains the time.
func (b *bench) drills(ctx context.Context, rounds int) (_ []result, err error) {
	db := b.scale.shop()
	at, err := b.backedUp(ctx, db)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, at.remove()) }()
	reports := map[string][]*drill.Report{}
	var all []contender
	for _, how := range []struct {
		who  string
		args []string
	}{{"envdb drill", nil}, {"envdb drill, a sample of 10 %", []string{"--sample", "10%"}}} {
		args := append([]string{"drill", "--from", "prod", "--into", "copy"}, how.args...)
		line := at.envdb(args...)
		all = append(all, contender{how.who, envdbLine(args...), func(ctx context.Context) (Sample, error) {
			if err := b.dropAll(ctx); err != nil {
				return Sample{}, err
			}
			sample, err := b.measure(ctx, line)
			if err != nil {
				return sample, err
			}
			report, err := answer[drill.Report](sample)
			reports[how.who] = append(reports[how.who], &report)
			return sample, err
		}})
	}
	list, err := b.compete(ctx, rounds, all)
	if err != nil {
		return nil, err
	}
	var results []result
	for i, most := range []float64{mostChecks, mostSampled} {
		results = append(results, drillResult(list[i], db, reports[list[i].who], most))
	}
	return results, nil
}

// drillResult says what the checks took beside the restore.
func drillResult(s series, db database, reports []*drill.Report, most float64) result {
	var checks, restore, unaccounted []time.Duration
	parts := stepTimes{}
	for _, r := range reports {
		var check, rest time.Duration
		for _, p := range r.Phases {
			switch {
			case p.Parent != "":
				parts[p.Name] = append(parts[p.Name], p.Took)
			case p.Name == "check" || p.Name == "look at the store":
				check += p.Took
			case p.Counts:
				rest += p.Took
			}
		}
		checks, restore, unaccounted = append(checks, check), append(restore, rest), append(unaccounted, r.Unaccounted().Abs())
	}
	ratio := median(checks).Seconds() / median(restore).Seconds()
	facts := parts.facts()
	facts[0].name = "parts of load and check"
	facts = append(facts,
		fact{"restore", seconds(median(restore)) + " s"}, fact{"checks", seconds(median(checks)) + " s"},
		fact{"time that no phase explains", fmt.Sprintf("%.2f %%", 100*median(unaccounted).Seconds()/s.wall().Seconds())})
	return result{
		work: "checks of a drill, " + s.who, on: db.what, series: []series{s}, facts: facts,
		verdict: verdict{
			target: fmt.Sprintf("%.0f %% of the restore or less, %d MiB, 2 %% unexplained", 100*most, mostOfDrill>>20),
			got:    fmt.Sprintf("%.0f %%, %s MiB", 100*ratio, mebibytes(s.largest())),
			met:    ratio <= most && s.largest() <= mostOfDrill && median(unaccounted).Seconds() <= mostUnaccounted*s.wall().Seconds(),
		},
	}
}
