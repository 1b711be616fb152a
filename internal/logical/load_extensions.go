package logical

import (
	"context"
	"slices"
	"strings"

	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/internal/postgres"
)

// skipsExtension reports whether the extension is not to be created.
func (d *loader) skipsExtension(name string) bool {
	return name != "" && slices.Contains(d.SkipExtensions, name)
}

// extensionStatements creates an extension in the version that the source had,
// where the target offers it, so that its objects are the same.
func (d *loader) extensionStatements(e archive.Entry) []string {
	sql := strings.TrimRight(strings.TrimSpace(e.SQL()), ";")
	for _, x := range d.cat.Extensions {
		if x.Name == e.Tag && d.target.offers(x) {
			return []string{sql + " VERSION " + postgres.Quote(x.Version)}
		}
	}
	return []string{sql}
}

// clearTemplate removes what the target's template holds and the source does
// not: both are there after CREATE DATABASE, and may have been dropped.
func (d *loader) clearTemplate(ctx context.Context, s *session) error {
	if !slices.ContainsFunc(d.cat.Extensions, func(x Extension) bool { return x.Name == "plpgsql" }) && d.cat.Extensions != nil {
		if err := s.exec(ctx, "DROP EXTENSION IF EXISTS plpgsql"); err != nil {
			return stepError("drop extension plpgsql, which the source lacks", err)
		}
	}
	if len(d.cat.Objects) == 0 || d.hasPublicSchema() {
		return nil
	}
	if err := s.exec(ctx, "DROP SCHEMA IF EXISTS public"); err != nil {
		return stepError("drop schema public, which the source lacks", err)
	}
	d.record.note("schema public was dropped: the source has none")
	return nil
}

func (d *loader) hasPublicSchema() bool {
	return slices.ContainsFunc(d.cat.Objects, func(o Object) bool { return o.Class == "schema" && o.Identity == "public" }) ||
		slices.ContainsFunc(d.cat.Tables, func(t Table) bool { return t.Schema == "public" }) ||
		slices.ContainsFunc(d.archive.Entries, func(e archive.Entry) bool { return e.Schema == "public" || isPublicSchema(e) })
}

// offers reports whether the target can install exactly this version. A target
// of a newer major version gets its own default, as pg_upgrade advises.
func (t target) offers(x Extension) bool {
	return t.sameMajor && slices.Contains(t.extensions[x.Name], x.Version)
}
