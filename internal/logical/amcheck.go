package logical

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb/internal/postgres"
)

// BTreeSample says which indexes are held against their tables: all up to a size
// in bytes, and larger ones that Seed draws, up to a share of their bytes.
type BTreeSample struct {
	Whole int64
	Share float64
	Seed  uint64
	// Structure has the others looked into, too, without their tables.
	Structure bool
}

// draw returns which indexes are held against their tables, by their sizes. What
// one costs grows with its size, so one that is larger than the share allows is
// never drawn.
func (s BTreeSample) draw(sizes []int64) []bool {
	drawn := make([]bool, len(sizes))
	var large []int
	var left float64
	for i, size := range sizes {
		if drawn[i] = size <= s.Whole; !drawn[i] {
			large = append(large, i)
			left += s.Share * float64(size)
		}
	}
	random := rand.New(rand.NewPCG(s.Seed, 1))
	random.Shuffle(len(large), func(i, j int) { large[i], large[j] = large[j], large[i] })
	for _, i := range large {
		if size := float64(sizes[i]); size <= left {
			drawn[i], left = true, left-size
		}
	}
	return drawn
}

// CheckBTrees looks into B-tree indexes with the extension amcheck (PostgreSQL
// manual, F.1), and asks of those drawn whether they hold every row of their table. The extension
// is created if it is not there, in a transaction that is rolled back: nothing
// stays in the database.
func CheckBTrees(ctx context.Context, conn *pgx.Conn, sample BTreeSample) (result CheckResult, covers string, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return result, "", stepError("begin to look into the indexes", err)
	}
	defer func() {
		if rollback := tx.Rollback(context.WithoutCancel(ctx)); rollback != nil && err == nil {
			err = stepError("end the look into the indexes", rollback)
		}
	}()
	return checkBTrees(ctx, conn, tx, sample)
}

func checkBTrees(ctx context.Context, conn *pgx.Conn, tx pgx.Tx, sample BTreeSample) (CheckResult, string, error) {
	result := CheckResult{Outcome: Passed}
	type state struct{ Available, Installed, Super bool }
	s, err := queryOne[state](ctx, conn, `SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'),
		EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'amcheck'), pg_catalog.current_setting('is_superuser')::boolean`)
	if err != nil {
		return result, "", stepError("look for amcheck", err)
	}
	switch {
	case !s.Available && !s.Installed:
		return skippedCheck("the server has no extension amcheck: install PostgreSQL's contrib package"), "", nil
	case !s.Installed && !s.Super:
		return skippedCheck("only a superuser may create the extension amcheck; a source that has it, with its functions granted to envdb's role, has it in its copies too"), "", nil
	case !s.Installed:
		if _, err := tx.Exec(ctx, "CREATE EXTENSION amcheck WITH SCHEMA pg_catalog"); err != nil {
			return result, "", stepError("create the extension amcheck", err)
		}
	}
	schema, err := queryValue(ctx, conn, "SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'")
	if err != nil {
		return result, "", stepError("look for amcheck", err)
	}
	type index struct {
		OID          uint32
		Schema, Name string
		Size         int64
	}
	indexes, err := query[index](ctx, conn, `SELECT c.oid, n.nspname::text, c.relname::text, pg_catalog.pg_relation_size(c.oid)
		FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_catalog.pg_am m ON m.oid = c.relam
		WHERE m.amname = 'btree' AND c.relkind = 'i' AND i.indisready AND i.indisvalid AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' ORDER BY 2, 3`)
	if err != nil {
		return result, "", stepError("list the indexes", err)
	}
	sizes := make([]int64, len(indexes))
	for n, i := range indexes {
		sizes[n] = i.Size
	}
	drawn := sample.draw(sizes)
	whole, structure := 0, 0
	for n, i := range indexes {
		switch {
		case drawn[n]:
			whole++
		case sample.Structure:
			structure++
		default:
			continue
		}
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf("SELECT %s($1::pg_catalog.regclass, $2)", postgres.QuoteName(schema, "bt_index_check")), i.OID, drawn[n])
			return err
		})
		if hasCode(err, codeInsufficient) {
			return skippedCheck("envdb's role may not run amcheck's functions"), "", nil
		}
		if found := new(pgconn.PgError); errors.As(err, &found) && (found.Code == codeDataCorrupted || found.Code == codeIndexCorrupted) {
			result.sort(Difference{Kind: Different, Class: "index", Identity: postgres.QuoteName(i.Schema, i.Name), Detail: found.Message})
		} else if err != nil {
			return result, "", stepError("look into the index "+i.Name, err)
		}
	}
	covers := fmt.Sprintf("%d of %d B-tree indexes, with every row of their tables", whole, len(indexes))
	if structure > 0 {
		covers += fmt.Sprintf("; %d in their structure only", structure)
	}
	if len(result.Differences) > 0 {
		result.Outcome = Failed
	}
	return result, covers, nil
}

// CheckCollations compares the versions of collations that the database records
// with those that its server's library has now. A copy is built on its own
// server, so its indexes are in that server's order; what differs from the source
// is only explained.
func CheckCollations(ctx context.Context, conn *pgx.Conn, cat *Catalogue) (CheckResult, int, error) {
	result := CheckResult{Outcome: Passed}
	type collation struct {
		Name             string
		Recorded, Actual *string
	}
	all, err := query[collation](ctx, conn, `SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname), c.collversion, pg_catalog.pg_collation_actual_version(c.oid)
		FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
		WHERE c.collversion IS NOT NULL AND c.collencoding IN (-1, (SELECT encoding FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
		UNION ALL SELECT 'the database', datcollversion, pg_catalog.pg_database_collation_actual_version(oid) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()`)
	if err != nil {
		return result, 0, stepError("read the versions of collations", err)
	}
	for _, c := range all {
		if c.Recorded == nil || c.Actual == nil {
			continue
		}
		if *c.Recorded != *c.Actual {
			result.sort(Difference{Kind: Different, Class: "collation", Identity: c.Name, Detail: fmt.Sprintf("recorded as version %s, and the library is %s", *c.Recorded, *c.Actual)})
		}
		if was := cat.Database.CollationVersion; c.Name == "the database" && was != "" && was != *c.Actual {
			result.sort(Difference{Kind: Different, Class: "collation", Identity: c.Name, Detail: fmt.Sprintf("version %s, in the source %s", *c.Actual, was), Why: "indexes were built here, in this library's order"})
		}
	}
	if len(result.Differences) > 0 {
		result.Outcome = Failed
	}
	return result, len(all), nil
}
