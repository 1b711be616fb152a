package logical

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/postgres"
)

const (
	blobsAtOnce    = 1000    // large objects that one statement creates or grants
	blobWriteBytes = 1 << 20 // about how much one lo_put writes
	blobsPipelined = 16      // lo_puts under way before their answers are read
)

// planLargeObjects adds the steps that create the large objects and fill them.
// It goes through functions that every role may call, because pg_largeobject
// itself may not be written to.
func (d *loader) planLargeObjects(ctx context.Context) ([]*step, error) {
	if d.cat.LargeObjects.Count == 0 || d.masks.omitLarge() {
		return nil, nil
	}
	create := &step{name: "create large objects", run: d.createLargeObjects}
	own := &step{name: "grant large objects", run: d.ownLargeObjects}
	own.after(create)
	steps := []*step{create, own}
	for _, refs := range pieces(d.reader.Chunks(PartBlobData)) {
		s := &step{name: "fill large objects", weight: sizeOf(refs)}
		s.run = func(ctx context.Context, on *session) error { return d.fillLargeObjects(ctx, on, refs) }
		s.after(create)
		own.after(s)
		steps = append(steps, s)
	}
	return steps, ctx.Err()
}

// eachLargeObject calls f with batches of the large objects of the backup.
func (d *loader) eachLargeObject(ctx context.Context, f func([]LargeObject) error) error {
	in := &chunkStream{ctx: ctx, reader: d.reader, runs: backup.Runs(d.reader.Chunks(PartBlobMetadata), runMost)}
	defer func() { _ = in.finish() }() // Decode has returned its error
	lines := json.NewDecoder(in)
	var batch []LargeObject
	for {
		var o LargeObject
		err := lines.Decode(&o)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the large objects: %w", err)
		}
		if err == nil {
			batch = append(batch, o)
		}
		if len(batch) > 0 && (err != nil || len(batch) == blobsAtOnce) {
			if err := f(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		if err != nil {
			return nil
		}
	}
}

func (d *loader) createLargeObjects(ctx context.Context, s *session) error {
	return d.eachLargeObject(ctx, func(batch []LargeObject) error {
		oids := make([]uint32, len(batch))
		for i, o := range batch {
			oids[i] = o.OID
		}
		const create = `SELECT pg_catalog.count(pg_catalog.lo_create(o)) FROM pg_catalog.unnest($1::oid[]) AS o`
		var n int64
		if err := s.conn.QueryRow(ctx, create, oids).Scan(&n); err != nil {
			return stepError("create large objects", err)
		}
		return nil
	})
}

// fillLargeObjects writes a run of chunks of pages.
func (d *loader) fillLargeObjects(ctx context.Context, s *session, refs []backup.Ref) error {
	w := &pageWriter{s: s, backup: d.reader.String(), pageSize: int64(d.cat.LargeObjects.PageSize), batch: &pgx.Batch{}}
	var buf []byte
	for _, ref := range refs {
		data, err := d.reader.Fetch(ctx, ref, buf)
		if err != nil {
			return fmt.Errorf("fill large objects: chunk %d of %s: %w", ref.Ordinal, ref.Part, err)
		}
		buf = data
		if err := w.chunk(ctx, data); err != nil {
			return err
		}
		done := d.copied.bytes.Add(int64(len(data)))
		d.Report.Send(envdb.Progress{Step: "copy", Done: done, Total: d.copied.total, Unit: "bytes"})
	}
	return nil
}

// pageWriter joins adjacent pages and writes them with lo_put. A page that is
// missing reads as zeros, as it did on the source.
type pageWriter struct {
	s        *session
	backup   string // as people type it
	pageSize int64
	batch    *pgx.Batch

	object uint32
	offset int64
	data   []byte
}

// chunk writes the pages of one chunk: rows of a binary COPY of (loid, pageno,
// data).
func (w *pageWriter) chunk(ctx context.Context, rows []byte) error {
	for len(rows) > 0 {
		object, page, data, rest, ok := nextPage(rows)
		if !ok {
			return envdb.Fail(envdb.ErrVerification, "the backup's large objects do not parse").WithNext("%s", another(w.backup))
		}
		if err := w.page(ctx, object, int64(page)*w.pageSize, data); err != nil {
			return err
		}
		rows = rest
	}
	w.join()
	return w.send(ctx)
}

// nextPage takes one row off a binary COPY stream.
func nextPage(b []byte) (object, page uint32, data, rest []byte, ok bool) {
	const fixed = 2 + 4 + 4 + 4 + 4 + 4
	if len(b) < fixed || binary.BigEndian.Uint16(b) != 3 || binary.BigEndian.Uint32(b[2:]) != 4 || binary.BigEndian.Uint32(b[10:]) != 4 {
		return 0, 0, nil, nil, false
	}
	n := binary.BigEndian.Uint32(b[18:])
	if uint64(n) > uint64(len(b)-fixed) {
		return 0, 0, nil, nil, false
	}
	return binary.BigEndian.Uint32(b[6:]), binary.BigEndian.Uint32(b[14:]), b[fixed : fixed+n], b[fixed+n:], true
}

// page adds a page to the write under way, if it continues it.
func (w *pageWriter) page(ctx context.Context, object uint32, offset int64, data []byte) error {
	if object != w.object || offset != w.offset+int64(len(w.data)) || len(w.data) >= blobWriteBytes {
		w.join()
		if w.batch.Len() >= blobsPipelined {
			if err := w.send(ctx); err != nil {
				return err
			}
		}
		w.object, w.offset = object, offset
	}
	w.data = append(w.data, data...)
	return nil
}

// join queues the write under way.
func (w *pageWriter) join() {
	if len(w.data) > 0 {
		w.batch.Queue(`SELECT pg_catalog.lo_put($1, $2, $3)`, w.object, w.offset, bytes.Clone(w.data))
	}
	w.object, w.offset, w.data = 0, 0, w.data[:0]
}

// send writes what is queued.
func (w *pageWriter) send(ctx context.Context) error {
	if w.batch.Len() == 0 {
		return nil
	}
	err := w.s.conn.SendBatch(ctx, w.batch).Close()
	w.batch = &pgx.Batch{}
	if err != nil {
		return stepError("fill large objects", err)
	}
	return nil
}

// ownLargeObjects restores owners, privileges and comments.
func (d *loader) ownLargeObjects(ctx context.Context, s *session) error {
	return d.eachLargeObject(ctx, func(batch []LargeObject) error {
		var sql strings.Builder
		for _, o := range batch {
			for _, statement := range d.largeObjectStatements(o) {
				sql.WriteString(statement + ";\n")
			}
		}
		if err := s.exec(ctx, sql.String()); err != nil {
			return stepError(fmt.Sprintf("grant large objects %d to %d", batch[0].OID, batch[len(batch)-1].OID), err)
		}
		return nil
	})
}

// largeObjectStatements returns what makes a large object as it was, once its
// pages are there.
func (d *loader) largeObjectStatements(o LargeObject) []string {
	name := fmt.Sprintf("LARGE OBJECT %d", o.OID)
	var out []string
	if o.Comment != "" {
		out = append(out, "COMMENT ON "+name+" IS "+postgres.Literal(o.Comment))
	}
	owner := d.owner(o.Owner)
	if owner != d.roles.current {
		out = append(out, "ALTER "+name+" OWNER TO "+postgres.Quote(owner))
	}
	if o.ACL != nil {
		out = append(out, "REVOKE ALL ON "+name+" FROM "+postgres.Quote(owner))
	}
	for _, text := range o.ACL {
		out = append(out, d.aclStatements(name, o.Owner, parseACLItem(text))...)
	}
	return out
}

// aclStatements grants what one item of an ACL says.
func (d *loader) aclStatements(name, formerOwner string, item aclItem) []string {
	grantee := "PUBLIC"
	switch {
	case item.grantee == "":
	case item.grantee == formerOwner:
		grantee = postgres.Quote(d.owner(formerOwner))
	case !d.roles.exists[item.grantee]:
		d.record.note(fmt.Sprintf("grants to role %s were left out: the target lacks it", item.grantee))
		return nil
	default:
		grantee = postgres.Quote(item.grantee)
	}
	var out []string
	for _, p := range item.privileges {
		grant := "GRANT " + p.name + " ON " + name + " TO " + grantee
		if p.option && item.grantee != formerOwner {
			grant += " WITH GRANT OPTION"
		}
		out = append(out, grant)
	}
	if g := item.grantor; g != "" && g != formerOwner && d.roles.granted[g] && g != d.roles.current {
		out = append(append([]string{"SET ROLE " + postgres.Quote(g)}, out...), "RESET ROLE")
	}
	return out
}
