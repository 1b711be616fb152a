package manager

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/logical"
)

// BackupRequest asks for a backup.
type BackupRequest struct {
	Environment string
	Note        string
	Pin         bool
}

// PlanBackup returns what Backup would do.
func (m *Manager) PlanBackup(ctx context.Context, req BackupRequest) (*Plan, error) {
	env, err := m.environment(ctx, req.Environment)
	if err != nil {
		return nil, err
	}
	p := &Plan{Operation: envdb.OpBackup, Environment: env.Name}
	p.add(fmt.Sprintf("read %s in one snapshot, with %d connections beside the leader's", env.URL, m.jobs(env)),
		"store what is not in the newest good backup, in packs; then the index, and the manifest last")
	if req.Pin {
		p.add("pin it")
	}
	return p, nil
}

// Backup takes a backup of an environment now.
func (m *Manager) Backup(ctx context.Context, req BackupRequest) (*BackupResult, error) {
	env, err := m.environment(ctx, req.Environment)
	if err != nil {
		return nil, err
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	var result *BackupResult
	err = m.run(ctx, job{operation: envdb.OpBackup, environment: env.Name}, func(ctx context.Context, x *execution) error {
		result, err = m.takeBackup(ctx, x, repository, env, req)
		return err
	})
	return result, err
}

// takeBackup is the work of a backup, inside a run.
func (m *Manager) takeBackup(ctx context.Context, x *execution, repository *backup.Repository, env config.Environment, req BackupRequest) (*BackupResult, error) {
	started := m.now()
	writer, err := repository.Create(ctx, env.Name, backup.CreateOptions{
		Method: backup.Logical, Now: started, Note: req.Note, Writer: m.version, Run: x.id(),
	})
	if err != nil {
		return nil, err
	}
	if err := x.recording.Update(ctx, func(r *ledger.Run) { r.Backup = writer.ID() }); err != nil {
		return nil, joinCleanup(err, ctx, writer.Abort)
	}
	x.step("copy")
	manifest, err := m.fill(ctx, x, repository, env, writer)
	if err != nil {
		return nil, joinCleanup(err, ctx, writer.Abort)
	}
	if err := m.recordIdentity(ctx, x, repository, env, manifest.Source); err != nil {
		return nil, wholeBut(env, manifest, "record where it came from", err)
	}
	if req.Pin {
		x.step("pin")
		if err := repository.Pin(ctx, env.Name, manifest.ID, req.Note); err != nil {
			return nil, wholeBut(env, manifest, "pin it", err)
		}
	}
	x.facts("backup", manifest.ID, "bytes", manifest.Totals.LogicalBytes, "stored", manifest.Totals.StoredBytes)
	return &BackupResult{Manifest: *manifest, Run: x.id(), Pinned: req.Pin, Elapsed: m.now().Sub(started)}, nil
}

// wholeBut is the error of what comes after a backup: it is there, whatever the
// store says of its last call.
func wholeBut(env config.Environment, manifest *backup.Manifest, what string, err error) error {
	return envdb.Fail(nil, "backup %s is whole, but %s: %w", manifest.ID, what, err).
		WithState("backup %s of %s is whole and can be restored", manifest.ID, env.Name)
}

// fill reads the database into the writer and commits.
func (m *Manager) fill(ctx context.Context, x *execution, repository *backup.Repository, env config.Environment, writer *backup.Writer) (*backup.Manifest, error) {
	catalogue, err := logical.Take(ctx, logical.Source{
		URL: env.Direct(), App: x.app(), Jobs: m.jobs(env), ReleaseQuery: env.ReleaseQuery, Log: x.log, Report: x.report,
	}, writer)
	if err != nil {
		return nil, err
	}
	x.step("commit")
	description := describe(env, catalogue, m.now())
	description.Promised = m.promised(ctx, x.log, repository, env, writer.ID(), catalogue.Point)
	return writer.Commit(ctx, description)
}

// describe is what the manifest says of a catalogue.
func describe(env config.Environment, c *logical.Catalogue, finished time.Time) backup.Description {
	d := backup.Description{
		Tier: env.Tier, Stillness: c.Stillness(), Point: c.Point, Finished: finished, Roles: c.Roles, Migration: c.Migration, Release: c.Release, Tables: len(c.Tables),
		Source: backup.Source{
			SystemIdentifier: c.Server.SystemIdentifier, Timeline: c.Server.Timeline, PostmasterStart: c.Server.PostmasterStart,
			ServerVersion: c.Server.VersionNum, Database: c.Database.Name, DatabaseOID: c.Database.OID, DatabaseSize: c.Database.Size,
		},
	}
	for _, t := range c.Tables {
		d.Rows += t.Rows
	}
	return d
}

// Backups lists the backups of an environment, oldest first. The environment
// may be gone from the configuration.
func (m *Manager) Backups(ctx context.Context, env string) (*BackupList, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	found, err := repository.List(ctx, env)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		if _, err := m.config.Environment(env); err != nil && !errors.Is(err, config.ErrUnset) {
			return nil, err
		}
		return m.noBackups(ctx, repository, env)
	}
	list := &BackupList{Environment: env, Backups: make([]BackupLine, 0, len(found))}
	for _, b := range found {
		list.Backups = append(list.Backups, backupLine(env, b))
	}
	return list, nil
}

