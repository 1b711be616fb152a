package logical

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/postgres"
)

// sequencesState is one hash of the values of all sequences, and empty if the
// role may not read one of them: what nobody knows is not unchanged.
//
// A nextval takes no transaction id unless it writes WAL, which it does once in
// 32 times (sequence.c), so the snapshot does not show it.
const sequencesState = `
SELECT coalesce(CASE WHEN bool_and(readable) IS NOT FALSE
         THEN encode(sha256(convert_to(coalesce(string_agg(name || ' ' || value, E'\n' ORDER BY name), ''), 'UTF8')), 'hex') END, '')
  FROM (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname),
               has_sequence_privilege(c.oid, 'SELECT, USAGE'),
               CASE WHEN has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN coalesce(pg_sequence_last_value(c.oid)::text, 'unused') END
          FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relpersistence <> 't' AND NOT pg_is_other_temp_schema(n.oid)) AS sequences(name, readable, value)`

// readSequencesState notes how far the sequences are, before their values are
// read for the backup: a nextval in between makes the source look changed, and
// never the backup look newer than it is.
func (a *attempt) readSequencesState(ctx context.Context) error {
	if a.catalogue.Server.Standby {
		return nil // it is never unchanged, and some functions refuse there
	}
	var err error
	a.catalogue.SequencesState, err = queryOneValue[string](ctx, a.sessions.leader, sequencesState)
	return explain(err, "read how far the sequences are")
}

// State is what a source says of itself that changes whenever its content does.
type State struct {
	Server      Server
	DatabaseOID uint32
	Stillness   backup.Stillness
	// Now is the server's clock, not later than the state.
	Now time.Time
}

// lookPatience is how long a look at a source may take.
const lookPatience = 10 * time.Second

// Look asks a source for its state. It takes one connection, reads no table of
// the database and waits for no lock of it.
func Look(ctx context.Context, src Source) (s State, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	conn, err := postgres.Connect(ctx, src.URL, postgres.Options{App: src.App, Pin: true})
	if err != nil {
		return State{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if s.Server, err = queryOne[Server](ctx, conn, serverQuery); err != nil {
		return State{}, explain(err, "read what the server is")
	}
	s.Server.PostmasterStart = s.Server.PostmasterStart.UTC()
	// One statement: its snapshot is not older than its start, so what was
	// committed until then shows in it.
	type moment struct {
		Now      time.Time
		Snapshot string
		OID      uint32
	}
	m, err := queryOne[moment](ctx, conn, "SELECT statement_timestamp(), pg_current_snapshot()::text, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())")
	if err != nil {
		return State{}, explain(err, "read whether anything has changed")
	}
	s.Now, s.DatabaseOID = m.Now.UTC(), m.OID
	s.Stillness = backup.Stillness{Snapshot: m.Snapshot, Standby: s.Server.Standby}
	if s.Server.Standby {
		return s, nil
	}
	if s.Stillness.Sequences, err = queryOneValue[string](ctx, conn, sequencesState); err != nil {
		return State{}, explain(err, "read how far the sequences are")
	}
	return s, nil
}

func queryOneValue[T any](ctx context.Context, conn *pgx.Conn, sql string) (T, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		var none T
		return none, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
}

// Changed returns what differs between a source as a backup found it and as it
// is now, or "" if nothing in it can have changed.
//
// The text of pg_current_snapshot() is the same only if no transaction id was
// assigned and none of the open ones has ended; every change but that of a
// sequence takes one. A restart forgets what was not yet visible, a standby
// replays without telling, another timeline or database is another history: none
// of these is unchanged. The highest transaction id alone, statistics and the
// position of the WAL are not sound: a transaction that was open at the backup
// commits without moving the first, and the others move without a change.
func Changed(source backup.Source, then *backup.Stillness, now State) string {
	if then == nil {
		return "it is not known how the newest backup found it"
	}
	for _, c := range []struct {
		differs bool
		why     string
	}{
		{then.Standby || now.Server.Standby, "it is a standby"},
		{source.SystemIdentifier != now.Server.SystemIdentifier, "it is another server"},
		{source.Timeline != now.Server.Timeline, fmt.Sprintf("the server is on timeline %d", now.Server.Timeline)},
		{!source.PostmasterStart.Equal(now.Server.PostmasterStart), "the server was restarted"},
		{source.DatabaseOID != now.DatabaseOID, "it is another database"},
		{then.Snapshot == "" || then.Snapshot != now.Stillness.Snapshot, "a transaction has ended or begun"},
		{then.Sequences == "" || now.Stillness.Sequences == "", "not every sequence may be read"},
		{then.Sequences != now.Stillness.Sequences, "a sequence has moved"},
	} {
		if c.differs {
			return c.why
		}
	}
	return ""
}

// Stillness returns what has to be the same for the source to be unchanged since
// the backup.
func (c *Catalogue) Stillness() *backup.Stillness {
	return &backup.Stillness{Snapshot: c.Snapshot, Sequences: c.SequencesState, Standby: c.Server.Standby}
}
