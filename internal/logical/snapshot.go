package logical

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/envdb/envdb/internal/postgres"
)

// takeSnapshot begins the leader's transaction, fixes what the backup sees, and
// lets the other sessions see the same. The clock is read behind the snapshot:
// whatever the backup holds was committed before its point.
func (a *attempt) takeSnapshot(ctx context.Context) error {
	const begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY NOT DEFERRABLE"
	if err := execute(ctx, a.sessions.leader, begin); err != nil {
		return explain(err, "begin the snapshot")
	}
	type snapshot struct {
		ID, Text string
		Now      time.Time
	}
	s, err := queryOne[snapshot](ctx, a.sessions.leader,
		"SELECT pg_export_snapshot(), pg_current_snapshot()::text, clock_timestamp()")
	if err != nil {
		return explain(err, "export the snapshot")
	}
	a.exported = s.ID
	a.catalogue.Snapshot, a.catalogue.Point = s.Text, s.Now.UTC()
	if a.hooks.snapshotTaken != nil {
		a.hooks.snapshotTaken(a.number)
	}
	return nil
}

// lockBatch is how many tables one LOCK statement names.
const lockBatch = 250

// lockTables takes ACCESS SHARE on every table, as reading does, so that none
// can be dropped, truncated or rewritten before it is read. A table that
// somebody has locked is waited for, within bounds.
func (a *attempt) lockTables(ctx context.Context) error {
	patience := a.src.LockPatience * lockWait
	if err := a.lead(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", patience.Milliseconds())); err != nil {
		return err
	}
	for start := 0; start < len(a.relations); start += lockBatch {
		batch := a.relations[start:min(start+lockBatch, len(a.relations))]
		names := make([]string, 0, len(batch))
		for _, r := range batch {
			names = append(names, "ONLY "+r.sql())
		}
		if err := a.lead(ctx, "LOCK TABLE "+strings.Join(names, ", ")+" IN ACCESS SHARE MODE"); err != nil {
			return a.lockFailed(ctx, err, batch)
		}
	}
	if a.hooks.locked != nil {
		a.hooks.locked(a.number)
	}
	return a.lead(ctx, "SET LOCAL lock_timeout = 0")
}

// lead runs a statement in the leader's transaction.
func (a *attempt) lead(ctx context.Context, sql string) error {
	return execute(ctx, a.sessions.leader, sql)
}

// lockFailed says why a table could not be locked.
func (a *attempt) lockFailed(ctx context.Context, err error, batch []*relation) error {
	switch {
	case hasCode(err, codeLockNotAvailable):
		return a.heldByOthers(ctx, a.sessions.workers[0], batch)
	case hasCode(err, codeUndefinedTable, codeUndefinedSchema, codeWrongObjectType):
		return &passing{
			text: "a table was dropped or renamed just after the snapshot", hurried: true,
			next: "run the backup when no tables are being created and dropped",
		}
	case hasCode(err, codeOutOfMemory):
		return tooManyLocks(err, len(a.relations))
	}
	return explain(err, "lock the tables")
}

// signatureQuery describes everything of a table that reading it depends on.
// Run in the snapshot it says what the snapshot holds, run elsewhere what there
// is now; filenode changes when a table is truncated or rewritten. (Functions
// such as pg_relation_filenode answer for now, whatever snapshot they are
// called in.)
const signatureQuery = `
SELECT c.oid, hashtextextended(concat_ws(' ', c.relkind, c.relnamespace, c.relname, c.relfilenode, c.relpersistence,
         c.relispartition, c.relrowsecurity, c.relforcerowsecurity,
         (SELECT string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated, a.attidentity, a.attnotnull), ',' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
         (SELECT string_agg(i.inhparent::text, ',' ORDER BY i.inhseqno) FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)), 0)
  FROM pg_catalog.pg_class c WHERE c.oid = ANY($1::oid[])`

type signature struct {
	OID  uint32
	Hash int64
}

// compareWithNow makes sure that what the leader locked is what the snapshot
// saw. A table that was truncated, rewritten, altered, dropped or replaced in
// between would read as empty, as something else, or not at all. From here on
// the locks keep every table as it is.
func (a *attempt) compareWithNow(ctx context.Context) error {
	oids := make([]uint32, 0, len(a.relations))
	for _, r := range a.relations {
		oids = append(oids, r.OID)
	}
	then, err := query[signature](ctx, a.sessions.leader, signatureQuery, oids)
	if err != nil {
		return explain(err, "read the tables' state in the snapshot")
	}
	now, err := query[signature](ctx, a.sessions.workers[0], signatureQuery, oids)
	if err != nil {
		return explain(err, "read the tables' state")
	}
	current := make(map[uint32]int64, len(now))
	for _, s := range now {
		current[s.OID] = s.Hash
	}
	expected := make(map[uint32]int64, len(then))
	for _, s := range then {
		expected[s.OID] = s.Hash
	}
	for _, r := range a.relations {
		if hash, there := current[r.OID]; !there || hash != expected[r.OID] {
			return &passing{
				text: "table " + r.sql() + " was truncated, rewritten or altered just after the snapshot", hurried: true,
				next: "run the backup when the table is not being altered",
			}
		}
	}
	return nil
}

// join is the start of every transaction that reads in the leader's snapshot.
func (a *attempt) join() string {
	return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT " + postgres.Literal(a.exported) + ";"
}
