package generation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// PromoteOptions say how a version becomes live.
type PromoteOptions struct {
	// Properties are what the new live version gets; nil is what the live
	// version has now, or PostgreSQL's defaults if there is none.
	Properties *Properties
	// Completion is recorded if this run is still building the version, or if it
	// is a spare.
	Completion Completion
	// KeepPrevious is how many previous versions stay; 0 is one.
	KeepPrevious int
	// DropEveryPrevious leaves no way back. It overrules KeepPrevious, and
	// needs a person's word.
	DropEveryPrevious bool
	// Baseline is the database that Seal made of the version, or empty. It
	// comes into force with the promote.
	Baseline string
	// LeaveSurplus leaves the previous versions that are too many to a later
	// DropSurplus: a drop takes longer than the promote.
	LeaveSurplus bool
}

// keep returns how many previous versions stay.
func (o PromoteOptions) keep() int {
	switch {
	case o.DropEveryPrevious:
		return 0
	case o.KeepPrevious <= 0:
		return 1
	}
	return o.KeepPrevious
}

// Promotion is what a promote or a rollback did.
type Promotion struct {
	// Was is the name that the version had before; Live is it now.
	Was  string  `json:"was"`
	Live Version `json:"live"`
	// Displaced is what was live before, under its new name; nil if nothing
	// was. A foreign database is Aside and is never dropped.
	Displaced *Version `json:"displaced,omitempty"`
	// Held is how long logins were held, at most.
	Held time.Duration `json:"held_ns"`
	// Ended counts the sessions that were ended.
	Ended    int `json:"ended"`
	Attempts int `json:"attempts"`
	// Baseline is the sealed copy that came into force, nil if there is none.
	Baseline *Version `json:"baseline,omitempty"`
	// Dropped are the previous versions that were one too many; Undropped
	// those that could not be dropped, each with the reason.
	Dropped   []string          `json:"dropped,omitempty"`
	Undropped map[string]string `json:"undropped,omitempty"`
	// Warnings are for people: what happened to the pooler, a foreign database.
	Warnings []string `json:"warnings,omitempty"`
}

// Promote makes a dark or previous version live, in one transaction. An error
// means that the live version is what it was, unless its State says that this
// could not be found out; nil means that the version is live, whatever
// happened afterwards.
func (g *Generations) Promote(ctx context.Context, w envdb.Writable, nameOrID string, o PromoteOptions) (Promotion, error) {
	if err := g.allowed(w, envdb.OpPromote); err != nil {
		return Promotion{}, err
	}
	next, err := g.Find(ctx, nameOrID)
	if err != nil {
		return Promotion{}, err
	}
	if err := g.promotable(next); err != nil {
		return Promotion{}, err
	}
	return g.promote(ctx, next, o)
}

// promotable fails for a version that may not be made live by Promote.
func (g *Generations) promotable(v Version) error {
	refuse := func(why, next string) error {
		return envdb.Fail(envdb.ErrRefused, "%s cannot be promoted: %s", v.Name, why).
			WithState("nothing was changed").WithNext("%s", next)
	}
	versions := "see `envdb versions " + g.env.Name + "`"
	discard := fmt.Sprintf("envdb discard %s '%s' --confirm '%s'", g.env.Name, v.Name, v.Name)
	switch {
	case v.Broken:
		return refuse("dropping it was begun", discard)
	case v.State == envdb.Live:
		return refuse("it is live", versions)
	case v.Marker == nil:
		return refuse(v.Unmarked, versions)
	case v.State == envdb.Aside:
		return refuse("it was not made by envdb", "if it is what was live before, `envdb rollback "+g.env.Name+"` brings it back")
	case v.State == envdb.Baseline || v.State == Sealing:
		return refuse("resets are made from it", "to go back to it: `envdb reset "+g.env.Name+"`")
	case v.Unsealed != "":
		return refuse(v.Unsealed, discard)
	case v.State == Building && v.Marker.Run != g.run:
		return refuse("run "+v.Marker.Run+" did not finish it", "run the mirror or restore again")
	}
	return nil
}

