package logical

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// counting is what is counted at once: a table by itself, or the tables that
// were loaded through one root, whose rows may lie in other partitions now.
type counting struct {
	name   string
	tables []Table
	want   int64
	source string // of the rows that are wanted, for people
}

// rows counts the rows of every table.
func (c *checker) rows(ctx context.Context) (CheckResult, error) {
	todo := c.countings()
	var mu sync.Mutex
	var result CheckResult
	err := c.parallel(ctx, len(todo), func(ctx context.Context, conn *pgx.Conn, i int) error {
		n, refused, err := count(ctx, conn, todo[i].tables, searchPath(c.cat))
		if err != nil {
			return stepError("count the rows of "+todo[i].name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		c.report.Rows += n
		c.report.Tables += len(todo[i].tables)
		if d, ok := c.judgeCount(todo[i], n, refused); ok {
			result.sort(d)
		}
		return nil
	})
	slices.SortFunc(result.Differences, func(a, b Difference) int { return strings.Compare(a.Identity, b.Identity) })
	return result, err
}

// judgeCount compares a count with the catalogue.
func (c *checker) judgeCount(t counting, n int64, refused string) (Difference, bool) {
	d := Difference{Kind: Different, Class: "rows", Identity: t.name}
	switch {
	case refused != "":
		d.Detail, d.Why = "not counted", refused
	case n != t.want:
		d.Detail, d.Why = fmt.Sprintf("%d rows, %d %s", n, t.want, t.source), c.files()
	default:
		return d, false
	}
	return d, true
}

// countings lists what to count, biggest first.
func (c *checker) countings() []counting {
	var out []counting
	at := map[Name]int{}
	for _, t := range c.cat.Tables {
		kept := c.preserved(t)
		if t.SchemaOnly && kept == nil || t.Condition != "" || slices.Contains(c.expect.SkippedExtensions, t.Extension) && t.Extension != "" {
			continue // of an extension's table the backup holds some rows only
		}
		m := c.expect.Loaded.masks()
		t = m.countedIn(t)
		if m.empties(t) {
			t.Rows = 0
		}
		key, together := Name{t.Schema, t.Name}, t.LoadInto != nil || kept != nil
		switch {
		case kept != nil:
			key = kept.Table
		case t.LoadInto != nil:
			key = *t.LoadInto
		}
		i, ok := at[key]
		if !ok || !together {
			i = len(out)
			at[key] = i
			out = append(out, c.counting(key, kept))
		}
		out[i].tables = append(out[i].tables, t)
		out[i].want += t.Rows
	}
	slices.SortStableFunc(out, func(a, b counting) int { return int(min(1, max(-1, b.want-a.want))) })
	return out
}

// preserved returns what a load did about the preserved table that a table of
// the backup belongs to, or nil.
func (c *checker) preserved(t Table) *PreservedRows {
	for i, p := range c.expect.Loaded.Preserved {
		if slices.Contains(p.Parts, Name{t.Schema, t.Name}) {
			return &c.expect.Loaded.Preserved[i]
		}
	}
	return nil
}

// counting begins to count a table, with the rows that were preserved in it.
func (c *checker) counting(table Name, kept *PreservedRows) counting {
	n := counting{name: table.String(), source: "in the backup"}
	if kept != nil {
		n.want, n.source = kept.Rows-kept.Removed, "in the backup and preserved"
	}
	return n
}

// count returns the rows of the tables, each without its children. A table
// that the role may not read whole is not counted, and refused says why.
func count(ctx context.Context, conn *pgx.Conn, tables []Table, path string) (n int64, refused string, err error) {
	for _, t := range tables {
		rows, err := countOne(ctx, conn, t, path)
		if hasCode(err, codeInsufficient) {
			return n, "the role may not read all of " + t.Schema + "." + t.Name, nil
		}
		if hasCode(err, codeUndefinedTable, codeUndefinedSchema) {
			continue // a table that is missing has no rows
		}
		if err != nil {
			return n, "", err
		}
		n += rows
	}
	return n, "", nil
}

// countOne counts one table. Planning looks at the functions of its indexes;
// those that rely on a search path get the one that the source's database had.
func countOne(ctx context.Context, conn *pgx.Conn, t Table, path string) (rows int64, err error) {
	sql := "SELECT pg_catalog.count(*) FROM ONLY " + postgres.QuoteName(t.Schema, t.Name)
	err = conn.QueryRow(ctx, sql).Scan(&rows)
	if !missesName(err) {
		return rows, err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL search_path = "+path); err != nil {
			return err
		}
		return tx.QueryRow(ctx, sql).Scan(&rows)
	})
	return rows, err
}

