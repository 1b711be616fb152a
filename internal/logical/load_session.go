package logical

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/internal/postgres"
)

// session is a connection to the database that is being built.
type session struct {
	conn *pgx.Conn
	// accessMethod is the default_table_access_method that was set last.
	accessMethod string
	// builders is how many further processes may help to build an index: as
	// set now, and by the server's configuration.
	builders, mostBuilders int
	// memory is what the last stream of chunks lay in.
	memory [][]byte
}

// loadPins are set in each session on top of what every pinned session has.
// session_replication_role is left alone: it needs a superuser, and triggers
// do not exist while rows are loaded.
const loadPins = `SET check_function_bodies = off; SET synchronous_commit = off; SET default_tablespace = '';` +
	`SET default_toast_compression = DEFAULT; SET default_transaction_read_only = off;` +
	`SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false) WHERE pg_catalog.current_setting('server_encoding') = 'SQL_ASCII'`

// roomToSort raises maintenance_work_mem where the server was given memory but
// this setting was left as it comes: all sessions together may take half of
// what shared_buffers has, which is about an eighth of the machine, and each at
// most 1 GB. A sort that fits into memory takes a fifth less time.
const roomToSort = `SELECT pg_catalog.set_config('maintenance_work_mem', GREATEST(
	pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem')),
	LEAST(1073741824, pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers')) / %d)) / 1024 || 'kB', false);`

// connect opens a session for loading.
func (d *loader) connect(ctx context.Context) (*session, error) {
	conn, err := postgres.Connect(ctx, d.URL, postgres.Options{App: d.App, Pin: true})
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn}
	sql := fmt.Sprintf(roomToSort, 2*d.Jobs) + loadPins
	if d.MaintenanceWorkMem != "" {
		sql = "SET maintenance_work_mem = " + postgres.Literal(d.MaintenanceWorkMem) + ";" + loadPins
	}
	if d.archive.BackslashEscapes() {
		// Older backups hold what pg_dump wrote under the database's own setting.
		sql += "; SET standard_conforming_strings = off; SET escape_string_warning = off"
	}
	err = s.exec(ctx, sql)
	if err == nil {
		err = conn.QueryRow(ctx, "SELECT pg_catalog.current_setting('max_parallel_maintenance_workers')::int").Scan(&s.mostBuilders)
	}
	if err != nil {
		s.close(ctx)
		return nil, postgres.Explain(err, "set up the session")
	}
	s.builders = s.mostBuilders
	return s, nil
}

// exec runs statements as one simple query, so in one transaction.
func (s *session) exec(ctx context.Context, sql string) error {
	_, err := s.conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// use sets the default access method of new tables.
func (s *session) use(ctx context.Context, accessMethod string) error {
	if accessMethod == "" || accessMethod == s.accessMethod {
		return nil
	}
	if err := s.exec(ctx, "SET default_table_access_method = "+postgres.Quote(accessMethod)); err != nil {
		return err
	}
	s.accessMethod = accessMethod
	return nil
}

// helpedBy lets at most n further processes help to build indexes, and no more
// than the server's configuration does. Jobs says how busy the server may be,
// and an index that several processes build costs about a third more work: it
// passes through files.
func (s *session) helpedBy(ctx context.Context, n int) error {
	if n = min(n, s.mostBuilders); n == s.builders {
		return nil
	}
	if err := s.exec(ctx, fmt.Sprintf("SET max_parallel_maintenance_workers = %d", n)); err != nil {
		return postgres.Explain(err, "set up the session")
	}
	s.builders = n
	return nil
}

// closePatience is how long the end of a session may take, including the
// cancellation of a statement that still runs on the server.
const closePatience = 10 * time.Second

// close ends the session, whatever state it is in. If its context was
// cancelled in the middle of a statement, pgx asks the server to cancel it,
// and close waits until that was sent.
func (s *session) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	_ = s.conn.Close(ctx) // it may be gone already, which is what is wanted
	select {
	case <-s.conn.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}
