package equal

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// largeObjectsQuery describes every large object. Sparse ones compare equal to
// ones with the holes filled, as every reader sees them.
const largeObjectsQuery = `
SELECT 'large object ' || m.oid,
       format('%s bytes, sha256 %s, owner %s, rights %s, comment %L',
           length(content), encode(sha256(content), 'hex'), m.lomowner::regrole,
           (SELECT string_agg(item::text, ' ' ORDER BY item::text) FROM unnest(coalesce(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) AS item),
           pg_catalog.obj_description(m.oid, 'pg_largeobject'))
FROM pg_catalog.pg_largeobject_metadata AS m, LATERAL (SELECT pg_catalog.lo_get(m.oid) OFFSET 0) AS l (content)`

const settingsQuery = `
SELECT 'setting of ' || CASE WHEN s.setrole = 0 THEN 'everyone' ELSE pg_catalog.pg_get_userbyid(s.setrole)::text END || ': ' || split_part(item, '=', 1),
       substr(item, strpos(item, '=') + 1)
FROM pg_catalog.pg_db_role_setting AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase, unnest(s.setconfig) AS item
WHERE d.datname = current_database()`

// localeQuery reads the columns by way of JSON, because their names changed:
// daticulocale became datlocale in PostgreSQL 17.
const localeQuery = `
SELECT key, value FROM (
    SELECT to_jsonb(d) AS d FROM pg_catalog.pg_database AS d WHERE datname = current_database()) AS db,
LATERAL (VALUES
    ('encoding', pg_catalog.pg_encoding_to_char((d ->> 'encoding')::integer)::text),
    ('locale provider', d ->> 'datlocprovider'),
    ('LC_COLLATE', d ->> 'datcollate'),
    ('LC_CTYPE', d ->> 'datctype'),
    ('locale', coalesce(d ->> 'datlocale', d ->> 'daticulocale', '')),
    ('ICU rules', coalesce(d ->> 'daticurules', ''))) AS facts (key, value)`

const commentQuery = `
SELECT 'comment on the database', coalesce(pg_catalog.shobj_description(oid, 'pg_database'), '')
FROM pg_catalog.pg_database WHERE datname = current_database()`

// listing returns a comparison of what a query says: pairs of a name and a text.
func listing(query string) func(ctx context.Context, a, b side) ([]string, error) {
	return func(ctx context.Context, a, b side) ([]string, error) {
		left, err := pairs(ctx, a.conn, query)
		if err != nil {
			return nil, err
		}
		right, err := pairs(ctx, b.conn, query)
		if err != nil {
			return nil, err
		}
		return compareMaps(left, right), nil
	}
}

// pairs returns the rows of a query of two text columns.
func pairs(ctx context.Context, conn *pgx.Conn, query string) (map[string]string, error) {
	found := map[string]string{}
	answer, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	var name, text string
	_, err = pgx.ForEachRow(answer, []any{&name, &text}, func() error {
		found[name] = text
		return nil
	})
	return found, err
}

// compareMaps returns the differences between two sets of named texts.
func compareMaps(a, b map[string]string) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if text, both := b[name]; !both {
			found = append(found, fmt.Sprintf("%s: only in a (%s)", name, shorten(a[name])))
		} else if text != a[name] {
			found = append(found, fmt.Sprintf("%s differs\n\t- %s\n\t+ %s", name, a[name], text))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, both := a[name]; !both {
			found = append(found, fmt.Sprintf("%s: only in b (%s)", name, shorten(b[name])))
		}
	}
	return found
}
