package logical

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/postgres"
)

// task is a piece of work for one worker, in a transaction of its own.
type task struct {
	part   string
	number uint64 // the range's, in the high half of its chunks' ordinals
	format string
	lock   *relation // what it reads, locked first
	sql    string    // a COPY … TO STDOUT
	cuts   cuts
	what   string // for people
	size   int64  // an estimate, to begin with the largest
	done   func(tally)
}

// tally is what a task read.
type tally struct {
	rows, bytes int64
	sum         envdb.Fingerprint
}

// counter counts what the workers have read.
type counter struct {
	mu    sync.Mutex
	bytes atomic.Int64
	total int64
}

// copyTables reads every table, and the large objects, largest pieces first.
func (a *attempt) copyTables(ctx context.Context) error {
	tasks := append(a.tableTasks(), a.blobTasks()...)
	slices.SortStableFunc(tasks, func(x, y task) int { return int(min(max(y.size-x.size, -1), 1)) })
	for _, t := range tasks {
		a.counter.total += t.size
	}
	return a.work(ctx, tasks)
}

// work shares the tasks out among the workers.
func (a *attempt) work(ctx context.Context, tasks []task) error {
	var group errgroup.Group
	queue := make(chan task, len(tasks))
	for _, t := range tasks {
		queue <- t
	}
	close(queue)
	for i, conn := range a.sessions.workers {
		group.Go(func() error {
			w := &worker{attempt: a, conn: conn, wire: a.sessions.wires[i]}
			for t := range queue {
				if err := w.do(ctx, t); err != nil {
					return a.must(explain(err, "copy "+t.what))
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// tableTasks returns what is to be read of the tables.
func (a *attempt) tableTasks() []task {
	var tasks []task
	for _, s := range a.sources {
		if s.table.SchemaOnly {
			continue
		}
		for i, r := range s.ranges {
			tasks = append(tasks, task{
				part: s.table.Part, number: uint64(i), format: s.table.Format,
				lock: s.relation, sql: s.copySQL(r), cuts: cutsFor(s.size), what: "table " + s.sql(),
				size: s.size / int64(len(s.ranges)),
				done: func(t tally) { s.add(t) },
			})
		}
	}
	return tasks
}

func (s *source) add(t tally) {
	s.table.Rows += t.rows
	s.table.Bytes += t.bytes
	s.table.Fingerprint = s.table.Fingerprint.Add(t.sum)
}

// copySQL returns the statement that reads a range of the table. A table that
// is read whole is named, not selected from: then nothing is planned, so it
// does not matter what its indexes and statistics call. COPY of a table leaves
// its children out, as ONLY does.
func (s *source) copySQL(r blockRange) string {
	names := make([]string, 0, len(s.table.Columns))
	for _, c := range s.table.Columns {
		names = append(names, postgres.Quote(c.Name))
	}
	list := strings.Join(names, ", ")
	condition := s.Condition // with its WHERE
	if where := r.where(); where != "" {
		condition = "WHERE " + where
	}
	from := s.sql()
	switch {
	case condition != "":
		from = fmt.Sprintf("(SELECT %s FROM ONLY %s %s)", list, s.sql(), condition)
	case list != "":
		from += " (" + list + ")"
	}
	return fmt.Sprintf("COPY %s TO STDOUT (FORMAT %s)", from, s.table.Format)
}

// worker reads tasks over one session.
type worker struct {
	*attempt
	conn   *pgx.Conn
	wire   *wire
	cutter cutter
}

func (w *worker) do(ctx context.Context, t task) error {
	if err := w.begin(ctx, t); err != nil {
		return err
	}
	if err := w.copy(ctx, t); err != nil {
		return err
	}
	return execute(ctx, w.conn, "COMMIT")
}

// copy streams the task's rows into chunks.
func (w *worker) copy(ctx context.Context, t task) error {
	var got tally
	next := t.number << 32
	var failed error
	w.cutter.reset(t.format, t.cuts, func(p piece) error {
		chunk := backup.Chunk{Part: t.part, Ordinal: next, Rows: p.rows, Fingerprint: p.fingerprint, Data: p.data}
		next++
		got.rows += p.rows
		got.bytes += int64(len(p.data))
		got.sum = got.sum.Add(p.fingerprint)
		if err := w.put.Put(ctx, chunk); err != nil {
			failed = &storing{what: t.what, err: err}
		}
		w.progress("copy", w.counter.bytes.Add(int64(len(p.data))), w.counter.total, "bytes")
		return failed
	})
	w.cutter.notable = func(size int) {
		w.note(fmt.Sprintf("%s has a row of %d MiB; a restore needs three times that for each of its jobs", t.what, size>>20))
	}
	if err := w.wire.copyOut(ctx, w.conn.PgConn(), t.sql, &w.cutter); err != nil {
		return cmp.Or(failed, err)
	}
	if err := w.cutter.finish(); err != nil {
		return err
	}
	w.counter.mu.Lock()
	defer w.counter.mu.Unlock()
	t.done(got)
	return nil
}
