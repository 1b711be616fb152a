package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// How many clients ask, and how long each thinks between two questions: about
// as many as two processors answer without being full.
const (
	crowdSize  = 50
	crowdPause = 10 * time.Millisecond
	// crowdCalm is the time between two swaps.
	crowdCalm = 2 * time.Second
	// longestOutage is what a promote may cost.
	longestOutage = 250 * time.Millisecond
)

// promotes measures what clients see of a swap, directly and through a pooler.
func (b *bench) promotes(ctx context.Context, rounds int) (results []result, err error) {
	db := b.scale.desk()
	at, err := b.backedUp(ctx, db)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, at.remove()) }()
	if err := b.dropAll(ctx); err != nil {
		return nil, err
	}
	// The second mirror makes the first one the previous version, to which a
	// rollback returns.
	for range 2 {
		if _, err := run(ctx, at.envdb("mirror", "prod", "copy")); err != nil {
			return nil, err
		}
	}
	direct, err := b.swaps(ctx, at, b.target.URL(db.name), rounds)
	if err != nil {
		return nil, err
	}
	p, err := b.startPooler(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	at.pooler = p
	if err := at.configure(); err != nil {
		return nil, err
	}
	pooled, err := b.swaps(ctx, at, p.url(db.name), rounds)
	if err != nil {
		return nil, err
	}
	worst := slices.Max(ofOutages(direct, func(o outage) time.Duration { return o.failing }))
	failures := 0
	for _, o := range pooled {
		for _, n := range o.errors {
			failures += n
		}
	}
	on := fmt.Sprintf("%d clients, a question every %d ms each", crowdSize, crowdPause.Milliseconds())
	return []result{
		{work: "promote", on: on, facts: outageFacts(direct), verdict: verdict{
			target: fmt.Sprintf("refused or failed for %d ms or less", longestOutage.Milliseconds()), got: milliseconds(worst) + " at worst", met: worst <= longestOutage}},
		{work: "promote, through PgBouncer, with pooler:", on: on, facts: outageFacts(pooled), verdict: verdict{
			target: "no errors", got: fmt.Sprint(failures), met: failures == 0}},
	}, nil
}

// swaps goes back and forth between two versions under a crowd.
func (b *bench) swaps(ctx context.Context, at *site, to envdb.ConnString, rounds int) ([]outage, error) {
	c, err := gather(ctx, to, crowdSize, crowdPause)
	if err != nil {
		return nil, err
	}
	defer c.leave()
	var all []outage
	for range rounds {
		// Everyone is back since the last swap, and a pooler has as many
		// connections again as it wants.
		if err := wait(ctx, crowdCalm); err != nil {
			return nil, err
		}
		before, err := b.liveOID(ctx, at)
		if err != nil {
			return nil, err
		}
		c.watch()
		sample, err := run(ctx, at.envdb("rollback", "copy"))
		if err != nil {
			return nil, err
		}
		seen, err := c.result(ctx)
		if err != nil {
			return nil, err
		}
		swapped, err := answer[struct {
			Held time.Duration `json:"logins_held_ns"`
		}](sample)
		if err != nil {
			return nil, err
		}
		after, err := b.liveOID(ctx, at)
		if err != nil {
			return nil, err
		}
		if before == after {
			return nil, errors.New("the rollback did not change which database is live")
		}
		seen.held = swapped.Held
		b.say("logins held %s, clients without an answer %s, with an error %s, errors for %s, %d answers, %v", milliseconds(seen.held), milliseconds(seen.longest), milliseconds(seen.failing), milliseconds(seen.span()), seen.served, seen.errors)
		all = append(all, seen)
	}
	return all, nil
}

// liveOID says which database has the name that applications use.
func (b *bench) liveOID(ctx context.Context, at *site) (string, error) {
	found, err := queryText(ctx, b.target.URL("postgres"), "SELECT oid::text FROM pg_database WHERE datname = '"+at.db.name+"'")
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("there is no database %s", at.db.name)
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

func ofOutages(all []outage, figure func(outage) time.Duration) []time.Duration {
	values := make([]time.Duration, len(all))
	for i, o := range all {
		values[i] = figure(o)
	}
	return values
}

// outageFacts says what clients saw in all swaps.
func outageFacts(all []outage) []fact {
	figure := func(name string, f func(outage) time.Duration) fact {
		values := ofOutages(all, f)
		return fact{name, fmt.Sprintf("%s (%s–%s)", milliseconds(median(values)), milliseconds(slices.Min(values)), milliseconds(slices.Max(values)))}
	}
	kinds, answers := map[string]int{}, 0
	for _, o := range all {
		answers += o.served
		for kind, n := range o.errors {
			kinds[kind] += n
		}
	}
	var list []string
	for _, kind := range sortedKeys(kinds) {
		list = append(list, fmt.Sprintf("%s %d×", kind, kinds[kind]))
	}
	if list == nil {
		list = []string{"none"}
	}
	return []fact{
		{"swaps", fmt.Sprint(len(all))},
		figure("a client that saw an error had no answer for, at most", func(o outage) time.Duration { return o.failing }),
		figure("any client had no answer for, at most", func(o outage) time.Duration { return o.longest }),
		figure("from the first error to the last", outage.span),
		figure("logins held, as envdb says", func(o outage) time.Duration { return o.held }),
		{"errors", fmt.Sprintf("%s; %d questions were answered", join(list), answers)},
	}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}
