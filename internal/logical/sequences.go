package logical

import (
	"context"
	"fmt"
	"strings"

	"github.com/envdb/envdb/internal/postgres"
)

// sequenceInfo is a sequence of the source.
type sequenceInfo struct {
	OID          uint32
	Schema, Name string
	Start        int64
	Unlogged     bool
	Readable     bool
	Reachable    bool
}

func (s sequenceInfo) sql() string { return postgres.QuoteName(s.Schema, s.Name) }

// sequencesQuery lists the sequences, but for those that an extension brings
// along and does not declare as its configuration.
const sequencesQuery = `
SELECT c.oid, n.nspname, c.relname, s.seqstart, c.relpersistence = 'u',
       coalesce(has_sequence_privilege(c.oid, 'SELECT'), true), coalesce(has_schema_privilege(n.oid, 'USAGE'), true)
  FROM pg_catalog.pg_sequence s
  JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND (c.oid IN (SELECT unnest(extconfig) FROM pg_catalog.pg_extension)
        OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
 ORDER BY n.nspname, c.relname`

// listSequences reads which sequences there are.
func (a *attempt) listSequences(ctx context.Context) (err error) {
	a.sequences, err = query[sequenceInfo](ctx, a.sessions.leader, sequencesQuery)
	if err != nil {
		return explain(err, "list the sequences")
	}
	return nil
}

// sequenceBatch is how many sequences one query reads.
const sequenceBatch = 200

// readSequences reads where every sequence stands. Sequences are outside of
// transactions: the values are of now, never behind the snapshot, so a number
// that a row of the snapshot has was handed out by then.
func (a *attempt) readSequences(ctx context.Context) error {
	a.catalogue.Sequences = []Sequence{}
	for start := 0; start < len(a.sequences); start += sequenceBatch {
		batch := a.sequences[start:min(start+sequenceBatch, len(a.sequences))]
		if err := a.readSequenceBatch(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (a *attempt) readSequenceBatch(ctx context.Context, batch []sequenceInfo) error {
	type state struct {
		N      int
		Last   int64
		Called bool
	}
	selects := make([]string, 0, len(batch))
	for i, s := range batch {
		from := " FROM " + s.sql()
		if s.Unlogged && a.catalogue.Server.Standby {
			from = fmt.Sprintf(" FROM (VALUES (%d::bigint, false)) AS s (last_value, is_called)", s.Start)
			a.note("unlogged sequence " + s.sql() + " cannot be read on a standby: the backup has its start value")
		}
		selects = append(selects, fmt.Sprintf("SELECT %d, last_value, is_called%s", i, from))
	}
	states, err := query[state](ctx, a.sessions.leader, strings.Join(selects, " UNION ALL ")+" ORDER BY 1")
	if hasCode(err, codeUndefinedTable, codeUndefinedSchema) {
		return &passing{text: "a sequence was dropped or renamed after the snapshot", hurried: true, next: "run the backup when no sequences are being dropped"}
	}
	if err != nil {
		return explain(err, "read the sequences")
	}
	for _, s := range states {
		a.catalogue.Sequences = append(a.catalogue.Sequences, Sequence{
			Schema: batch[s.N].Schema, Name: batch[s.N].Name, LastValue: s.Last, IsCalled: s.Called,
		})
	}
	return nil
}
