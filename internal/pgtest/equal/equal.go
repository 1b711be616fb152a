// Package equal compares two databases, for tests that must know whether a copy
// is whole.
//
// Its one idea is to ask somebody else: the schema is what pg_dump says of it,
// a table is what COPY says of it, and nothing of envdb's own reading is used,
// so a mistake there cannot hide itself.
package equal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
)

// Options says what is compared, and what may differ. The zero Options compare
// everything and allow nothing.
type Options struct {
	// Parts is what is compared; none means all of them.
	Parts []Part
	// Ignore reports whether a difference is expected. It sees the first line
	// of each difference that Diff would return, which names the object, and
	// apart from that each line of a definition that is on one side only,
	// with its sign ("- " for a, "+ " for b) and without. A definition of
	// which every differing line is expected does not differ.
	Ignore func(difference string) bool
	// PgDump is the pg_dump to use; empty means the oldest installed one that
	// is new enough for both servers.
	PgDump string
}

// Part is an aspect of a database.
type Part string

// The parts of a database, in the order in which they are compared.
const (
	// Definitions is what pg_dump --schema-only prints, with owners and rights.
	Definitions Part = "definitions"
	// Rows is what every table holds by itself, generated columns included.
	// Tables under a hash partition over an enum are compared as one with
	// the topmost such table, because the oids of enum values choose the leaf.
	Rows Part = "rows"
	// Sequences is last_value and is_called of every sequence.
	Sequences Part = "sequences"
	// LargeObjects is the content, owner, rights and comment of each.
	LargeObjects Part = "large objects"
	// MaterializedViews is whether each is populated, and its rows.
	MaterializedViews Part = "materialised views"
	// Settings is pg_db_role_setting for the database and for roles in it.
	Settings Part = "settings"
	// Locale is the encoding, the locales and the collation provider.
	Locale Part = "locale"
	// Comment is the comment on the database.
	Comment Part = "comment"
)

// comparison is how one part is compared.
type comparison struct {
	part    Part
	compare func(ctx context.Context, a, b side) ([]string, error)
}

func comparisons(o Options) []comparison {
	return []comparison{
		{Definitions, func(ctx context.Context, a, b side) ([]string, error) { return definitions(ctx, a, b, o) }},
		{Rows, tables},
		{Sequences, sequences},
		{LargeObjects, listing(largeObjectsQuery)},
		{MaterializedViews, materializedViews},
		{Settings, listing(settingsQuery)},
		{Locale, listing(localeQuery)},
		{Comment, listing(commentQuery)},
	}
}

// Diff returns how database b differs from database a, one difference per
// string, sorted within each part; none means that they are equal. It connects
// as the URLs say, which must be superusers, and changes nothing.
func Diff(ctx context.Context, a, b envdb.ConnString, o Options) ([]string, error) {
	left, err := open(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	defer left.close(ctx)
	right, err := open(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	defer right.close(ctx)

	var all []string
	for _, c := range comparisons(o) {
		if len(o.Parts) > 0 && !slices.Contains(o.Parts, c.part) {
			continue
		}
		found, err := c.compare(ctx, left, right)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", c.part, err)
		}
		for _, difference := range found {
			first, _, _ := strings.Cut(difference, "\n")
			if o.Ignore == nil || !o.Ignore(first) {
				all = append(all, difference)
			}
		}
	}
	return all, nil
}

// Schema fails the test for every difference between the definitions of the two
// databases that no ignore function expects. An ignore function sees the
// differing lines of each object, and the names of objects on one side only.
func Schema(t testing.TB, a, b envdb.ConnString, ignore ...func(line string) bool) {
	t.Helper()
	Check(t, a, b, Options{Parts: []Part{Definitions}, Ignore: anyOf(ignore)})
}

// Data fails the test for every difference between what the two databases
// hold: rows, sequences, large objects, materialised views, and settings.
func Data(t testing.TB, a, b envdb.ConnString, ignore ...func(line string) bool) {
	t.Helper()
	Check(t, a, b, Options{
		Parts:  []Part{Rows, Sequences, LargeObjects, MaterializedViews, Settings, Locale},
		Ignore: anyOf(ignore),
	})
}

// Check fails the test for every difference that Diff finds.
func Check(t testing.TB, a, b envdb.ConnString, o Options) {
	t.Helper()
	differences, err := Diff(t.Context(), a, b, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range differences {
		t.Error(difference)
	}
}

func anyOf(ignore []func(string) bool) func(string) bool {
	return func(line string) bool {
		return slices.ContainsFunc(ignore, func(f func(string) bool) bool { return f(line) })
	}
}

// side is one of the two databases.
type side struct {
	url  envdb.ConnString
	conn *pgx.Conn
}

// session makes both sides print values alike, and all of them.
const session = `SET search_path = ''; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';
SET extra_float_digits = 3; SET bytea_output = 'hex'; SET xmlbinary = 'base64'; SET row_security = off;
SET lc_monetary = 'C'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
SET default_transaction_read_only = on`

func open(ctx context.Context, url envdb.ConnString) (side, error) {
	conn, err := pgx.Connect(ctx, url.Reveal())
	if err != nil {
		return side{}, fmt.Errorf("connect to %s: %w", url, err)
	}
	s := side{url: url, conn: conn}
	if _, err := conn.Exec(ctx, session, pgx.QueryExecModeSimpleProtocol); err != nil {
		s.close(ctx)
		return side{}, fmt.Errorf("prepare the session at %s: %w", url, err)
	}
	return s, nil
}

func (s side) close(ctx context.Context) { _ = s.conn.Close(context.WithoutCancel(ctx)) }
