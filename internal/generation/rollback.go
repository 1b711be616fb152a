package generation

import (
	"context"
	"slices"

	"github.com/envdb/envdb"
)

// RollbackOptions say what to go back to.
type RollbackOptions struct {
	// To is the name or id of the version; empty is the one that stopped being
	// live last, also if it is a foreign database that was moved aside.
	To string
	// Properties are what the version gets; nil is what it had when it was
	// live.
	Properties *Properties
}

// Rollback makes a previous version live again, and the live one previous.
// Nothing is dropped, so a rollback can itself be rolled back.
func (g *Generations) Rollback(ctx context.Context, w envdb.Writable, o RollbackOptions) (Promotion, error) {
	if err := g.allowed(w, envdb.OpRollback); err != nil {
		return Promotion{}, err
	}
	back, err := g.way(ctx, o.To)
	if err != nil {
		return Promotion{}, err
	}
	properties, err := g.had(ctx, back, o.Properties)
	if err != nil {
		return Promotion{}, err
	}
	x, err := g.plan(ctx, back, PromoteOptions{Properties: properties})
	if err != nil {
		return Promotion{}, err
	}
	p, err := g.swap(ctx, x)
	if err != nil {
		return Promotion{}, err
	}
	g.log.Debug("version is live again", "env", g.env.Name, "database", p.Live.Name, "was", p.Was, "held", p.Held, "ended", p.Ended)
	return p, nil
}

// way returns the version to go back to.
func (g *Generations) way(ctx context.Context, to string) (Version, error) {
	versions, err := g.unmeasured(ctx)
	if err != nil {
		return Version{}, err
	}
	if to == "" {
		return g.lastLive(versions)
	}
	v, err := g.find(versions, to)
	if err != nil {
		return v, err
	}
	if v.Broken || v.Marker == nil || v.State != envdb.Previous && v.State != envdb.Aside {
		return v, envdb.Fail(envdb.ErrRefused, "%s was never live: it is %s", v.Name, v.State).
			WithState("nothing was changed").WithNext("see `envdb versions %s`", g.env.Name)
	}
	return v, nil
}

// LastLive returns the version that Rollback goes back to if none is named.
func (g *Generations) LastLive(ctx context.Context) (Version, error) { return g.way(ctx, "") }

// lastLive returns the version that stopped being live last. After the first
// promote that is the database which envdb did not make: whoever wants the
// promote undone wants that one back.
func (g *Generations) lastLive(versions []Version) (Version, error) {
	wasLive := slices.DeleteFunc(slices.Clone(versions), func(v Version) bool {
		return v.Broken || v.Marker == nil || v.State != envdb.Previous && v.State != envdb.Aside
	})
	if len(wasLive) == 0 {
		return Version{}, envdb.Fail(envdb.ErrNotFound, "%s has no previous version", g.env.Name).
			WithState("nothing was changed").
			WithNext("nothing was live before what is live now; `envdb help back` says what else brings things back")
	}
	return slices.MaxFunc(wasLive, func(a, b Version) int { return a.Marker.Retired.Compare(b.Marker.Retired) }), nil
}

// had returns the properties that the version has, unless others are given.
func (g *Generations) had(ctx context.Context, v Version, given *Properties) (*Properties, error) {
	if given != nil {
		return given, nil
	}
	p, err := g.propertiesOf(ctx, v.Name)
	return &p, err
}
