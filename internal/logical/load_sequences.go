package logical

import (
	"context"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// sequencesAtOnce is how many sequences one statement sets.
const sequencesAtOnce = 1000

// planSequences adds the steps that set the sequences to where they stood.
func (d *loader) planSequences() []*step {
	var steps []*step
	for rest := d.cat.Sequences; len(rest) > 0; {
		n := min(len(rest), sequencesAtOnce)
		batch := rest[:n]
		steps = append(steps, &step{
			name: fmt.Sprintf("%d sequences", n),
			run:  func(ctx context.Context, s *session) error { return d.setSequences(ctx, s, batch) },
		})
		rest = rest[n:]
	}
	return steps
}

func (d *loader) setSequences(ctx context.Context, s *session, batch []Sequence) error {
	names, last, called := make([]string, len(batch)), make([]int64, len(batch)), make([]bool, len(batch))
	for i, q := range batch {
		names[i], last[i], called[i] = postgres.QuoteName(q.Schema, q.Name), q.LastValue, q.IsCalled
	}
	const set = `SELECT pg_catalog.count(pg_catalog.setval(s.oid::regclass, s.last, s.called))
		FROM (SELECT pg_catalog.to_regclass(n)::oid AS oid, last, called FROM unnest($1::text[], $2::bigint[], $3::boolean[]) AS u(n, last, called)) AS s
		WHERE s.oid IS NOT NULL`
	var done int
	if err := s.conn.QueryRow(ctx, set, names, last, called).Scan(&done); err != nil {
		return stepError("set the sequences", err)
	}
	if done != len(batch) && len(d.SkipExtensions) == 0 {
		return envdb.Fail(envdb.ErrVerification, "%d of %d sequences are not in the backup's schema", len(batch)-done, len(batch)).
			WithNext("%s", another(d.reader.String()))
	}
	return nil
}
