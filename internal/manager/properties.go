package manager

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// carried is what a version brings along from its source, as far as the
// target's server can take it; the notes say what it cannot. Its settings are
// for every version, the rest for an environment that has no live one yet.
func (m *Manager) carried(ctx context.Context, x *execution, b building, catalogue *logical.Catalogue) (generation.Properties, []string, error) {
	d := catalogue.Database
	comment, _ := generation.SplitComment(d.Comment)
	source := generation.Properties{Owner: d.Owner, ACL: d.ACL, ConnectionLimit: d.ConnectionLimit, Comment: comment}
	for _, s := range logical.CarriedSettings(catalogue, b.env.KeepSettings, b.harmless) {
		source.Settings = append(source.Settings, generation.Setting(s))
	}
	conn, err := postgres.Connect(ctx, b.env.Direct(), postgres.Options{App: x.app(), Database: b.env.Maintenance(), Pin: true})
	if err != nil {
		return source, nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return fit(ctx, conn, source)
}

// merged lays the environment's own properties over what a version carries,
// and what the configuration says over both. Own is what the live version has
// and neither brought along itself nor got from the configuration as it was.
func merged(ctx context.Context, g *generation.Generations, env config.Environment, carried *generation.Properties) (generation.Properties, error) {
	live, err := g.Live(ctx)
	if isNotFound(err) {
		first := generation.Properties{ConnectionLimit: -1}
		if carried != nil {
			first = *carried
		}
		return configured(first, env), nil
	}
	if err != nil {
		return generation.Properties{}, err
	}
	own, err := g.ReadProperties(ctx)
	if err != nil {
		return own, err
	}
	own.Settings = without(own.Settings, own.Configured)
	if live.Marker != nil && live.Marker.Carried != nil {
		own.Settings = without(own.Settings, live.Marker.Carried.Settings)
	}
	if carried != nil {
		own = own.Over(carried.Settings)
	}
	return configured(own, env), nil
}

// without returns the settings that are not among others.
func without(settings, others []generation.Setting) []generation.Setting {
	return slices.DeleteFunc(slices.Clone(settings), func(s generation.Setting) bool {
		return slices.ContainsFunc(others, func(o generation.Setting) bool {
			return o.Role == s.Role && o.Value == s.Value && strings.EqualFold(o.Name, s.Name)
		})
	})
}

// configured lays what the configuration says over p.
func configured(p generation.Properties, env config.Environment) generation.Properties {
	if env.ConnectionLimit != nil {
		p.ConnectionLimit = *env.ConnectionLimit
	}
	var own generation.Properties
	for _, name := range slices.Sorted(maps.Keys(env.Settings)) {
		own.Settings = append(own.Settings, generation.Setting{Name: name, Value: env.Settings[name]})
	}
	p.Settings, p.Configured = withAccess(own.Over(p.Settings).Settings, env), withAccess(own.Settings, env)
	return p
}