// parallel calls f for 0 to n-1 on sessions like the checker's own.
func (c *checker) parallel(ctx context.Context, n int, f func(context.Context, *pgx.Conn, int) error) error {
	jobs := c.expect.Jobs
	if jobs <= 0 {
		jobs = defaultJobs
	}
	var app string
	if err := c.conn.QueryRow(ctx, "SELECT pg_catalog.current_setting('application_name')").Scan(&app); err != nil {
		return postgres.Explain(err, "read the session's name")
	}
	config := c.conn.Config()
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	for range min(jobs, n) {
		group.Go(func() error {
			conn, err := postgres.Connect(ctx, envdb.ConnString(config.ConnString()), postgres.Options{App: app, Database: config.Database, Pin: true})
			if err != nil {
				return err
			}
			s := session{conn: conn}
			defer s.close(ctx)
			for i := range next {
				if err := f(ctx, conn, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// sequencesCompared is how many sequences one query reads.
const sequencesCompared = 200

// sequences compares the state of every sequence.
func (c *checker) sequences(ctx context.Context) (CheckResult, error) {
	var result CheckResult
	for rest := c.cat.Sequences; len(rest) > 0; {
		n := min(len(rest), sequencesCompared)
		if err := c.compareSequences(ctx, rest[:n], &result); err != nil {
			return result, err
		}
		rest = rest[n:]
	}
	return result, nil
}

func (c *checker) compareSequences(ctx context.Context, batch []Sequence, result *CheckResult) error {
	batch, err := c.present(ctx, batch, result)
	if err != nil || len(batch) == 0 {
		return err
	}
	var parts []string
	for i, q := range batch {
		batch[i] = c.moved(q)
		parts = append(parts, fmt.Sprintf("SELECT %d, last_value, is_called FROM %s", i, postgres.QuoteName(q.Schema, q.Name)))
	}
	rows, err := c.conn.Query(ctx, strings.Join(parts, " UNION ALL "))
	if err != nil {
		return stepError("read the sequences", err)
	}
	var i int
	var last int64
	var called bool
	_, err = pgx.ForEachRow(rows, []any{&i, &last, &called}, func() error {
		if q := batch[i]; last != q.LastValue || called != q.IsCalled {
			result.sort(Difference{
				Kind: Different, Class: "sequence", Identity: q.Schema + "." + q.Name, Why: c.files(),
				Detail: fmt.Sprintf("at %d (called: %t), in the backup at %d (called: %t)", last, called, q.LastValue, q.IsCalled),
			})
		}
		return nil
	})
	if hasCode(err, codeInsufficient) {
		result.Outcome, result.Reason = Skipped, "the role may not read all sequences"
		return nil
	}
	if err != nil {
		return stepError("read the sequences", err)
	}
	return nil
}

// moved returns where a sequence is expected to stand.
func (c *checker) moved(q Sequence) Sequence {
	for _, m := range c.expect.Loaded.Sequences {
		if m.Schema == q.Schema && m.Name == q.Name {
			return m
		}
	}
	return q
}

// present returns those of the sequences that exist, and records the others.
func (c *checker) present(ctx context.Context, batch []Sequence, result *CheckResult) ([]Sequence, error) {
	names := make([]string, len(batch))
	for i, q := range batch {
		names[i] = postgres.QuoteName(q.Schema, q.Name)
	}
	const q = `SELECT pg_catalog.to_regclass(n) IS NOT NULL FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS u(n, i) ORDER BY i`
	rows, err := c.conn.Query(ctx, q, names)
	if err != nil {
		return nil, stepError("look for the sequences", err)
	}
	exists, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil {
		return nil, stepError("look for the sequences", err)
	}
	var out []Sequence
	for i, s := range batch {
		if exists[i] {
			out = append(out, s)
			continue
		}
		d := Difference{Kind: Missing, Class: "sequence", Identity: s.Schema + "." + s.Name}
		if len(c.expect.SkippedExtensions) > 0 {
			d.Why = "it may be a skipped extension's"
		}
		result.sort(d)
	}
	return out, nil
}

// largeObjects counts the large objects.
func (c *checker) largeObjects(ctx context.Context) (CheckResult, error) {
	var n int64
	if err := c.conn.QueryRow(ctx, "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata").Scan(&n); err != nil {
		return CheckResult{}, stepError("count the large objects", err)
	}
	var result CheckResult
	if c.expect.Loaded.masks().omitLarge() {
		return skippedCheck("large objects are left out, as the rules of the masking say"), nil
	}
	if n != c.cat.LargeObjects.Count {
		result.sort(Difference{
			Kind: Different, Class: "large objects", Identity: "of the database", Why: c.files(),
			Detail: fmt.Sprintf("%d, in the backup %d", n, c.cat.LargeObjects.Count),
		})
	}
	return result, nil
}

// materializedViews looks whether the views that were populated are.
func (c *checker) materializedViews(ctx context.Context) (CheckResult, error) {
	const q = `SELECT n.nspname::text, c.relname::text, c.relispopulated FROM pg_catalog.pg_class AS c
		JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'm'`
	rows, err := c.conn.Query(ctx, q)
	if err != nil {
		return CheckResult{}, stepError("list the materialized views", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[MaterializedView])
	if err != nil {
		return CheckResult{}, stepError("list the materialized views", err)
	}
	var result CheckResult
	for _, v := range c.cat.MaterializedViews {
		if slices.Contains(found, v) {
			continue
		}
		d := Difference{Kind: Different, Class: "materialized view", Identity: v.Schema + "." + v.Name, Detail: "populated: want " + fmt.Sprint(v.Populated)}
		if slices.Contains(c.expect.Loaded.Left, "MATERIALIZED VIEW DATA "+d.Identity) {
			d.Why = "it reads foreign tables"
		}
		result.sort(d)
	}
	return result, nil
}
