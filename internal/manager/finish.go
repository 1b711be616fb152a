package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// finish fills a dark version, checks it, and promotes it or leaves it dark.
func (m *Manager) finish(ctx context.Context, x *execution, g *generation.Generations, b building, dark *generation.Dark, reader *backup.Reader, catalogue *logical.Catalogue, own logical.Own) (*BuildResult, error) {
	loading, err := m.loading(x, b, dark)
	if err != nil {
		return nil, err
	}
	loading.Own = own
	x.step("load")
	loaded, err := logical.Load(ctx, loading, reader, catalogue)
	if err != nil {
		// It speaks of the version; a person wants to know of what is live.
		return nil, envdb.Fail(nil, "%w", err).WithState("%s is as it was", b.env.Name)
	}
	masked, err := m.scan(ctx, x, b, dark, loaded)
	if err != nil {
		return nil, b.untouched(err)
	}
	x.step("check")
	checked, err := m.check(ctx, x, b, dark, catalogue, loaded)
	if err != nil {
		return nil, b.untouched(err)
	}
	adapted, err := m.adapt(ctx, x, b, dark, catalogue, own)
	if err != nil {
		return nil, b.untouched(err)
	}
	result := &BuildResult{
		Run: x.id(), Environment: b.env.Name, Source: b.source, Backup: b.backup.ID(), Point: catalogue.Point, Neutrality: b.neutralityOf(catalogue),
		Release: catalogue.Release, Migration: catalogue.Migration, Database: dark.Name, Dark: !b.promote, Bytes: loaded.Bytes, Tables: len(catalogue.Tables), Rows: loaded.Rows,
		MaskedWith: b.maskedWith(catalogue), Onto: b.onto, ObjectsChecked: checked, Masked: masked, Notes: slices.Concat(loaded.Notes, loaded.Neutralised, adapted),
	}
	x.facts("rows", loaded.Rows, "bytes", loaded.Bytes, "objects_checked", checked)
	source, notes, err := m.carried(ctx, x, b, catalogue)
	if err != nil {
		return nil, err
	}
	result.Notes = append(result.Notes, notes...)
	completion := generation.Completion{Neutrality: result.Neutrality, Masked: result.MaskedWith, Carried: &source, Access: accessMark(b.env)}
	if !b.promote {
		result.Next = darkNext(b, dark)
		_, err := g.Complete(ctx, b.target, b.operation, dark.Name, completion)
		return result, err
	}
	promotion, notes, err := m.makeLive(ctx, x, g, b, dark, completion)
	if err != nil {
		return nil, err
	}
	result.Database, result.Promotion = g.Base(), &promotion
	result.Notes = append(result.Notes, notes...)
	result.Previous = kept(promotion, b.env)
	return result, nil
}

// promoteOptions keeps as many previous versions as the environment says; none
// only where a person confirmed that.
func promoteOptions(env config.Environment) generation.PromoteOptions {
	return generation.PromoteOptions{KeepPrevious: env.KeepPrevious, DropEveryPrevious: env.KeepPrevious == 0}
}

// promoted records what a swap did. The version is live whatever happened
// afterwards, so what did not work is a warning.
func (x *execution) promoted(p generation.Promotion) {
	x.facts("version", p.Was, "logins_held_ms", p.Held.Milliseconds(), "sessions_ended", p.Ended, "attempts", p.Attempts)
	for _, warning := range p.Warnings {
		x.log.Warn(warning, "env", x.environment)
	}
	for _, name := range p.Dropped {
		what := "removed the version before the previous one"
		if p.Displaced != nil && name == p.Displaced.Name {
			what = "removed what was live before"
		}
		x.log.Info(what, "database", name)
	}
	for name, why := range p.Undropped {
		x.log.Warn("a previous version could not be dropped", "database", name, "reason", why)
	}
}

