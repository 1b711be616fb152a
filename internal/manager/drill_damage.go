package manager

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// damage does to what is live in the target what the scenario says, and proves
// by the fingerprint that it did.
func (d *rehearsal) damage(ctx context.Context, v *restored) error {
	live, err := v.g.Live(ctx)
	if err != nil {
		return err
	}
	url, err := v.g.URL(live.Name)
	if err != nil {
		return err
	}
	src := d.rereading(url)
	before, err := logical.Reread(ctx, src, nil)
	if err != nil {
		return fmt.Errorf("read %s before it is damaged: %w", d.env.Name, err)
	}
	d.before = before
	a := &drill.Accident{What: scenarioMeans(d.Scenario), Before: before.Rows().String()}
	if d.Scenario == drill.DropDatabase {
		if live.Marker == nil {
			return envdb.Fail(envdb.ErrRefused, "the live database of %s was not made by envdb, and is not dropped", d.env.Name).
				WithState("nothing was changed").WithNext("fill %s first (envdb restore, mirror or seed), or take another scenario", d.env.Name)
		}
		a.At, a.SQL, a.Broken = d.m.now().UTC(), []string{"DROP DATABASE " + postgres.Quote(live.Name) + " WITH (FORCE)"}, "the database is gone"
		d.report.Accident = a
		return d.dropLive(ctx, live, a.SQL[0])
	}
	statements, err := d.harmful(ctx, url, before)
	if err != nil {
		return err
	}
	conn, err := postgres.Connect(ctx, url, postgres.Options{App: d.x.app(), Pin: true})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "RESET search_path"); err != nil { // for the user's SQL; the others name schemas
		return postgres.Explain(err, "set up the session")
	}
	a.SQL, a.At = statements, d.m.now().UTC()
	d.report.Accident = a
	for i, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			if i == 0 {
				d.report.Accident = nil // one statement does all or nothing
			}
			return envdb.Fail(nil, "damage %s: %w", d.env.Name, postgres.Explain(err, "run "+firstLine(sql))).WithNext("envdb's role must own what is damaged; or take another scenario")
		}
	}
	after, err := logical.Reread(ctx, src, nil)
	if err != nil {
		return fmt.Errorf("read %s after it was damaged: %w", d.env.Name, err)
	}
	if a.Broken = after.Rows().String(); a.Broken == a.Before && equalObjects(before, after) {
		d.report.Accident = nil
		return envdb.Fail(envdb.ErrRefused, "the scenario %s changed nothing in %s", d.Scenario, d.env.Name).WithState("nothing was changed").WithNext("take another scenario")
	}
	return nil
}

func (d *rehearsal) rereading(url envdb.ConnString) logical.Source {
	return logical.Source{URL: url, App: d.x.app(), Jobs: d.m.jobs(d.env), Log: d.x.log, Report: d.x.report}
}

func equalObjects(a, b *logical.Content) bool {
	return slices.Equal(a.Catalogue.Objects, b.Catalogue.Objects)
}

func firstLine(sql string) string { return strings.SplitN(sql, "\n", 2)[0] }

// dropLive drops the live database from outside of it.
func (d *rehearsal) dropLive(ctx context.Context, live generation.Version, sql string) error {
	conn, err := postgres.Connect(ctx, d.env.Direct(), postgres.Options{App: d.x.app(), Database: d.env.Maintenance(), Pin: true})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql); err != nil {
		return postgres.Explain(err, "drop "+live.Name)
	}
	return nil
}

// harmful returns the statements of a scenario. They are chosen by what is in the
// database: the largest table that they can damage.
func (d *rehearsal) harmful(ctx context.Context, url envdb.ConnString, content *logical.Content) ([]string, error) {
	if d.Scenario == drill.OwnSQL {
		return []string{d.SQL}, nil
	}
	conn, err := postgres.Connect(ctx, url, postgres.Options{App: d.x.app(), Pin: true})
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tables := slices.Clone(content.Catalogue.Tables)
	slices.SortFunc(tables, func(a, b logical.Table) int { return cmp.Compare(b.Rows, a.Rows) })
	for _, t := range tables {
		if t.Rows == 0 || t.Extension != "" {
			continue
		}
		sql, err := harmfulTo(ctx, conn, d.Scenario, t)
		if err != nil {
			return nil, err
		}
		if len(sql) > 0 {
			return sql, nil
		}
	}
	return nil, envdb.Fail(envdb.ErrRefused, "%s has no table that the scenario %s could damage", d.env.Name, d.Scenario).WithState("nothing was changed").WithNext("take another scenario, or sql with statements of your own")
}

// columnsToHarm lists the columns of a table that no key, index, check or generated column
// uses, and that differ between rows.
const columnsToHarm = `
SELECT a.attname::text FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = $1::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid AND (i.indisunique OR i.indisprimary) AND a.attnum = ANY(i.indkey))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE (c.conrelid = a.attrelid AND a.attnum = ANY(c.conkey)) OR (c.confrelid = a.attrelid AND a.attnum = ANY(c.confkey)))
 ORDER BY a.attnum`

