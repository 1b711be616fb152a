package logical

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// overstepQuery lists what a role ($1) may do with the tables of a database,
// among privileges ($2) that it should not have, however it came to them.
// Those on single columns count.
const overstepQuery = `
	SELECT pg_catalog.format('%s on %I.%I', p, n.nspname, c.relname)
	FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace, pg_catalog.unnest($2::text[]) AS p
	WHERE c.relkind IN ('r', 'p', 'v', 'f') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
	AND (has_table_privilege($1::text::name, c.oid, p)
	     OR CASE WHEN p IN ('INSERT', 'UPDATE', 'REFERENCES') THEN has_any_column_privilege($1::text::name, c.oid, p) ELSE false END)
	UNION ALL
	SELECT pg_catalog.format('CREATE on schema %I', n.nspname) FROM pg_catalog.pg_namespace AS n
	WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND has_schema_privilege($1::text::name, n.oid, 'CREATE')
	ORDER BY 1`

// lackQuery lists what a role ($1) lacks of the privileges on tables ($2) and
// on sequences ($3) that it should have. What comes with an extension is the
// extension's business.
const lackQuery = `
	SELECT pg_catalog.format('%s on %I.%I', p, n.nspname, c.relname)
	FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace,
		pg_catalog.unnest(CASE c.relkind WHEN 'S' THEN $3::text[] ELSE $2::text[] END) AS p
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
	AND NOT CASE c.relkind WHEN 'S' THEN has_sequence_privilege($1::text::name, c.oid, p) ELSE has_table_privilege($1::text::name, c.oid, p) END
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
	UNION ALL
	SELECT pg_catalog.format('USAGE on schema %I', n.nspname) FROM pg_catalog.pg_namespace AS n
	WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT has_schema_privilege($1::text::name, n.oid, 'USAGE')
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
	ORDER BY 1`

// Check fails unless the role may do in the database of conn what its mode says
// and, where that limits it, nothing beyond. Privileges that it has through
// PUBLIC or as a member of another role count. It changes nothing.
func (a Access) Check(ctx context.Context, conn *pgx.Conn) error {
	tables, sequences := a.allowances()
	lacks, err := query[struct{ What string }](ctx, conn, lackQuery, a.Role, tables, sequences)
	if err != nil {
		return stepError("check the access of role "+a.Role, err)
	}
	if len(lacks) > 0 {
		return a.broken(fmt.Sprintf("role %s lacks", a.Role), lacks).
			WithNext("let envdb's role grant on it: it must own the object, be a member of its owner, or be a superuser")
	}
	if !a.limits() {
		return nil
	}
	beyond, err := query[struct{ What string }](ctx, conn, overstepQuery, a.Role, wordsWithout(tablePrivileges(), tables))
	if err != nil {
		return stepError("check the access of role "+a.Role, err)
	}
	if len(beyond) > 0 {
		return a.broken(fmt.Sprintf("role %s still has", a.Role), beyond).
			WithNext("it has it as a member of another role, or from a grantor other than the owner: REVOKE that role from %s on this server, or use another role", postgres.Quote(a.Role))
	}
	return nil
}

func (a Access) broken(what string, found []struct{ What string }) *envdb.Problem {
	var all []string
	for _, f := range found {
		all = append(all, f.What)
	}
	return envdb.Fail(envdb.ErrVerification, "access: %s: %s %s", a.Mode, what, strings.TrimSpace(firstOf(all, 5)))
}
