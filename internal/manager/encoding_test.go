package manager_test

import (
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// A database without an encoding may hold comments that are not UTF-8.
func TestRestoreOfADatabaseWithoutEncoding(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	staging := on(t, s, "staging", envdb.Staging)
	s.Exec(t, "postgres", "CREATE DATABASE "+postgres.Quote(staging.base)+" TEMPLATE template0 LOCALE 'C' ENCODING 'SQL_ASCII'")
	staging.exec(t, small("one")...)
	staging.exec(t, `COMMENT ON TABLE t IS E'\xff'`)
	w := newWorld(t, staging)
	taken := w.backup("staging")
	staging.exec(t, "UPDATE t SET who = 'two'")
	w.restore(manager.RestoreRequest{Environment: "staging", Point: envdb.AtBackup(taken.ID)})
	same(t, "restored", staging.content(t), "1|one")
	same(t, "comment", s.QueryText(t, staging.base, "SELECT convert_to(obj_description('t'::regclass), 'SQL_ASCII')"), `\xff`)
}