// promote makes next live and drops the previous versions that are too many.
func (g *Generations) promote(ctx context.Context, next Version, o PromoteOptions) (Promotion, error) {
	swap, err := g.plan(ctx, next, o)
	if err != nil {
		return Promotion{}, err
	}
	p, err := g.swap(ctx, swap)
	if err != nil {
		return Promotion{}, err
	}
	g.log.Debug("version is live", "env", g.env.Name, "database", p.Live.Name, "was", p.Was, "held", p.Held, "ended", p.Ended)
	if !o.LeaveSurplus {
		g.dropSurplus(ctx, &p, o.keep())
	}
	return p, nil
}

// exchange is a promote that is planned: what becomes what.
type exchange struct {
	next Version
	live *Version // nil if there is none
	// displaced is the name that live gets.
	displaced  string
	nextMarker Marker
	liveMarker Marker
	properties Properties
	// baseline is the sealed copy of next; nil if there is none.
	baseline       *Version
	baselineMarker Marker
}

// plan reads everything that the swap needs, and refuses what would stop it
// while logins are held.
func (g *Generations) plan(ctx context.Context, next Version, o PromoteOptions) (exchange, error) {
	x := exchange{next: next}
	err := g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		versions, err := g.list(ctx, conn)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(versions, func(v Version) bool { return v.Name == g.base }); i >= 0 {
			x.live = &versions[i]
		}
		if err := g.unclaimed(x.live); err != nil {
			return err
		}
		g.label(&x, o, versions)
		if err := g.choose(ctx, conn, &x, o); err != nil {
			return err
		}
		return g.preflight(ctx, conn, x)
	})
	return x, err
}

// unclaimed fails if the live database is a version of another environment:
// one of the two has a wrong url, and what it displaced would be the other's.
func (g *Generations) unclaimed(live *Version) error {
	if live == nil || live.claim == nil {
		return nil
	}
	return envdb.Fail(envdb.ErrRefused, "database %s is a version of environment %q (database %q), not of %s",
		live.Name, live.claim.Environment, live.claim.Base, g.env.Name).
		WithState("nothing was changed").
		WithNext("correct the url of %s; if the environment was renamed: COMMENT ON DATABASE %s IS NULL", g.env.Name, postgres.Quote(live.Name))
}

// label decides the names and markers.
func (g *Generations) label(x *exchange, o PromoteOptions, versions []Version) {
	now := g.now().UTC()
	x.nextMarker = *x.next.Marker
	if x.next.State == Building || x.next.State == envdb.Spare {
		x.nextMarker = o.Completion.apply(x.nextMarker)
	}
	x.nextMarker.Baseline = heir(g.env, x.next, versions)
	g.labelBaseline(x, o, versions)
	x.nextMarker.State, x.nextMarker.Promoted, x.nextMarker.Retired, x.nextMarker.Sealed = envdb.Live, now, time.Time{}, 0
	if x.live == nil {
		return
	}
	if x.live.Marker == nil {
		x.liveMarker = Marker{
			Environment: g.env.Name, Base: g.base, ID: unusedID(now, versions), Foreign: true, Neutrality: envdb.Raw,
			SystemIdentifier: g.system, OID: x.live.OID,
		}
	} else {
		x.liveMarker = *x.live.Marker
	}
	x.liveMarker.State, x.liveMarker.Retired = envdb.Previous, now
	if x.liveMarker.Foreign {
		x.liveMarker.State = envdb.Aside
	}
	x.displaced = Name(g.base, x.liveMarker.State, x.liveMarker.ID)
}

// labelBaseline decides the marker of the sealed copy: it is the version's, as
// it is complete.
func (g *Generations) labelBaseline(x *exchange, o PromoteOptions, versions []Version) {
	i := slices.IndexFunc(versions, func(v Version) bool {
		return o.Baseline != "" && v.Name == o.Baseline && v.State == Sealing && v.Unsealed == "" && !v.Broken
	})
	if i < 0 {
		return
	}
	x.baseline = &versions[i]
	m := x.nextMarker
	m.ID, m.State, m.OID = x.baseline.ID, envdb.Baseline, x.baseline.OID
	m.Sealed, m.Created = x.baseline.Marker.Sealed, x.baseline.Marker.Created
	x.baselineMarker, x.nextMarker.Baseline = m, m.ID
}