// noBackups is an empty list, and says so if it may be empty because the
// project has another name.
func (m *Manager) noBackups(ctx context.Context, repository *backup.Repository, env string) (*BackupList, error) {
	others, err := repository.OtherProjects(ctx)
	if err != nil {
		return nil, err
	}
	list := &BackupList{Environment: env, Backups: []BackupLine{}, OtherProjects: others, Elsewhere: elsewhere(repository.Project(), others), Next: "envdb backup " + env}
	if list.Elsewhere != "" {
		list.Next = otherwise(list.Next)
	}
	return list, nil
}

// elsewhere says that the backups are those of other projects, or is empty.
func elsewhere(project string, others []string) string {
	switch len(others) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("the store holds the project %s, not %s", others[0], project)
	}
	return fmt.Sprintf("the store holds the projects %s, not %s", strings.Join(others, ", "), project)
}

// otherwise is what to do about a project that may have the wrong name, or else.
func otherwise(next string) string {
	return "if its name is wrong, correct project in the configuration; else " + next
}

func backupLine(env string, b backup.Backup) BackupLine {
	line := BackupLine{Environment: env, ID: b.ID(), GoodUntil: b.GoodUntil, Pinned: b.Pinned, Proven: b.Proven, Bad: b.Bad, Damaged: b.Damaged, Note: b.PinNote, Tombstone: b.Tombstone}
	if b.Err != nil {
		line.Unreadable = b.Err.Error()
	}
	if b.Manifest != nil {
		line.Point = b.Manifest.Point
		line.LogicalBytes, line.StoredBytes = b.Manifest.Totals.LogicalBytes, b.Manifest.Totals.StoredBytes
		line.Release = b.Manifest.Release
		if b.Manifest.Note != "" {
			line.Note = b.Manifest.Note
		}
	}
	return line
}

// notDeleted returns the backups that nobody deleted: what is not restored any
// more on purpose is nothing to look into.
func notDeleted(backups []backup.Backup) []backup.Backup {
	var left []backup.Backup
	for _, b := range backups {
		if b.Tombstone == nil {
			left = append(left, b)
		}
	}
	return left
}

// Pin keeps the backup at the point until it is unpinned.
func (m *Manager) Pin(ctx context.Context, env string, at envdb.Point, note string) (*BackupLine, error) {
	return m.mark(ctx, env, at, func(r *backup.Repository, id envdb.BackupID) error { return r.Pin(ctx, env, id, note) })
}

// Unpin lets a pinned backup go when its time comes.
func (m *Manager) Unpin(ctx context.Context, env string, at envdb.Point) (*BackupLine, error) {
	return m.mark(ctx, env, at, func(r *backup.Repository, id envdb.BackupID) error { return r.Unpin(ctx, env, id) })
}

// mark applies a change of marks to the backup at the point, and returns it.
func (m *Manager) mark(ctx context.Context, env string, at envdb.Point, change func(*backup.Repository, envdb.BackupID) error) (*BackupLine, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	found, _, err := m.resolve(ctx, repository, env, at)
	if err != nil {
		return nil, err
	}
	if err := change(repository, found.ID()); err != nil {
		return nil, err
	}
	now, err := repository.Find(ctx, env, found.ID())
	if err != nil {
		return nil, err
	}
	line := backupLine(env, now)
	return &line, nil
}
