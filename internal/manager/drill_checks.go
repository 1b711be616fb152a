package manager

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// checkStore looks at the manifest and at every object that it refers to. The
// content is hashed as the restore reads it.
func (d *rehearsal) checkStore(ctx context.Context) error {
	began := d.m.now()
	report, err := d.repository.Verify(ctx, d.From, d.backup.ID(), backup.VerifyOptions{Report: d.x.report})
	if err != nil {
		return err
	}
	c := drill.Check{Name: "manifest and packs", Outcome: drill.Pass, Covers: fmt.Sprintf("the manifest, the index and %s: they are there, in their full size", counted(report.Packs, "pack")), Took: d.m.now().Sub(began)}
	for _, b := range report.Backups {
		for _, problem := range b.Problems {
			c.Find(problem)
		}
	}
	d.report.Checks = append(d.report.Checks, c)
	if c.Outcome == drill.Fail {
		return report.Err()
	}
	return nil
}

// check looks at the restored version from all sides. A check that cannot be made
// for a reason of its own is skipped, and says why; an error is one of the
// server or of the store.
func (d *rehearsal) check(ctx context.Context, v *restored, conn *pgx.Conn) error {
	refs, bytes := contentOf(v.reader, v.catalogue)
	d.add(drill.Check{Name: "chunks", Outcome: drill.Pass, Covers: fmt.Sprintf("%s, %d bytes: each had its SHA-256 when the restore read it", counted(refs, "chunk"), bytes)})
	for _, step := range []func(context.Context, *restored, *pgx.Conn) error{
		d.checkObjects, d.checkRows, d.checkForeignKeys, d.checkSequences, d.checkIndexes, d.checkCollations, d.checkVersions, d.checkStatistics, d.userChecks, d.measureFreshness,
	} {
		if err := step(ctx, v, conn); err != nil {
			return err
		}
	}
	return nil
}

func contentOf(r *backup.Reader, c *logical.Catalogue) (chunks int, bytes int64) {
	for _, t := range c.Tables {
		for _, ref := range r.Chunks(t.Part) {
			chunks++
			bytes += ref.Size
		}
	}
	for _, part := range []string{logical.PartCatalogue, logical.PartArchive, logical.PartBlobMetadata, logical.PartBlobData} {
		for _, ref := range r.Chunks(part) {
			chunks++
			bytes += ref.Size
		}
	}
	return chunks, bytes
}

func (d *rehearsal) add(c drill.Check) { d.report.Checks = append(d.report.Checks, c) }

// timed runs one check, and notes how long it took among the parts of the phase.
func (d *rehearsal) timed(name string, run func() (drill.Check, error)) error {
	began := d.m.now()
	c, err := run()
	if err != nil {
		return fmt.Errorf("check %s: %w", name, err)
	}
	c.Name = name
	c.Took = d.m.now().Sub(began)
	d.watch.parts = append(d.watch.parts, drill.Phase{Name: name, Took: c.Took, Counts: true})
	d.add(c)
	return nil
}

// asCheck is a result of internal/logical as a report shows it.
func asCheck(r logical.CheckResult, covers string) drill.Check {
	c := drill.Check{Outcome: drill.Pass, Covers: covers, Reason: r.Reason}
	if r.Outcome == logical.Skipped {
		c.Outcome = drill.Skipped
	}
	for _, difference := range r.Differences {
		c.Find(difference.String())
	}
	if n := len(r.Explained); n > 0 {
		reason := fmt.Sprintf("%s explained, e.g. %s (%s)", counted(n, "difference"), r.Explained[0], r.Explained[0].Why)
		if c.Reason != "" {
			reason = c.Reason + "; " + reason
		}
		c.Reason = reason
	}
	return c
}

// checkObjects compares the version with the catalogue of the backup, object by
// object, count by count.
func (d *rehearsal) checkObjects(ctx context.Context, v *restored, conn *pgx.Conn) error {
	began := d.m.now()
	report, err := logical.Check(ctx, conn, v.catalogue, logical.Expect{
		Neutralised: v.building.harmless, SkippedExtensions: d.env.SkipExtensions, Loaded: v.loaded,
		Backup: fmt.Sprintf("%s@%s", d.From, d.backup.ID()), Jobs: d.m.jobs(d.env),
	})
	if err != nil && !errors.Is(err, envdb.ErrVerification) {
		return err
	}
	covers := map[string]string{
		"objects": counted(report.Objects, "object"), "rows": fmt.Sprintf("%s, %d rows counted", counted(report.Tables, "table"), report.Rows),
		"sequences": counted(len(v.catalogue.Sequences), "sequence"), "large objects": fmt.Sprintf("%d large objects", v.catalogue.LargeObjects.Count),
		"indexes": "every index is valid, every constraint as in the backup", "harmless": "no subscription, publication, job or foreign password of production is in force",
		"materialized views": counted(len(v.catalogue.MaterializedViews), "materialized view"),
	}
	names := map[string]string{"rows": "row counts", "sequences": "sequences as in the backup"}
	for _, result := range report.Checks {
		if result.Name == "harmless" && !v.building.harmless {
			continue
		}
		c := asCheck(result, covers[result.Name])
		c.Name = result.Name
		if name, other := names[c.Name]; other {
			c.Name = name
		}
		c.Contradicts = c.Outcome == drill.Fail && result.Name != "harmless"
		d.add(c)
	}
	d.watch.parts = append(d.watch.parts, drill.Phase{Name: "objects and counts", Took: d.m.now().Sub(began), Counts: true})
	return nil
}