// darkNext says what to do with a version that was left dark.
func darkNext(b building, dark *generation.Dark) string {
	return fmt.Sprintf("look at it: psql \"$(envdb env url '%s@%s')\"; make it live: envdb promote %s '%s'%s", b.env.Name, dark.Name, b.env.Name, dark.Name, confirming(b.env))
}

// confirming is what a command that changes what is live needs to run as it is
// printed.
func confirming(env config.Environment) string {
	if !env.Protected() {
		return ""
	}
	return " --confirm " + env.Name
}

// kept returns the name under which what was live stays after a promote, or ""
// if nothing brings it back.
func kept(p generation.Promotion, env config.Environment) string {
	if p.Displaced == nil || env.KeepPrevious == 0 && p.Displaced.State == envdb.Previous {
		return ""
	}
	return p.Displaced.Name
}

// undo is the command that undoes a swap.
func undo(env config.Environment) string {
	return "envdb rollback " + env.Name + confirming(env)
}

func (m *Manager) loading(x *execution, b building, dark *generation.Dark) (logical.Loading, error) {
	l := logical.Loading{
		URL: dark.URL, App: x.app(), Jobs: m.jobs(b.env), Roles: logical.RolePolicy(b.env.Roles),
		SkipExtensions: b.env.SkipExtensions, Mask: b.mask, Log: x.log, Report: x.report,
	}
	if !b.harmless {
		return l, nil
	}
	scripts, err := config.ReadScripts(b.env.Mirror.Neutralise)
	if err != nil {
		return l, err
	}
	l.Neutralise = &logical.Neutralisation{KeepSettings: b.env.KeepSettings}
	for _, s := range scripts {
		l.Neutralise.SQLFiles = append(l.Neutralise.SQLFiles, logical.SQLFile{Name: s.Path, SQL: s.SQL})
	}
	return l, nil
}

// lookInto opens a session in a version that is being built.
func lookInto(ctx context.Context, x *execution, dark *generation.Dark) (*pgx.Conn, error) {
	conn, err := postgres.Connect(ctx, dark.URL, postgres.Options{App: x.app(), Pin: true})
	if err != nil {
		return nil, err
	}
	if err := logical.TakeBytesAsTheyAre(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

// check compares the version with the catalogue, before anything is done to it
// that the source does not have.
func (m *Manager) check(ctx context.Context, x *execution, b building, dark *generation.Dark, catalogue *logical.Catalogue, loaded *logical.Loaded) (objects int, err error) {
	conn, err := lookInto(ctx, x, dark)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	report, err := logical.Check(ctx, conn, catalogue, logical.Expect{
		Neutralised: b.harmless, SkippedExtensions: b.env.SkipExtensions, Loaded: loaded, Backup: fmt.Sprintf("%s@%s", b.source, b.backup.ID()), Jobs: m.jobs(b.env),
	})
	return report.Objects, err
}

// adapt makes of a copy what the environment needs: its own migrations and the
// access of its application. What was remapped and the user's checks are looked
// at last, as the version is going to serve.
func (m *Manager) adapt(ctx context.Context, x *execution, b building, dark *generation.Dark, catalogue *logical.Catalogue, own logical.Own) (notes []string, err error) {
	if b.migrates() {
		note, err := m.migrateNext(ctx, x, b, dark, catalogue)
		if err != nil {
			return nil, err
		}
		notes = append(notes, note)
		x.step("check")
	}
	if b.operation != envdb.OpMirror && !b.env.Access.Declared() {
		return notes, nil
	}
	conn, err := lookInto(ctx, x, dark)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	granted, err := m.grantAccess(ctx, x, b.env, conn)
	if err != nil {
		return nil, err
	}
	notes = append(notes, granted...)
	if b.operation != envdb.OpMirror {
		return notes, nil
	}
	if err := own.Remap.Check(ctx, conn); err != nil {
		return nil, err
	}
	scripts, err := config.ReadScripts(b.env.Mirror.Checks)
	if err != nil {
		return nil, err
	}
	return notes, m.userChecks(ctx, x, b.env, scripts, conn, searchPath(catalogue), "run its statements on the source to see the rows")
}
