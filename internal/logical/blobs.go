package logical

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// blobs is what there is of large objects. pg_dump's schema has none of them.
type blobs struct {
	count    int64
	bytes    int64    // of pg_largeobject, an estimate
	readable bool     // whether the role may read pg_largeobject
	starts   []uint32 // the first oid of every range but the first
}

// blobsPerRange is how many large objects a range holds at least; it keeps the
// list of ranges short when there are many small ones.
const blobsPerRange = 64

// listBlobs counts the large objects and divides them into ranges.
func (a *attempt) listBlobs(ctx context.Context) error {
	type summary struct {
		Count, Bytes int64
		Readable     bool
	}
	s, err := queryOne[summary](ctx, a.sessions.leader, `
SELECT (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata), pg_table_size('pg_catalog.pg_largeobject'),
       has_table_privilege('pg_catalog.pg_largeobject', 'SELECT')`)
	if err != nil {
		return explain(err, "count the large objects")
	}
	if a.rereads && !s.Readable {
		a.unread, s = s.Count, summary{} // what can be compared is
	}
	a.blobs = blobs{count: s.Count, bytes: s.Bytes, readable: s.Readable}
	a.catalogue.LargeObjects = LargeObjects{Count: s.Count, PageSize: a.catalogue.Server.BlockSize / 4}
	if s.Count == 0 || s.Bytes <= rangeBytes {
		return nil
	}
	step := max(s.Count*rangeBytes/s.Bytes, blobsPerRange)
	starts, err := a.sessions.leader.Query(ctx, `
SELECT oid FROM (SELECT oid, row_number() OVER (ORDER BY oid) AS n FROM pg_catalog.pg_largeobject_metadata) AS o
 WHERE n > 1 AND n % $1 = 1 ORDER BY oid`, step)
	if err != nil {
		return explain(err, "divide the large objects")
	}
	if a.blobs.starts, err = pgx.CollectRows(starts, pgx.RowTo[uint32]); err != nil {
		return explain(err, "divide the large objects")
	}
	return nil
}

// pageOverhead is what a row (loid, pageno, data) has in binary format beside
// the data: the field count, three lengths and two numbers.
const pageOverhead = 2 + 3*4 + 2*4

// blobTasks returns what is to be read of the large objects: their pages as
// rows of pg_largeobject, in the order of the index.
func (a *attempt) blobTasks() []task {
	if a.blobs.count == 0 {
		return nil
	}
	bounds := slices.Concat([]uint32{0}, a.blobs.starts)
	tasks := make([]task, 0, len(bounds))
	for i, from := range bounds {
		where := fmt.Sprintf("loid >= %d", from)
		if i+1 < len(bounds) {
			where += fmt.Sprintf(" AND loid < %d", bounds[i+1])
		}
		tasks = append(tasks, task{
			part: PartBlobData, number: uint64(i), format: formatBinary, what: "large objects", size: a.blobs.bytes / int64(len(bounds)), cuts: cutsFor(a.blobs.bytes),
			sql:  "COPY (SELECT loid, pageno, data FROM pg_catalog.pg_largeobject WHERE " + where + " ORDER BY loid, pageno) TO STDOUT (FORMAT binary)",
			done: func(t tally) { a.catalogue.LargeObjects.Bytes += t.bytes - t.rows*pageOverhead },
		})
	}
	return tasks
}

const blobOwnersQuery = `
SELECT m.oid, pg_get_userbyid(m.lomowner), m.lomacl::text[], coalesce(obj_description(m.oid, 'pg_largeobject'), ''), coalesce(p.pages, 0)
  FROM pg_catalog.pg_largeobject_metadata m
  LEFT JOIN (SELECT loid, count(*) AS pages FROM pg_catalog.pg_largeobject GROUP BY loid) p ON p.loid = m.oid
 ORDER BY m.oid`

// copyBlobOwners writes who owns each large object and who may do what with
// it. There can be millions, so they are streamed.
func (a *attempt) copyBlobOwners(ctx context.Context) error {
	if a.blobs.count == 0 {
		return nil
	}
	rows, err := a.sessions.leader.Query(ctx, blobOwnersQuery)
	if err != nil {
		return explain(err, "read the owners of large objects")
	}
	defer rows.Close()
	out := lines{part: PartBlobMetadata, put: a.put.Put}
	for rows.Next() {
		var o LargeObject
		if err := rows.Scan(&o.OID, &o.Owner, &o.ACL, &o.Comment, &o.Pages); err != nil {
			return explain(err, "read the owners of large objects")
		}
		if err := out.add(ctx, o); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return explain(err, "read the owners of large objects")
	}
	return out.flush(ctx)
}

// lines writes values as lines of JSON, cut into chunks as rows are.
type lines struct {
	part    string
	put     func(context.Context, backup.Chunk) error
	ordinal uint64
	rows    int64
	sum     envdb.Fingerprint
	buf     bytes.Buffer
}

func (l *lines) add(ctx context.Context, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a line of %s: %w", l.part, err)
	}
	hash := HashRow(line)
	l.rows++
	l.sum = l.sum.Add(hash)
	l.buf.Write(append(line, '\n'))
	if cuts := wideCuts(); l.buf.Len() >= cuts.max || l.buf.Len() >= cuts.min && cuts.ends(hash, len(line)) {
		return l.flush(ctx)
	}
	return nil
}

func (l *lines) flush(ctx context.Context) error {
	if l.rows == 0 {
		return nil
	}
	chunk := backup.Chunk{Part: l.part, Ordinal: l.ordinal, Rows: l.rows, Fingerprint: l.sum, Data: l.buf.Bytes()}
	if err := l.put(ctx, chunk); err != nil {
		return &storing{what: l.part, err: err}
	}
	l.ordinal, l.rows, l.sum = l.ordinal+1, 0, envdb.Fingerprint{}
	l.buf.Reset()
	return nil
}