// The checks that compare content. A backup is proven only if none of them was
// skipped.
const (
	rowFingerprints        = "row fingerprints"
	contentsOfLargeObjects = "contents of large objects"
)

// checkRows reads every row, or those of a sample, and compares fingerprints.
func (d *rehearsal) checkRows(ctx context.Context, v *restored, conn *pgx.Conn) error {
	return d.timed(rowFingerprints, func() (drill.Check, error) {
		src := logical.Source{URL: v.dark.URL, App: d.x.app(), Jobs: d.m.jobs(d.env), Log: d.x.log, Report: d.x.report}
		sample, err := d.sample(ctx, v, conn)
		var content *logical.Content
		if err == nil {
			content, err = logical.Reread(ctx, src, sample.only())
		}
		var looked logical.CheckResult
		var compared logical.Compared
		if err == nil && sample != nil {
			looked, compared, err = sample.LookUp(ctx, conn, v.catalogue, v.reader, src.Jobs)
		}
		if refused(err) {
			var c drill.Check
			c.Skip(err.Error())
			return c, nil
		}
		if err != nil {
			return drill.Check{}, err
		}
		if content.Unread > 0 {
			d.add(drill.Check{Name: contentsOfLargeObjects, Outcome: drill.Skipped, Reason: fmt.Sprintf("only a role that may read pg_catalog.pg_largeobject, as a superuser may, sees the contents of %s; they were counted", counted(int(content.Unread), "large object"))})
		}
		result, whole := content.SameRows(v.catalogue, v.loaded, v.reader, d.env.SkipExtensions)
		covers := fmt.Sprintf("%s, %d rows, %d bytes, each row hashed", counted(whole.Tables, "table"), whole.Rows, whole.Bytes)
		if sample != nil {
			d.report.Sampled = sample.says(d.Seed)
			covers = fmt.Sprintf("%s whole, and %d rows of %s looked up by their keys; %s", counted(whole.Tables, "table"), compared.Rows, counted(compared.Tables, "other"), d.report.Sampled)
		}
		c := asCheck(result, covers)
		for _, difference := range looked.Differences {
			c.Find(difference.String())
		}
		c.Contradicts = c.Outcome == drill.Fail
		return c, nil
	})
}

// refused reports whether a check cannot be made because of what the role may
// do, and not because something is broken.
func refused(err error) bool {
	return errors.Is(err, envdb.ErrPreflight) || errors.Is(err, envdb.ErrRefused)
}

// smallTable is what is compared in any case.
const smallTable = 8 << 20

// rowSample is the rows that a drill compares, if they are not all.
type rowSample struct{ logical.Sample }

// sample draws the rows that are compared; nil is all of them.
func (d *rehearsal) sample(ctx context.Context, v *restored, conn *pgx.Conn) (*rowSample, error) {
	if d.Sample >= 1 || d.Sample <= 0 {
		return nil, nil
	}
	sampling := logical.Sampling{Share: d.Sample, Seed: d.Seed, Whole: smallTable}
	chosen, err := sampling.Choose(ctx, conn, v.catalogue, v.reader)
	if err != nil || len(chosen.Chunks)+len(chosen.Left) == 0 {
		return nil, err
	}
	return &rowSample{chosen}, nil
}

// only is what [logical.Reread] reads.
func (s *rowSample) only() func(logical.Name) bool {
	if s == nil {
		return nil
	}
	return func(n logical.Name) bool { return s.Whole[n] }
}

// says tells what was compared, and what was not.
func (s *rowSample) says(seed uint64) string {
	said := fmt.Sprintf("%.0f %% of the bytes were compared row by row: %s whole, and chunks of %s by seed %d",
		100*float64(s.Bytes)/float64(max(s.Total, 1)), counted(len(s.Whole), "table"), counted(len(s.Chunks), "other"), seed)
	if len(s.Left) > 0 {
		said += fmt.Sprintf("; %s without a key, the first of them %s, not compared but counted", counted(len(s.Left), "table"), s.Left[0])
	}
	return said
}