// harmfulTo returns the statements that damage one table, or none if the scenario
// cannot.
func harmfulTo(ctx context.Context, conn *pgx.Conn, scenario drill.Scenario, t logical.Table) ([]string, error) {
	name := postgres.QuoteName(t.Schema, t.Name)
	switch scenario {
	case drill.DropTable:
		return []string{"DROP TABLE " + name + " CASCADE"}, nil
	case drill.DropSchema:
		return []string{"DROP SCHEMA " + postgres.Quote(t.Schema) + " CASCADE"}, nil
	case drill.DeleteRows:
		var referred bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE contype = 'f' AND confrelid = $1::pg_catalog.regclass)", name).Scan(&referred); err != nil || referred {
			return nil, postgres.Explain(err, "look at "+name)
		}
		return []string{fmt.Sprintf("DELETE FROM ONLY %s WHERE ctid = ANY (ARRAY(SELECT r.id FROM (SELECT ctid AS id, pg_catalog.row_number() OVER () AS n FROM ONLY %[1]s) AS r WHERE r.n %% 3 = 1))", name)}, nil
	}
	rows, err := conn.Query(ctx, columnsToHarm, name)
	if err != nil {
		return nil, postgres.Explain(err, "look at "+name)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, postgres.Explain(err, "look at "+name)
	}
	for _, column := range columns {
		quoted := postgres.Quote(column)
		one := fmt.Sprintf("(SELECT o.%s FROM ONLY %s AS o LIMIT 1)", quoted, name)
		var differ bool
		if err := conn.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM ONLY %s AS t WHERE t.%s::text IS DISTINCT FROM %s::text)", name, quoted, one)).Scan(&differ); err != nil {
			return nil, postgres.Explain(err, "look at "+name)
		}
		switch {
		case !differ:
		case scenario == drill.UpdateWithoutWhere:
			return []string{fmt.Sprintf("UPDATE %s SET %s = %s", name, quoted, one)}, nil
		default: // a bad migration
			return []string{
				fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", name, quoted, postgres.Quote(column+"_old")),
				fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s text", name, quoted),
				fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s CASCADE", name, postgres.Quote(column+"_old")),
			}, nil
		}
	}
	return nil, nil
}

// proveRepair reads what is live now, and compares it with what the backup holds
// and with what was there before the accident.
func (d *rehearsal) proveRepair(ctx context.Context, v *restored) error {
	return d.timed("repair", func() (drill.Check, error) {
		url, err := v.g.URL(v.g.Base())
		if err != nil {
			return drill.Check{}, err
		}
		after, err := logical.Reread(ctx, d.rereading(url), nil)
		if err != nil {
			return drill.Check{}, fmt.Errorf("read %s after its repair: %w", d.env.Name, err)
		}
		a := d.report.Accident
		a.After = after.Rows().String()
		a.Between = max(0, a.At.Sub(d.backup.Manifest.Point))
		result, compared := after.SameRows(v.catalogue, v.loaded, v.reader, d.env.SkipExtensions)
		c := asCheck(result, fmt.Sprintf("%s and %d rows of what is live now are as the backup holds them", counted(compared.Tables, "table"), compared.Rows))
		if a.After == a.Broken {
			c.Find("what is live is still as the accident left it")
		}
		a.Lost = lost(d.before, after)
		if len(a.Lost) == 0 {
			a.Lost = []string{"nothing: what is live is row for row what it was before the accident"}
		} else {
			a.Lost = append([]string{fmt.Sprintf("between the restore point and the accident lay %s; this differs from what was there just before it:", envdb.FormatDuration(a.Between.Round(1e9)))}, a.Lost...)
		}
		return c, d.dropDamaged(ctx, v)
	})
}

// lost says in which tables the repaired database is not what it was before.
func lost(before, after *logical.Content) []string {
	var all []string
	now := map[logical.Name]logical.Table{}
	for _, t := range after.Catalogue.Tables {
		now[logical.Name{Schema: t.Schema, Name: t.Name}] = t
	}
	for _, was := range before.Catalogue.Tables {
		name := logical.Name{Schema: was.Schema, Name: was.Name}
		is, there := now[name]
		switch {
		case !there:
			all = append(all, fmt.Sprintf("table %s is younger than the restore point: its %d rows are lost", name, was.Rows))
		case is.Rows != was.Rows:
			all = append(all, fmt.Sprintf("table %s has %d rows and had %d", name, is.Rows, was.Rows))
		case is.Fingerprint != was.Fingerprint:
			all = append(all, fmt.Sprintf("table %s has as many rows as before, and some are older", name))
		}
	}
	return all
}

// dropDamaged drops what the accident damaged: nobody should roll back to it.
func (d *rehearsal) dropDamaged(ctx context.Context, v *restored) error {
	if d.displaced == nil || d.displaced.State != envdb.Previous {
		return nil
	}
	recorded, err := d.m.recordedVersions(ctx, d.env.Name)
	if err != nil {
		return err
	}
	return v.g.Discard(ctx, d.target, envdb.OpDrill, d.displaced.Name, recorded)
}
