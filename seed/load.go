package seed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
)

// Loaded is what the fixtures put into the database.
type Loaded struct {
	Tables []LoadedTable
	Rows   int64
	// Notes are what a person may not expect.
	Notes []string
	// Volatile are the columns whose values are not the fixtures' but the
	// moment's, by default or by RAW=: they differ from load to load.
	Volatile []string
}

// LoadedTable is a table with the number of rows that it got.
type LoadedTable struct {
	Schema, Name string
	Rows         int64
}

// loader loads a set in one transaction.
type loader struct {
	set    *Set
	conn   *pgx.Conn
	report envdb.Report
	cat    *catalogue
	labels labels
	loaded map[[2]string]int64
	vague  map[string]bool
	notes  []string
	shapes map[string]*shape // of the inserts
	// waiting says that constraints wait until the end of the stretch.
	waiting bool
	serial  int
	inside  string // the id of the load's transaction
}

// Load puts the fixtures into the database, in one transaction: after an error
// nothing of them is there. The session's search path should be the one that
// the application has. Then it brings the sequences that columns own up to
// their columns, and checks the constraints. The session needs no more than the
// privileges of the tables' owner.
func (s *Set) Load(ctx context.Context, conn *pgx.Conn, report envdb.Report) (*Loaded, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin to load the fixtures: %w", err)
	}
	l := &loader{
		set: s, conn: conn, report: report, labels: labels{},
		loaded: map[[2]string]int64{}, vague: map[string]bool{}, shapes: map[string]*shape{},
	}
	if err := l.run(ctx); err != nil {
		return nil, l.state(errors.Join(err, l.takeBack(context.WithoutCancel(ctx), tx)))
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, fmt.Errorf("load the fixtures: %w", err)
	}
	return l.result(), nil
}

// takeBack leaves the session as it was before the load.
func (l *loader) takeBack(ctx context.Context, tx pgx.Tx) error {
	err := tx.Rollback(ctx)
	if l.conn.IsClosed() {
		return nil // and everything of the session with it
	}
	if errors.Is(err, pgx.ErrTxClosed) {
		err = nil
	}
	return errors.Join(err, l.dropShapes(ctx))
}

// state says that the transaction took everything back.
func (l *loader) state(err error) error {
	if p := new(envdb.Problem); errors.As(err, &p) && p.State == "" {
		p.State = "no row of the fixtures was kept"
	}
	return err
}

// session is how the session reads texts, whatever the database's defaults
// are: days before months, as in go-testfixtures, and times in UTC.
const session = `SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, DMY'; SET LOCAL IntervalStyle = 'postgres';
SET LOCAL standard_conforming_strings = on; SET LOCAL bytea_output = 'hex'; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0`

func (l *loader) run(ctx context.Context) error {
	if err := l.exec(ctx, session); err != nil {
		return fmt.Errorf("set up the session: %w", err)
	}
	var err error
	if l.inside, err = l.transaction(ctx); err != nil {
		return fmt.Errorf("read the transaction's id: %w", err)
	}
	for _, items := range l.set.stretches() {
		if err := l.stretch(ctx, items); err != nil {
			return err
		}
	}
	if err := l.dropShapes(ctx); err != nil {
		return err
	}
	cat, err := readCatalogue(ctx, l.conn)
	if err != nil {
		return err
	}
	l.cat = cat
	l.report.Send(envdb.Progress{Step: "sequences"})
	if err := l.setSequences(ctx); err != nil {
		return err
	}
	l.report.Send(envdb.Progress{Step: "constraints"})
	return l.checkConstraints(ctx)
}

// stretch loads the fixtures up to and with the next script.
func (l *loader) stretch(ctx context.Context, items []item) error {
	var err error
	if l.cat, err = readCatalogue(ctx, l.conn); err != nil {
		return err
	}
	l.labels = l.labels.in(l.cat)
	planned, err := plan(l.cat, l.labels, items)
	if err != nil {
		return err
	}
	o, err := inOrder(planned.units)
	if err != nil {
		return err
	}
	o.postpone()
	if err := l.setConstraints(ctx, o); err != nil {
		return err
	}
	for _, u := range o.units {
		if err := l.unit(ctx, u); err != nil {
			return err
		}
	}
	if err := l.fillIn(ctx, o); err != nil {
		return err
	}
	if err := l.exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return l.deferredFault(err, o.units)
	}
	for _, u := range o.units {
		l.loaded[[2]string{u.table.schema, u.table.name}] += u.rows
	}
	if planned.script != nil {
		return l.script(ctx, planned.script)
	}
	return nil
}

// in returns the labels for a catalogue that was read anew.
func (l labels) in(cat *catalogue) labels {
	moved := labels{}
	for t, rows := range l {
		if now := cat.byName[[2]string{t.schema, t.name}]; now != nil {
			moved[now] = map[string]*labelled{}
			for name, row := range rows {
				moved[now][name] = &labelled{table: now, row: row.row}
			}
		}
	}
	return moved
}

// setConstraints has every constraint checked at once, so that an error names
// its row, except those that must wait.
func (l *loader) setConstraints(ctx context.Context, o *order) error {
	if err := l.exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return fmt.Errorf("check the constraints: %w", err)
	}
	l.waiting = len(o.deferred) > 0
	for _, u := range o.units {
		for _, f := range u.table.foreign {
			if !slices.Contains(o.deferred, f) {
				continue
			}
			if err := l.exec(ctx, "SET CONSTRAINTS "+quote(u.table.schema)+"."+quote(f.name)+" DEFERRED"); err != nil {
				return fmt.Errorf("defer %s of %s: %w", f.name, u.table, err)
			}
		}
	}
	return nil
}

// unit loads a table.
func (l *loader) unit(ctx context.Context, u *unit) error {
	for _, part := range u.loads {
		var err error
		if part.csv != nil {
			err = l.copyCSV(ctx, u, part.csv)
		} else {
			err = l.insertRows(ctx, u, part.rows)
		}
		if err != nil {
			return err
		}
	}
	for _, b := range u.blocks {
		if err := l.generate(ctx, u, b); err != nil {
			return err
		}
	}
	return nil
}

// progress tells how many rows the table got, with those that are under way.
func (l *loader) progress(u *unit, underWay int64) {
	before := l.loaded[[2]string{u.table.schema, u.table.name}]
	l.report.Send(envdb.Progress{Step: "load " + u.table.String(), Done: before + u.rows + underWay, Unit: "rows"})
}

func (l *loader) result() *Loaded {
	made := &Loaded{Notes: l.notes, Volatile: slices.Sorted(maps.Keys(l.vague))}
	names := slices.SortedFunc(maps.Keys(l.loaded), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, name := range names {
		made.Tables = append(made.Tables, LoadedTable{name[0], name[1], l.loaded[name]})
		made.Rows += l.loaded[name]
	}
	return made
}

func (l *loader) exec(ctx context.Context, sql string) error {
	_, err := l.conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}