func (d *rehearsal) checkForeignKeys(ctx context.Context, v *restored, conn *pgx.Conn) error {
	return d.timed("foreign keys", func() (drill.Check, error) {
		if d.Sample < 1 {
			var c drill.Check
			c.Skip("the drill is a sample: each was validated when it was created")
			return c, nil
		}
		result, looked, err := logical.CheckForeignKeys(ctx, conn, v.catalogue, d.m.jobs(d.env))
		return asCheck(result, fmt.Sprintf("%s, each validated again", counted(looked, "foreign key"))), err
	})
}

func (d *rehearsal) checkSequences(ctx context.Context, v *restored, conn *pgx.Conn) error {
	return d.timed("sequences past their columns", func() (drill.Check, error) {
		result, looked, err := logical.CheckSequences(ctx, conn, v.catalogue)
		return asCheck(result, counted(looked, "sequence")), err
	})
}

func (d *rehearsal) checkIndexes(ctx context.Context, _ *restored, conn *pgx.Conn) error {
	return d.timed("amcheck", func() (drill.Check, error) {
		sample := logical.BTreeSample{Whole: 64 << 20, Share: 0.25, Seed: d.Seed, Structure: true}
		if d.Sample < 1 {
			sample = logical.BTreeSample{Whole: 8 << 20, Share: d.Sample, Seed: d.Seed}
		}
		result, covers, err := logical.CheckBTrees(ctx, conn, sample)
		return asCheck(result, covers), err
	})
}

func (d *rehearsal) checkCollations(ctx context.Context, v *restored, conn *pgx.Conn) error {
	return d.timed("collations", func() (drill.Check, error) {
		result, looked, err := logical.CheckCollations(ctx, conn, v.catalogue)
		return asCheck(result, counted(looked, "collation version")), err
	})
}

// checkVersions compares the migration and the release with what the backup says
// belongs to it.
func (d *rehearsal) checkVersions(ctx context.Context, v *restored, _ *pgx.Conn) error {
	src := logical.Source{URL: v.dark.URL, App: d.x.app(), Jobs: 1, ReleaseQuery: d.source.ReleaseQuery, Log: d.x.log}
	return d.timed("migration and release", func() (drill.Check, error) {
		c := drill.Check{Outcome: drill.Pass}
		migration, release, err := logical.ReadVersions(ctx, src)
		if refused(err) {
			c.Skip(err.Error())
			return c, nil
		}
		if err != nil {
			return c, err
		}
		if v.catalogue.Migration == nil && v.catalogue.Release == "" && migration == nil {
			c.Covers = "neither a release label nor a migration tool's table, as in the backup"
			return c, nil
		}
		switch was := v.catalogue.Migration; {
		case was == nil && migration == nil:
		case was == nil || migration == nil || *was != *migration:
			c.Find(fmt.Sprintf("the schema is at migration %s, in the backup %s", migrationName(migration), migrationName(was)))
		}
		if d.source.ReleaseQuery != "" && v.catalogue.Release != "" && release != v.catalogue.Release {
			c.Find(fmt.Sprintf("the release is %q, in the backup %q", release, v.catalogue.Release))
		}
		c.Covers = fmt.Sprintf("migration %s", migrationName(migration))
		if v.catalogue.Release != "" {
			c.Covers += fmt.Sprintf(", release %q", v.catalogue.Release)
		}
		c.Contradicts = c.Outcome == drill.Fail
		return c, nil
	})
}

func migrationName(m *backup.Migration) string {
	if m == nil {
		return "none"
	}
	return m.Version + " (" + m.Tool + ")"
}

// checkStatistics asks whether the planner knows the tables: RTO ends only then.
func (d *rehearsal) checkStatistics(ctx context.Context, _ *restored, conn *pgx.Conn) error {
	return d.timed("statistics", func() (drill.Check, error) {
		c := drill.Check{Outcome: drill.Pass}
		rows, err := conn.Query(ctx, `SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind = 'r' AND c.reltuples < 0 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND pg_catalog.has_table_privilege(c.oid, 'SELECT') ORDER BY 1`)
		if err != nil {
			return c, postgres.Explain(err, "read the statistics")
		}
		without, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return c, postgres.Explain(err, "read the statistics")
		}
		for _, t := range without {
			c.Find("table " + t + " was not analyzed")
		}
		c.Covers = "every table is analyzed"
		return c, nil
	})
}

// userPath is the search path that the user's SQL runs with.
func userPath(v *restored) string { return searchPath(v.catalogue) }