// unusedID returns an id for a database that has none.
func unusedID(now time.Time, versions []Version) string {
	for id := envdb.NewBackupID(now); ; id = id.Next() {
		if !slices.ContainsFunc(versions, func(v Version) bool { return v.ID == string(id) }) {
			return string(id)
		}
	}
}

// choose decides the properties of the new live version.
func (g *Generations) choose(ctx context.Context, conn *pgx.Conn, x *exchange, o PromoteOptions) (err error) {
	switch {
	case o.Properties != nil:
		x.properties = *o.Properties
		x.properties.Comment, _ = SplitComment(x.properties.Comment)
	case x.live != nil:
		x.properties, err = g.readProperties(ctx, conn, g.base)
	default:
		x.properties = Properties{ConnectionLimit: -1}
	}
	x.nextMarker.Configured = x.properties.Configured
	return err
}

// Ready refuses what will stop a later promote, so that nobody waits hours for a
// copy that cannot go live: a live version that is another environment's, or
// that envdb's role may not rename. What may pass until then (sessions, prepared
// transactions, replication) is left to the promote.
func (g *Generations) Ready(ctx context.Context) error {
	return g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		versions, err := g.list(ctx, conn)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(versions, func(v Version) bool { return v.Name == g.base })
		if i < 0 {
			return nil
		}
		live := versions[i]
		if err := g.unclaimed(&live); err != nil {
			return err
		}
		return g.mayRename(ctx, conn, live)
	})
}

// MayBuild fails unless envdb's role may create a version.
func (g *Generations) MayBuild(ctx context.Context) error {
	return g.session.do(ctx, quick, g.mayCreate)
}

// preflight refuses what would make the swap fail.
func (g *Generations) preflight(ctx context.Context, conn *pgx.Conn, x exchange) error {
	both := []Version{x.next}
	if x.live != nil {
		both = append(both, *x.live)
	}
	for _, v := range both {
		if err := g.mayRename(ctx, conn, v); err != nil {
			return err
		}
		if err := g.clear(ctx, conn, v); err != nil {
			return err
		}
		if err := g.mayEnd(ctx, conn, v.OID); err != nil {
			return err
		}
	}
	return g.mayGive(ctx, conn, x.properties)
}

// Surplus returns the previous versions beyond keep, oldest first. A promote
// drops them; those that are there were left by one that died, or could not be
// dropped.
func (g *Generations) Surplus(ctx context.Context, keep int) ([]Version, error) {
	versions, err := g.unmeasured(ctx)
	if err != nil {
		return nil, err
	}
	previous := slices.DeleteFunc(versions, func(v Version) bool { return v.State != envdb.Previous || !v.ours() })
	if len(previous) <= keep {
		return nil, nil
	}
	surplus := previous[keep:]
	slices.Reverse(surplus)
	return surplus, nil
}

// DropSurplus drops the previous versions that are too many, if a promote left
// them. It notes what it did in p.
func (g *Generations) DropSurplus(ctx context.Context, w envdb.Writable, op envdb.Operation, p *Promotion, o PromoteOptions) error {
	if err := g.allowed(w, op); err != nil {
		return err
	}
	g.dropSurplus(ctx, p, o.keep())
	return nil
}

// dropSurplus drops the previous versions beyond keep, oldest first. The
// promote has happened, so what goes wrong is reported and is no error.
func (g *Generations) dropSurplus(ctx context.Context, p *Promotion, keep int) {
	surplus, err := g.Surplus(ctx, keep)
	if err != nil {
		p.Warnings = append(p.Warnings, "older versions were not looked for: "+err.Error())
		return
	}
	for _, v := range surplus {
		if err := g.drop(ctx, v, nil); err != nil {
			if p.Undropped == nil {
				p.Undropped = map[string]string{}
			}
			p.Undropped[v.Name] = err.Error()
			g.log.Debug("previous version not dropped", "env", g.env.Name, "database", v.Name, "err", err)
			continue
		}
		p.Dropped = append(p.Dropped, v.Name)
	}
}
