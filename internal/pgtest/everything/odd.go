package everything

import (
	"fmt"
	"strings"
)

// The builders below make one table each that few tools have been tried on.
// The name is an identifier as SQL takes it, quoted where it must be.

// MegabyteRows returns statements that make a table of rows with a text of 1 MiB
// that compresses well, a bytea of 1 MiB that hardly does, and a generated hash.
func MegabyteRows(name string, rows int) string {
	return fmt.Sprintf(`CREATE TABLE %[1]s (id integer PRIMARY KEY, t text, b bytea, h text GENERATED ALWAYS AS (md5(t)) STORED);
ALTER TABLE %[1]s ALTER COLUMN b SET STORAGE EXTERNAL;
INSERT INTO %[1]s
SELECT i, repeat(md5(i::text), 32768),
       (SELECT string_agg(sha256(convert_to(i || '/' || j, 'SQL_ASCII')), '' ORDER BY j) FROM generate_series(1, 32768) AS j)
FROM generate_series(1, %[2]d) AS i;`, name, rows)
}

// ManyColumns returns statements that make a table of 1,600 columns, PostgreSQL's
// limit, a seventh of them NULL.
func ManyColumns(name string, rows int) string {
	return fmt.Sprintf(`DO $build$
BEGIN
    EXECUTE (SELECT 'CREATE TABLE %[1]s (' || string_agg(format('c%%s integer', i), ', ' ORDER BY i) || ')' FROM generate_series(1, 1600) AS i);
    EXECUTE (SELECT 'INSERT INTO %[1]s SELECT ' || string_agg(format('nullif((n + %%s) %%%% 7, 0)', i), ', ' ORDER BY i)
        || ' FROM generate_series(1, %[2]d) AS n' FROM generate_series(1, 1600) AS i);
END $build$;`, strings.ReplaceAll(name, "'", "''"), rows)
}

// ZeroColumns returns statements that make a table without a column, but with
// rows.
func ZeroColumns(name string, rows int) string {
	return fmt.Sprintf("CREATE TABLE %[1]s ();\nINSERT INTO %[1]s SELECT FROM generate_series(1, %[2]d);", name, rows)
}
