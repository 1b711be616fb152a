package logical

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical/archive"
)

// Own is what an environment has of its own in a copy of another one: rows
// that survive, and what points somewhere else. Tables may be named without
// their schema; see [Own.Resolve].
type Own struct {
	// Live leads to the version that the copy is going to replace, around any
	// pooler. It is empty if there is none yet.
	Live     envdb.ConnString
	Preserve []Preserved
	Remap    Remap
}

// Resolve returns o with the whole names of its tables, and refuses, before
// anything is created, what a load would refuse later: tables and servers that
// the backup has not, and tables that the live version has not or would not
// show.
func (o Own) Resolve(ctx context.Context, r ChunkReader, cat *Catalogue, app string) (Own, error) {
	if len(o.Preserve) == 0 && o.Remap.isEmpty() {
		return o, nil
	}
	a, err := readArchive(ctx, r)
	if err != nil {
		return o, err
	}
	if o, err = o.named(outline{a, cat}); err != nil {
		return o, err
	}
	return o, o.askLive(ctx, app)
}

// named completes the names of the tables.
func (o Own) named(out outline) (Own, error) {
	o.Preserve = slices.Clone(o.Preserve)
	for i, p := range o.Preserve {
		full, err := out.find(p.Table)
		if err != nil {
			return o, ownError(err, p.origin())
		}
		if j := slices.IndexFunc(o.Preserve[:i], func(other Preserved) bool { return other.Table == full }); j >= 0 {
			return o, ownError(envdb.Fail(envdb.ErrPreflight, "table %s is named twice", full), p.origin())
		}
		o.Preserve[i].Table = full
	}
	o.Remap.Rows = slices.Clone(o.Remap.Rows)
	for i, rows := range o.Remap.Rows {
		full, err := out.find(rows.Table)
		if err != nil {
			return o, ownError(err, rows.Entry)
		}
		o.Remap.Rows[i].Table = full
	}
	for _, s := range o.Remap.Servers {
		if !out.hasServer(s.Name) {
			return o, ownError(envdb.Fail(envdb.ErrPreflight, "the backup has no foreign server %s", s.Name), "remap")
		}
	}
	return o, nil
}

// ownError says which part of the configuration is meant.
func ownError(err error, entry string) error {
	_, next := envdb.Advice(err)
	if next == "" {
		next = "correct the configuration"
	}
	return envdb.Fail(envdb.ErrPreflight, "%s: %w", entry, err).WithState("nothing was changed").WithNext("%s", next)
}

// outline is what a backup says of its tables.
type outline struct {
	archive *archive.Archive
	cat     *Catalogue
}

// notTables are relations that a name may mean by mistake.
var notTables = map[string]bool{"VIEW": true, "MATERIALIZED VIEW": true, "FOREIGN TABLE": true, "SEQUENCE": true}

// find returns the whole name of a table. One that is named without its schema
// is that of schema public, or else the only one of its name.
func (out outline) find(n Name) (Name, error) {
	var found []Name
	for _, e := range out.archive.Entries {
		if e.Tag != n.Name || n.Schema != "" && e.Schema != n.Schema {
			continue
		}
		if e.Type == "TABLE" {
			found = append(found, Name{e.Schema, e.Tag})
		} else if n.Schema != "" && notTables[e.Type] {
			return n, envdb.Fail(envdb.ErrPreflight, "%s is a %s in the backup, and no table", n, strings.ToLower(e.Type))
		}
	}
	public := Name{"public", n.Name}
	switch {
	case len(found) == 1:
		return found[0], nil
	case slices.Contains(found, public):
		return public, nil
	case len(found) > 1:
		return n, envdb.Fail(envdb.ErrPreflight, "the backup has several tables %s: %s", n, joinNames(found)).WithNext("name it with its schema")
	}
	return n, out.missing(n)
}

// missing says why there is no such table.
func (out outline) missing(n Name) error {
	for _, t := range out.cat.Tables {
		if t.Extension != "" && t.Name == n.Name && (n.Schema == "" || t.Schema == n.Schema) {
			return envdb.Fail(envdb.ErrPreflight, "table %s.%s belongs to the extension %s, which makes it and fills it", t.Schema, t.Name, t.Extension)
		}
	}
	p := envdb.Fail(envdb.ErrPreflight, "the backup has no table %s", n)
	for _, e := range out.archive.Entries {
		if e.Type == "TABLE" && strings.EqualFold(e.Tag, n.Name) && (n.Schema == "" || strings.EqualFold(e.Schema, n.Schema)) {
			return p.WithNext("did you mean %s? names are read as in SQL: capitals need double quotes", quoted([]string{e.Schema, e.Tag}))
		}
	}
	return p.WithNext("correct the name, or remove it from the configuration if the source dropped the table")
}

func (out outline) hasServer(name string) bool {
	return slices.ContainsFunc(out.archive.Entries, func(e archive.Entry) bool { return e.Type == "SERVER" && e.Tag == name })
}

// String returns the name for people.
func (n Name) String() string {
	if n.Schema == "" {
		return n.Name
	}
	return n.Schema + "." + n.Name
}

func joinNames(names []Name) string {
	var texts []string
	for _, n := range names {
		texts = append(texts, n.String())
	}
	return strings.Join(texts, ", ")
}

// countOf returns e.g. "1 row" or "2 rows".
func countOf(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
