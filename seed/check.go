package seed

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
)

// checkConstraints looks once more at what the load relied on: nothing is left
// to be checked, no constraint was lost on the way, none is invalid unless the
// migrations made it so.
func (l *loader) checkConstraints(ctx context.Context) error {
	if err := l.exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return wrapped(envdb.Fail(envdb.ErrPreflight, "a constraint does not hold after the load: %v", err), err)
	}
	const invalid = `
SELECT 'the constraint ' || pg_catalog.quote_ident(c.conname) || ' of ' || c.conrelid::regclass::text || ' is NOT VALID: rows from before it are not checked'
FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
WHERE NOT c.convalidated AND n.nspname NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT 'the index ' || i.indexrelid::regclass::text || ' is invalid: queries do not use it'
FROM pg_catalog.pg_index i WHERE NOT i.indisvalid ORDER BY 1`
	rows, err := l.conn.Query(ctx, invalid)
	if err != nil {
		return fmt.Errorf("read the constraints: %w", err)
	}
	notes, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read the constraints: %w", err)
	}
	l.notes = append(l.notes, notes...)
	return nil
}

// momentary finds what gives other values each time in an expression: the time,
// random numbers, new UUIDs, and who is asking.
var momentary = regexp.MustCompile(`(?i)\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|random_normal|` +
	`gen_random_uuid|gen_random_bytes|uuidv4|uuidv7|uuid_generate_v1|uuid_generate_v1mc|uuid_generate_v4|txid_current|pg_current_xact_id|pg_backend_pid)\s*\(` +
	`|\b(current_timestamp|current_date|current_time|localtimestamp|localtime|current_user|session_user|current_role)\b|'now'`)

// noteVolatile lists the columns of a row that the database fills with
// something that is not the same every time.
func (l *loader) noteVolatile(t *table, r *insert) {
	for _, c := range t.columns {
		if cell := r.cell(c.name); cell == nil {
			l.noteDefault(t, c)
		} else if cell.sql != "" && momentary.MatchString(cell.sql) {
			l.vague[fmt.Sprintf("%s.%s (RAW=%s)", t, c.name, cell.sql)] = true
		}
	}
}

// noteDefault lists a column that takes its default.
func (l *loader) noteDefault(t *table, c *column) {
	if !c.generated && (momentary.MatchString(c.def) || l.callsVolatile(c.def)) {
		l.vague[fmt.Sprintf("%s.%s (default %s)", t, c.name, c.def)] = true
	}
}

// call finds the functions that an expression calls.
var call = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_$.]*)\s*\(`)

// callsVolatile reports whether an expression calls a function of the users'
// own that is volatile. What a sequence gives is the same each time.
func (l *loader) callsVolatile(expression string) bool {
	for _, found := range call.FindAllStringSubmatch(expression, -1) {
		name := found[1][strings.LastIndexByte(found[1], '.')+1:]
		if l.cat.volatile[name] {
			return true
		}
	}
	return false
}
