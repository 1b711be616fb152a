package logical

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// comparePreserved holds the preserved tables of the live version against
// those that were just created, before anything is loaded into them.
func (d *loader) comparePreserved(ctx context.Context, s *session) error {
	if len(d.preserved) == 0 {
		return nil
	}
	live, err := connectLive(ctx, d.Own.Live, d.App)
	if err != nil {
		return err
	}
	defer live.Close(context.WithoutCancel(ctx))
	if err := d.compareTables(ctx, live, s.conn); err != nil {
		return err
	}
	for _, p := range d.preserved {
		for _, side := range []struct {
			conn        *pgx.Conn
			kind, which string
		}{{live, p.liveKind, "the live version"}, {s.conn, p.nextKind, "the backup"}} {
			if err := d.tryWhere(ctx, side.conn, p, side.kind, side.which); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareTables finds out which columns are copied, and refuses what would
// lose or invent values.
func (d *loader) compareTables(ctx context.Context, live, next *pgx.Conn) error {
	for _, p := range d.preserved {
		before, err := readTable(ctx, live, p.Table)
		if err != nil {
			return err
		}
		if err := before.refused(p.Table); err != nil {
			return ownError(err, p.origin())
		}
		after, err := readTable(ctx, next, p.Table)
		if err != nil {
			return err
		}
		p.liveKind, p.nextKind = before.Kind, after.Kind
		had, err := readColumns(ctx, live, before.OID)
		if err != nil {
			return err
		}
		has, err := readColumns(ctx, next, after.OID)
		if err != nil {
			return err
		}
		if err := d.take(p, drift(had, has)); err != nil {
			return err
		}
	}
	return nil
}

// take notes what two tables have in common, or says in what they differ.
func (d *loader) take(p *preserving, found drifted) error {
	if len(found.faults) > 0 {
		return envdb.Fail(envdb.ErrPreflight, "%s: %s is another one in the live version than in the backup: %s", p.origin(), p.title(), strings.Join(found.faults, "; ")).
			WithState("nothing was loaded").
			WithNext("migrate the live version to the schema of the backup, mirror an older point, or remove the table from preserve; a backup of the environment keeps its rows")
	}
	for _, note := range found.notes {
		d.record.note(fmt.Sprintf("preserved %s: %s", p.title(), note))
	}
	p.columns, p.format = nil, formatBinary
	for _, c := range found.shared {
		p.columns = append(p.columns, postgres.Quote(c.Name))
		if !portable(c.TypeOID) {
			p.format = formatText
		}
	}
	return nil
}

// tableColumn is a column of a table.
type tableColumn struct {
	Name, Type string
	TypeOID    uint32
	Generated  bool
	NotNull    bool
	// Filled says that a row which does not name the column gets a value.
	Filled bool
}

const tableColumnsQuery = `
	SELECT attname::text, pg_catalog.format_type(atttypid, atttypmod), atttypid, attgenerated <> '', attnotnull, atthasdef OR attidentity <> ''
	FROM pg_catalog.pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum`

func readColumns(ctx context.Context, conn *pgx.Conn, table uint32) ([]tableColumn, error) {
	columns, err := query[tableColumn](ctx, conn, tableColumnsQuery, table)
	return columns, postgres.Explain(err, "list the columns of the preserved tables")
}

// drifted is what became of a table between two versions.
type drifted struct {
	shared        []tableColumn // that hold values on both sides
	notes, faults []string
}

// drift compares the columns of the live version's table with those of the
// next one's. A column that only the next one has is filled by its default, or
// with NULL; everything else that differs would lose or invent values.
func drift(live, next []tableColumn) drifted {
	var out drifted
	fault := func(format string, args ...any) { out.faults = append(out.faults, fmt.Sprintf(format, args...)) }
	byName := map[string]tableColumn{}
	for _, c := range next {
		byName[c.Name] = c
	}
	had := map[string]bool{}
	for _, c := range live {
		had[c.Name] = true
		n, found := byName[c.Name]
		switch {
		case !found:
			fault("the backup has no column %s", c.Name)
		case c.Generated != n.Generated:
			fault("column %s is generated on one side only", c.Name)
		case c.Type != n.Type:
			fault("column %s is %s in the live version and %s in the backup", c.Name, c.Type, n.Type)
		case !c.Generated:
			out.shared = append(out.shared, n)
		}
	}
	for _, n := range next {
		switch {
		case had[n.Name]:
		case n.Generated:
			out.notes = append(out.notes, fmt.Sprintf("column %s is new, and computed", n.Name))
		case n.NotNull && !n.Filled:
			fault("the live version has no column %s, which is NOT NULL and has no default", n.Name)
		case n.Filled:
			out.notes = append(out.notes, fmt.Sprintf("column %s is new, and has its default", n.Name))
		default:
			out.notes = append(out.notes, fmt.Sprintf("column %s is new, and NULL", n.Name))
		}
	}
	if len(out.shared) == 0 && len(out.faults) == 0 {
		fault("they have no column in common that holds values")
	}
	return out
}

// tryWhere asks a side whether the condition can be asked at all.
func (d *loader) tryWhere(ctx context.Context, conn *pgx.Conn, p *preserving, kind, which string) error {
	if p.Where == "" {
		return nil
	}
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL search_path = "+d.searchPath()); err != nil {
			return err
		}
		_, err := executeOne(ctx, conn, "SELECT FROM "+p.from(kind)+p.condition()+" LIMIT 0")
		return err
	})
	if err == nil {
		return nil
	}
	explained := stepError(fmt.Sprintf("%s: the where of %s, in %s", p.origin(), p.Table, which), err)
	if !hasServerCode(err) {
		return explained
	}
	return envdb.Fail(envdb.ErrPreflight, "%w", explained).WithState("nothing was loaded").
		WithNext("correct the where of %s in the configuration", p.Table)
}
