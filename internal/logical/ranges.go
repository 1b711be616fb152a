package logical

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// rangeBytes is the most storage, including TOAST, that one range of blocks
// holds; the least is half of it, because lengths are powers of two.
const rangeBytes = 64 << 20

// blockRange is a run of blocks of a table: from the first to before the last.
// An end of 0 is open, so that no row behind what was measured is left out.
type blockRange struct{ from, to int64 }

// whole is the range of a table that is read in one piece.
func whole() []blockRange { return []blockRange{{}} }

// where returns the range as a condition, or "".
func (r blockRange) where() string {
	switch {
	case r.from == 0 && r.to == 0:
		return ""
	case r.to == 0:
		return fmt.Sprintf("ctid >= '(%d,0)'", r.from)
	case r.from == 0:
		return fmt.Sprintf("ctid < '(%d,0)'", r.to)
	}
	return fmt.Sprintf("ctid >= '(%d,0)' AND ctid < '(%d,0)'", r.from, r.to)
}

// splitFrom returns the size from which on a table is read in ranges: half as
// much again as each worker's fair share of the whole. A smaller one is read in
// one piece, while the other workers have the rest to do. That is kinder to the
// source: PostgreSQL reads a large table from end to end through a few buffers,
// but a range of it through all of shared_buffers, out of which that pushes what
// the applications use (heap_beginscan allows its strategy to sequential scans
// only). It is faster too, most of all where page faults are slow.
func splitFrom(total int64, workers int) int64 {
	return total / int64(workers) * 3 / 2
}

// split divides a table of the given blocks, and bytes including TOAST, into
// ranges. Their length depends on how dense a block is, not on how many there
// are, so a table that grows keeps its ranges and gets more of them.
func split(blocks, bytes int64) []blockRange {
	if blocks <= 1 || bytes <= rangeBytes {
		return whole()
	}
	length := int64(1)
	for 2*length*bytes <= rangeBytes*blocks {
		length *= 2
	}
	var ranges []blockRange
	for from := int64(0); from < blocks; from += length {
		ranges = append(ranges, blockRange{from, from + length})
	}
	ranges[len(ranges)-1].to = 0
	return ranges
}

// measure reads the sizes of the tables and divides them. It runs behind the
// locks: what the snapshot sees cannot lie outside of what is there now.
func (a *attempt) measure(ctx context.Context) error {
	type size struct {
		OID           uint32
		Blocks, Bytes int64
	}
	oids := make([]uint32, 0, len(a.sources))
	for _, s := range a.sources {
		oids = append(oids, s.OID)
	}
	sizes, err := query[size](ctx, a.sessions.leader, `
SELECT oid, pg_relation_size(oid) / current_setting('block_size')::int, pg_table_size(oid)
  FROM unnest($1::oid[]) WITH ORDINALITY AS u (oid, n) ORDER BY n`, oids)
	if err != nil {
		return explain(err, "measure the tables")
	}
	var total int64
	for _, size := range sizes {
		total += size.Bytes
	}
	large := splitFrom(total, len(a.sessions.workers))
	for i, size := range sizes {
		s := a.sources[i]
		s.size, s.ranges = size.Bytes, whole()
		if s.Heap && s.Condition == "" && size.Bytes >= large {
			s.ranges = split(size.Blocks, size.Bytes)
		}
		if err := a.rejoin(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// planPatience is how long planning may wait, for an index that is being
// rebuilt, say.
const planPatience = 2 * time.Second

// rejoin makes one range of a table again if reading a range of it cannot be
// planned. The planner looks into the functions that the expressions of an
// index or of statistics call, which may name others without their schema; the
// sessions search none.
func (a *attempt) rejoin(ctx context.Context, s *source) error {
	if len(s.ranges) == 1 {
		return nil
	}
	probe := fmt.Sprintf("SAVEPOINT probe; SET LOCAL lock_timeout = %d; EXPLAIN SELECT FROM ONLY %s WHERE %s",
		planPatience.Milliseconds(), s.sql(), s.ranges[0].where())
	refused := a.lead(ctx, probe)
	if refused != nil && !inPlanning(refused) {
		return explain(refused, "plan the reading of table "+s.sql())
	}
	if err := a.lead(ctx, "ROLLBACK TO SAVEPOINT probe; RELEASE SAVEPOINT probe"); err != nil {
		return explain(err, "plan the reading of table "+s.sql())
	}
	if refused != nil {
		a.src.Log.Info("the table is read in one piece", "table", s.sql(), "reason", refused)
		s.ranges = whole()
	}
	return nil
}

// inPlanning reports whether an error may come of what the planner looks into,
// and not of the server's or the session's state.
func inPlanning(err error) bool {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) {
		return false
	}
	switch pgErr.Code[:2] {
	case "08", "40", "53", "57", "58", "XX":
		return false
	}
	return true
}
