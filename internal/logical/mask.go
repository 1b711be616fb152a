package logical

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/mask"
	"github.com/envdb/envdb/internal/postgres"
)

// Masking says what is replaced on the way into the copy.
type Masking struct {
	Rules *mask.Rules
	Key   mask.Key
	// Strict refuses a database with a column that has no rule.
	Strict bool
}

// masks is the masking of one load, once the tables are there.
type masks struct {
	plan    *mask.Plan
	samples *mask.Samples
	maskers map[Name]*mask.Masker
	// moved are the partitions whose rows may belong into others once they are
	// masked, with the roots through which they are loaded.
	moved map[Name]Name
	// trees are the partitions of the roots in moved, with their roots: rows of
	// one partition may come to lie in another that has no rule itself.
	trees map[Name]Name
}

// Masked is what a load masked.
type Masked struct {
	// Columns is how many columns of the rules were masked, Emptied how many
	// tables got no rows, and Looked for how many values the scan can look for.
	Columns int `json:"columns"`
	Emptied int `json:"emptied,omitempty"`
	Samples int `json:"samples"`
	// Digest is of the rules.
	Digest string `json:"digest"`

	masks *masks
}

// planMasking holds the rules against the tables, which exist by now and are
// empty.
func (d *loader) planMasking(ctx context.Context, s *session) error {
	if d.Mask == nil {
		return nil
	}
	shapes, err := ReadShapes(ctx, s.conn)
	if err != nil {
		return err
	}
	plan, findings := mask.Match(d.Mask.Rules, shapes, d.Mask.Strict, d.cat.LargeObjects.Count)
	if err := refuseFindings(d.Mask.Rules, findings); err != nil {
		return err
	}
	d.masks = &masks{plan: plan, samples: mask.NewSamples(), maskers: map[Name]*mask.Masker{}}
	if d.masks.moved, d.masks.trees, err = movedBy(ctx, s, plan); err != nil {
		return err
	}
	for _, t := range d.cat.Tables {
		if p := d.masks.of(t); p != nil && len(p.Columns) > 0 {
			d.masks.maskers[Name{t.Schema, t.Name}] = p.Masker(d.Mask.Key, t.columnNames(), t.Format == formatBinary, t.Rows, d.masks.samples)
			if err := d.tryExpressions(ctx, s, t, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuseFindings fails if the rules do not fit the database.
func refuseFindings(rules *mask.Rules, findings []mask.Finding) error {
	var texts []string
	for _, f := range findings {
		if f.Kind != mask.Risk {
			texts = append(texts, f.String())
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return envdb.Fail(envdb.ErrPreflight, "the rules of the masking do not fit the database: %s", firstOf(texts, named)).
		WithNext("correct %s, and try it with `envdb mask check`", rules.File)
}

// of returns what is masked of a table of the backup, or nil.
func (m *masks) of(t Table) *mask.TablePlan {
	if m == nil || t.Extension != "" {
		return nil
	}
	return m.plan.Table(mask.Name{Schema: t.Schema, Name: t.Name})
}

// empties reports whether a table gets no rows.
func (m *masks) empties(t Table) bool {
	p := m.of(t)
	return p != nil && p.Empty
}

// omitLarge reports whether large objects are left out.
func (m *masks) omitLarge() bool { return m != nil && m.plan.Large == mask.OmitLarge }

// routed returns the table as it is loaded: through the root, if its rows may
// move to other partitions.
func (m *masks) routed(t Table) Table {
	if m == nil {
		return t
	}
	return t.through(m.moved)
}

// countedIn returns the table as its rows are counted: with all partitions of
// its root, if rows may move between any of them.
func (m *masks) countedIn(t Table) Table {
	if m == nil {
		return t
	}
	return t.through(m.trees)
}

// through returns the table with its rows in the root that it has among roots.
func (t Table) through(roots map[Name]Name) Table {
	if root, ok := roots[Name{t.Schema, t.Name}]; ok {
		t.LoadInto = &root
	}
	return t
}

func (t Table) columnNames() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// keysQuery lists the partitions with their roots and the columns by which
// rows are spread somewhere above them; "" stands for an expression.
const keysQuery = `
	WITH RECURSIVE tree(root, relid, keys) AS (
		SELECT c.oid, c.oid, ARRAY[]::name[] FROM pg_catalog.pg_class AS c WHERE c.relkind = 'p' AND NOT c.relispartition
		UNION ALL
		SELECT t.root, i.inhrelid, t.keys || ARRAY(
			SELECT coalesce(a.attname, '') FROM pg_catalog.pg_partitioned_table AS p, unnest(p.partattrs::int2[]) AS k(n)
			LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.relid AND a.attnum = k.n AND k.n <> 0 WHERE p.partrelid = t.relid)
		FROM tree AS t JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.relid)
	SELECT n.nspname::text, c.relname::text, rn.nspname::text, r.relname::text, t.keys::text[]
	FROM tree AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.relid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_class AS r ON r.oid = t.root JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
	WHERE t.relid <> t.root`

// movedBy returns the partitions whose rows the plan may move, and all
// partitions into which it may move rows; both with their roots.
func movedBy(ctx context.Context, s *session, plan *mask.Plan) (moved, trees map[Name]Name, err error) {
	type row struct {
		Schema, Name, RootSchema, Root string
		Keys                           []string
	}
	rows, err := query[row](ctx, s.conn, keysQuery)
	if err != nil {
		return nil, nil, stepError("read the keys of partitions", err)
	}
	moved, trees = map[Name]Name{}, map[Name]Name{}
	mixed := map[Name]bool{} // roots
	for _, r := range rows {
		p := plan.Table(mask.Name{Schema: r.Schema, Name: r.Name})
		if p == nil {
			continue
		}
		if slices.Contains(r.Keys, "") || slices.ContainsFunc(p.Columns, func(c *mask.Column) bool { return slices.Contains(r.Keys, c.Name) }) {
			root := Name{r.RootSchema, r.Root}
			moved[Name{r.Schema, r.Name}], mixed[root] = root, true
		}
	}
	for _, r := range rows {
		if root := (Name{r.RootSchema, r.Root}); mixed[root] {
			trees[Name{r.Schema, r.Name}] = root
		}
	}
	return moved, trees, nil
}

// tryExpressions has the server read the expressions of a table before any row
// is loaded.
func (d *loader) tryExpressions(ctx context.Context, s *session, t Table, p *mask.TablePlan) error {
	for _, c := range p.Expressions() {
		before := fmt.Sprintf("EXPLAIN INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT (\n", postgres.QuoteName(t.Schema, t.Name), postgres.Quote(c.Name))
		sql := before + c.Expression() + "\n) FROM " + d.stagedAs(t, "(SELECT "+d.stagedColumns(t)+" FROM ONLY "+postgres.QuoteName(t.Schema, t.Name)+")")
		err := s.exec(ctx, d.withSearchPath(sql))
		if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) {
			return envdb.Fail(envdb.ErrPreflight, "%s: the expression for %s.%s.%s does not work: %s (SQLSTATE %s)", c.Rule.At, t.Schema, t.Name, c.Name, pgErr.Message, pgErr.Code).
				WithNext("correct the expression: it sees the columns of the row by their names, and %s", "{hash}")
		}
		if err != nil {
			return stepError("try the expressions of the masking", err)
		}
	}
	return nil
}

// maskedColumns names the masked columns of a table, for an error about it.
func (m *masks) maskedColumns(schema, name string) string {
	if m == nil {
		return ""
	}
	p := m.plan.Table(mask.Name{Schema: schema, Name: name})
	if p == nil {
		return ""
	}
	var texts []string
	for _, c := range p.Columns {
		texts = append(texts, fmt.Sprintf("%s (%s, %s)", c.Name, c.Rule.Rule, c.Rule.At))
	}
	return strings.Join(texts, ", ")
}

// refuseUnreached fails if a rule for a place in documents found nothing in any
// of them: what it was written for may lie elsewhere, and was copied as it is.
func (d *loader) refuseUnreached() error {
	if d.masks == nil {
		return nil
	}
	unreached := d.masks.plan.Unreached()
	if len(unreached) == 0 {
		return nil
	}
	return envdb.Fail(envdb.ErrVerification, "rules of the masking match nothing: %s", firstOf(unreached, named)).
		WithNext("correct the paths in %s; one that documents need not have ends in a question mark: {newsletter?: redact}", d.Mask.Rules.File)
}

// masked returns what was masked, or nil.
func (d *loader) masked() *Masked {
	if d.masks == nil {
		return nil
	}
	columns, emptied := d.masks.plan.Counts()
	return &Masked{Columns: columns, Emptied: emptied, Samples: d.masks.samples.Count(), Digest: d.Mask.Rules.Digest(), masks: d.masks}
}

// masks returns the masking of the load, or nil.
func (l *Loaded) masks() *masks {
	if l.Masked == nil {
		return nil
	}
	return l.Masked.masks
}
