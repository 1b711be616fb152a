package manager

import (
	"context"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// finish fills a dark version, checks it, and promotes it or leaves it dark.
func (m *Manager) finish(ctx context.Context, x *execution, g *generation.Generations, b building, dark *generation.Dark, reader *backup.Reader, catalogue *logical.Catalogue) (*BuildResult, error) {
	loading, err := m.loading(x, b, dark)
	if err != nil {
		return nil, err
	}
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
	result := &BuildResult{
		Run: x.id(), Environment: b.env.Name, Source: b.source, Backup: b.backup.ID(), Point: catalogue.Point, Neutrality: b.neutralityOf(catalogue),
		Release: catalogue.Release, Migration: catalogue.Migration, Database: dark.Name, Dark: !b.promote, Bytes: loaded.Bytes, Tables: len(catalogue.Tables), Rows: loaded.Rows,
		ObjectsChecked: checked, Masked: masked, Notes: append(loaded.Notes, loaded.Neutralised...),
	}
	x.facts("rows", loaded.Rows, "bytes", loaded.Bytes, "objects_checked", checked)
	source, notes, err := m.carried(ctx, x, b, catalogue)
	if err != nil {
		return nil, err
	}
	result.Notes = append(result.Notes, notes...)
	completion := generation.Completion{Neutrality: result.Neutrality, Masked: b.maskedWith(catalogue), Carried: &source}
	if !b.promote {
		result.Next = darkNext(b, dark)
		_, err := g.Complete(ctx, b.target, b.operation, dark.Name, completion)
		return result, err
	}
	x.step("promote")
	properties, err := merged(ctx, g, b.env, &source)
	if err != nil {
		return nil, err
	}
	options := promoteOptions(b.env)
	options.Properties, options.Completion = &properties, completion
	promotion, err := g.Promote(ctx, b.target, dark.Name, options)
	if err != nil {
		return nil, err
	}
	x.promoted(promotion)
	result.Database, result.Promotion = g.Base(), &promotion
	if promotion.Displaced != nil {
		result.Previous = promotion.Displaced.Name
	}
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
		x.log.Info("dropped a previous version", "database", name)
	}
	for name, why := range p.Undropped {
		x.log.Warn("a previous version could not be dropped", "database", name, "reason", why)
	}
}

// darkNext says what to do with a version that was left dark.
func darkNext(b building, dark *generation.Dark) string {
	confirm := ""
	if b.env.Protected() {
		confirm = " --confirm " + b.env.Name
	}
	return fmt.Sprintf("look at it: psql \"$(envdb env url '%s@%s')\"; make it live: envdb promote %s '%s'%s", b.env.Name, dark.Name, b.env.Name, dark.Name, confirm)
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

// check compares the version with the catalogue, and runs the user's checks.
func (m *Manager) check(ctx context.Context, x *execution, b building, dark *generation.Dark, catalogue *logical.Catalogue, loaded *logical.Loaded) (objects int, err error) {
	conn, err := postgres.Connect(ctx, dark.URL, postgres.Options{App: x.app(), Pin: true})
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := logical.TakeBytesAsTheyAre(ctx, conn); err != nil {
		return 0, err
	}
	report, err := logical.Check(ctx, conn, catalogue, logical.Expect{
		Neutralised: b.harmless, SkippedExtensions: b.env.SkipExtensions, Loaded: loaded, Jobs: m.jobs(b.env),
	})
	if err != nil {
		return 0, err
	}
	if b.operation == envdb.OpMirror {
		if err := m.userChecks(ctx, x, b.env, conn, searchPath(catalogue)); err != nil {
			return 0, err
		}
	}
	return report.Objects, nil
}
