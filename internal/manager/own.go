package manager

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// ownOf returns what the environment has of its own in a mirror, with the whole
// names of its tables, and refuses what cannot be before anything is created.
func (m *Manager) ownOf(ctx context.Context, app string, g *generation.Generations, b building, reader *backup.Reader, catalogue *logical.Catalogue) (logical.Own, error) {
	var own logical.Own
	if b.operation != envdb.OpMirror {
		return own, nil
	}
	for _, p := range b.env.Mirror.Preserve {
		own.Preserve = append(own.Preserve, logical.Preserved{Entry: p.Entry, Table: logical.Name(p.Table), Where: p.Where})
	}
	own.Remap = remapOf(b.env.Mirror.Remap)
	switch _, err := g.Live(ctx); {
	case isNotFound(err):
	case err != nil:
		return own, err
	default:
		if own.Live, err = g.URL(g.Base()); err != nil {
			return own, err
		}
	}
	return own.Resolve(ctx, reader, catalogue, app)
}

// remapOf returns the configuration's remap as the load takes it.
func remapOf(c config.Remap) logical.Remap {
	remap := logical.Remap{MustNotContain: c.MustNotContain}
	for _, s := range c.Servers {
		server := logical.RemapServer{Name: s.Name}
		for _, o := range s.Options {
			server.Options = append(server.Options, logical.RemapOption(o))
		}
		for _, o := range s.Mapping {
			server.Mapping = append(server.Mapping, logical.RemapOption(o))
		}
		remap.Servers = append(remap.Servers, server)
	}
	for _, r := range c.Rows {
		rows := logical.RemapRows{Entry: r.Entry, Table: logical.Name(r.Table), Where: r.Where, AtLeast: r.AtLeast}
		for _, column := range r.Set {
			rows.Set = append(rows.Set, logical.RemapColumn(column))
		}
		remap.Rows = append(remap.Rows, rows)
	}
	return remap
}

// accessOf returns what the application's role may do, and whether the
// configuration says anything of it.
func accessOf(env config.Environment) (logical.Access, bool, error) {
	access := logical.Access{Role: env.Access.Role, Mode: logical.AccessMode(env.Access.Mode)}
	if !env.Access.Declared() || env.Protected() {
		return access, false, nil
	}
	var err error
	if access.Role == "" {
		access.Role, err = postgres.UserName(env.URL)
	}
	return access, true, err
}

// preflightAccess refuses a role that cannot be given what the configuration
// says. Owners are the roles that will own objects; conn leads to any database
// of the environment's server.
func preflightAccess(ctx context.Context, conn *pgx.Conn, env config.Environment, owners []string) error {
	access, declared, err := accessOf(env)
	if err != nil || !declared {
		return err
	}
	return access.Preflight(ctx, conn, owners)
}

// grantAccess gives the application's role in a version that is being built what
// the configuration says, and takes away what goes beyond. The promote sets
// default_transaction_read_only; see configured.
func (m *Manager) grantAccess(ctx context.Context, x *execution, env config.Environment, conn *pgx.Conn) (notes []string, err error) {
	access, declared, err := accessOf(env)
	if err != nil || !declared {
		return nil, err
	}
	if notes, err = access.Grant(ctx, conn); err != nil {
		return nil, err
	}
	x.log.Info("granted the application's role its access", "role", access.Role, "mode", access.Mode)
	return notes, access.Check(ctx, conn)
}

// accessMark is what the configuration says of the application's role, for the
// marker of a version that is filled by it; empty if it says nothing.
func accessMark(env config.Environment) string {
	access, declared, err := accessOf(env)
	if err != nil || !declared {
		return "" // who cannot be named was refused long before
	}
	return fmt.Sprintf("%s for role %s", access.Mode, access.Role)
}

// readOnlySetting makes transactions read-only unless a session says otherwise.
const readOnlySetting = "default_transaction_read_only"

// withAccess lays over the settings what the application's role may do by
// default.
func withAccess(settings []generation.Setting, env config.Environment) []generation.Setting {
	access, declared, err := accessOf(env)
	if err != nil || !declared {
		return settings // who cannot be named was refused long before
	}
	mine := generation.Properties{Settings: []generation.Setting{{Role: access.Role, Name: readOnlySetting, Value: "on"}}}
	if access.Mode == logical.ReadAccess {
		return mine.Over(settings).Settings
	}
	return without(settings, mine.Settings)
}

// describePreserve writes into the plan what the environment keeps.
func (b building) describePreserve(p *Plan) {
	if b.operation != envdb.OpMirror {
		return
	}
	for _, kept := range b.env.Mirror.Preserve {
		where := ""
		if kept.Where != "" {
			where = " where " + kept.Where
		}
		p.add(fmt.Sprintf("preserve the rows of %s%s, as the live version has them then", kept.Table, where))
	}
}

// describeRemap writes into the plan what is to point somewhere else.
func (b building) describeRemap(p *Plan) {
	if b.operation != envdb.OpMirror {
		return
	}
	for _, server := range b.env.Mirror.Remap.Servers {
		p.add("remap the foreign server " + server.Name)
	}
	for _, rows := range b.env.Mirror.Remap.Rows {
		p.add("remap rows of " + rows.Table.String())
	}
}

// describeAdapting writes into the plan what happens to a copy once it equals
// its backup.
func (b building) describeAdapting(p *Plan) {
	if b.migrates() {
		p.add("run the migrations of " + b.env.Name + " in it")
	}
	if access, declared, err := accessOf(b.env); err == nil && declared {
		p.add(fmt.Sprintf("grant role %s %s access", access.Role, access.Mode))
	}
}
