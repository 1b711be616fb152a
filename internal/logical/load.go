package logical

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical/archive"
)

// RolePolicy says what happens to owners and grantees that the target lacks.
type RolePolicy string

// RolesMap gives what they own to envdb's role and drops what they were
// granted; RolesCreate creates them, without login; RolesFail refuses.
const (
	RolesMap    RolePolicy = "map"
	RolesCreate RolePolicy = "create"
	RolesFail   RolePolicy = "fail"
)

// Loading says how a backup becomes a database.
type Loading struct {
	// URL leads to the dark database, empty but for what its template holds,
	// over a direct connection.
	URL envdb.ConnString
	// App is the application_name of the sessions.
	App string
	// Jobs is how many sessions work at once; 0 means 4.
	Jobs int
	// Roles is what happens to roles that the target lacks; "" is RolesMap.
	Roles RolePolicy
	// SkipExtensions are not created, nor are their rows loaded. Nothing that
	// is loaded may depend on them.
	SkipExtensions []string
	// Neutralise makes the copy harmless; nil keeps it raw.
	Neutralise *Neutralisation
	// Own is what the environment has of its own.
	Own Own
	// Mask replaces what is private; nil replaces nothing.
	Mask *Masking
	// MaintenanceWorkMem is set in each session, e.g. "256MB"; "" takes the
	// server's own, or more where the server's memory is large: see
	// roomToSort.
	MaintenanceWorkMem string

	Log    *slog.Logger
	Report envdb.Report
}

const defaultJobs = 4

func (l Loading) withDefaults() Loading {
	if l.Jobs <= 0 {
		l.Jobs = defaultJobs
	}
	if l.Roles == "" {
		l.Roles = RolesMap
	}
	if l.Log == nil {
		l.Log = slog.New(slog.DiscardHandler)
	}
	return l
}

// Loaded is what a load did, for the run's record and for Check.
type Loaded struct {
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
	// Notes are decisions that a person should know of, one sentence each.
	Notes []string `json:"notes,omitempty"`
	// Neutralised is what was done to make the copy harmless.
	Neutralised []string `json:"neutralised,omitempty"`
	// MappedRoles are the owners whose objects belong to envdb's role now.
	MappedRoles []string `json:"mapped_roles,omitempty"`
	// Left are the kinds and names of objects that were not created, as in
	// the archive, e.g. "SUBSCRIPTION orders".
	Left []string `json:"left,omitempty"`
	// Files are the user's SQL files that were run.
	Files []string `json:"files,omitempty"`
	// ChangedOptions are the class and quoted name of each object that lost
	// secret options, e.g. `server "other"`.
	ChangedOptions []string `json:"changed_options,omitempty"`
	// Preserved are the tables with rows of the live version.
	Preserved []PreservedRows `json:"preserved,omitempty"`
	// Sequences stand elsewhere than in the backup, because preserved rows use
	// later numbers.
	Sequences []Sequence `json:"sequences,omitempty"`
	// Remapped are the class and quoted name of each object whose options were
	// set, e.g. `server "other"`.
	Remapped []string `json:"remapped,omitempty"`
	// Masked is what was masked; nil for nothing.
	Masked *Masked `json:"masked,omitempty"`
}

// loader is one load under way.
type loader struct {
	Loading
	reader  ChunkReader
	cat     *Catalogue
	archive *archive.Archive
	plan    restorePlan
	masks   *masks // from planMasking on
	target  target
	roles   roleMap
	record  record
	copied  copied

	preserved []*preserving
	live      *session // to the live version, once preserved rows are read
}

// Load builds the database that the backup holds. The rows are loaded before
// indexes, constraints, triggers and policies exist; those follow in parallel
// as the tables they belong to are full; event triggers come last and see none
// of it. On any error that is not in the list of ignorable ones it stops: the
// database is then half built, and of no use.
func Load(ctx context.Context, l Loading, r ChunkReader, cat *Catalogue) (*Loaded, error) {
	d := &loader{Loading: l.withDefaults(), reader: r, cat: cat}
	d.copied.total = totalBytes(cat)
	if err := d.prepare(ctx); err != nil {
		return nil, d.failed(ctx, err, "nothing was loaded")
	}
	if err := d.build(ctx); err != nil {
		return nil, d.failed(ctx, err, "the database is half built; discard it")
	}
	if err := d.refuseUnreached(); err != nil {
		return nil, d.failed(ctx, err, "the database is loaded and is not live; discard it")
	}
	loaded := d.record.loaded(&d.copied)
	loaded.Masked = d.masked()
	return loaded, nil
}

// failed adds what state things are in, and prefers an interruption to the
// error that it caused.
func (d *loader) failed(ctx context.Context, err error, state string) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = ctx.Err()
	}
	if errors.Is(err, context.Canceled) {
		return envdb.Fail(envdb.ErrInterrupted, "load the database: %w", err).WithState("%s", state)
	}
	if have, _ := envdb.Advice(err); have != "" {
		return err
	}
	return envdb.Fail(nil, "load the database: %w", err).WithState("%s", state)
}

// prepare reads the archive and asks the target, and changes nothing.
func (d *loader) prepare(ctx context.Context) error {
	var err error
	if d.archive, err = readArchive(ctx, d.reader); err != nil {
		return err
	}
	lead, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer lead.close(ctx)
	options := PreflightOptions{
		Roles: d.Roles, SkipExtensions: d.SkipExtensions, Neutralise: d.Neutralise != nil,
		owners: owners(d.archive),
	}
	findings, err := Preflight(ctx, lead.conn, d.cat, options)
	if err != nil {
		return err
	}
	d.record.note(findings.Notes...)
	d.target, d.roles = findings.target, findings.roles
	if d.plan, err = d.newPlan(); err != nil {
		return err
	}
	return d.preparePreserve()
}

// build runs the phases of the load.
func (d *loader) build(ctx context.Context) error {
	lead, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer lead.close(ctx)
	defer d.closeLive(ctx)
	phases := []struct {
		name string
		run  func(context.Context, *session) error
	}{
		{"create roles", d.createRoles},
		{"clear the template's objects", d.clearTemplate},
		{"create schema", d.preData},
		{"compare preserved tables", d.comparePreserved},
		{"plan the masking", d.planMasking},
		{"load", d.loadAndIndex},
		{"grant", d.grant},
		{"refresh materialized views", d.refresh},
		{"analyze", d.analyze},
		{"finish", d.last},
	}
	for _, p := range phases {
		d.Log.Debug("load: phase began", "phase", p.name)
		if err := p.run(ctx, lead); err != nil {
			return err
		}
	}
	return nil
}

// readArchive reads pg_dump's archive out of the backup.
func readArchive(ctx context.Context, r ChunkReader) (*archive.Archive, error) {
	refs := r.Chunks(PartArchive)
	if len(refs) == 0 {
		return nil, envdb.Fail(envdb.ErrVerification, "the backup has no schema").
			WithNext("%s", another(r.String()))
	}
	in := &chunkStream{ctx: ctx, reader: r, runs: backup.Runs(refs, runMost)}
	defer func() { _ = in.finish() }() // Read and Copy have returned its error
	a, err := archive.Read(in)
	if err == nil {
		_, err = io.Copy(io.Discard, in) // so that every hash is checked
	}
	if errors.Is(err, archive.ErrFormat) {
		return nil, envdb.Fail(envdb.ErrVerification, "the backup's schema does not parse: %w", err).
			WithNext("use a newer envdb, or another backup")
	}
	if err != nil {
		return nil, fmt.Errorf("read the backup's schema: %w", err)
	}
	return a, nil
}
