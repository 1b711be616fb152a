// Package postgres is how envdb talks to a server: connecting, telling one
// server from another, finding the client programs that fit it, and turning
// what can go wrong into errors that a person can act on.
//
// The one idea in it is that a connection string is a secret and a claim. It
// is never put into an error or on a command line, and where it leads is
// asked of the server, not read from it.
package postgres

import (
	"context"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/envdb/envdb"
)

// connectPatience is how long one address may take to answer, unless the
// connection string says otherwise.
const connectPatience = 10 * time.Second

// longestName is how many bytes of an application name or an identifier
// PostgreSQL keeps.
const longestName = 63

// Options say what kind of session is wanted.
type Options struct {
	// App is the application_name that others see in pg_stat_activity; envdb
	// uses "envdb/<run>". Empty means "envdb".
	App string
	// Database replaces the database of the connection string, if set.
	Database string
	// Pin sets everything that a role, a database or a configuration file may
	// have changed about how values read and how long statements may take, so
	// that two sessions anywhere see the same text for the same row.
	Pin bool
	// Through, if set, is called for each try to connect, with what comes from
	// the server; the session reads what it returns.
	Through func(io.Reader) io.Reader
}

// Connect opens a session. The server must be one that envdb works with; what
// goes wrong is explained, without secrets.
func Connect(ctx context.Context, to envdb.ConnString, o Options) (*pgx.Conn, error) {
	config, err := parse(to)
	if err != nil {
		return nil, err
	}
	if o.Database != "" {
		config.Database = o.Database
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectPatience
	}
	if o.Through != nil {
		config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
			return pgproto3.NewFrontend(o.Through(r), w)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, explainConnect(ctx, err, config)
	}
	if err := prepare(ctx, conn, o); err != nil {
		closeQuietly(ctx, conn)
		return nil, err
	}
	return conn, nil
}

// parse reads a connection string. The error of pgx quotes the string, so it
// is not passed on.
func parse(to envdb.ConnString) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(to.Reveal())
	if err != nil {
		return nil, malformed(err)
	}
	return config, nil
}

// prepare checks the server and sets up the session. It uses SET because a
// pooler refuses most startup parameters.
func prepare(ctx context.Context, conn *pgx.Conn, o Options) error {
	version, err := ReadServerVersion(ctx, conn)
	if err != nil {
		return Explain(err, "read the server's version")
	}
	if err := version.check(); err != nil {
		return err
	}
	if _, err := conn.PgConn().Exec(ctx, setup(version, o)).ReadAll(); err != nil {
		return Explain(err, "set up the session")
	}
	return nil
}

// setup returns the statements that make the session what o asks for.
func setup(version ServerVersion, o Options) string {
	app := o.App
	if app == "" {
		app = "envdb"
	}
	sql := "SET application_name = " + Literal(clip(app, longestName)) + ";"
	if !o.Pin {
		return sql
	}
	for _, s := range pinned() {
		if version.Major() >= s.since {
			sql += fmt.Sprintf("SET %s = %s;", s.name, Literal(s.value))
		}
	}
	return sql + "SELECT pg_catalog.set_config('search_path', '', false);"
}

type setting struct {
	name, value string
	since       int
}

// pinned lists what Options.Pin sets, and since which major version there is
// such a parameter.
func pinned() []setting {
	return []setting{
		{"row_security", "off", 0},
		{"statement_timeout", "0", 0},
		{"lock_timeout", "0", 0},
		{"idle_in_transaction_session_timeout", "0", 0},
		{"idle_session_timeout", "0", 14},
		{"transaction_timeout", "0", 17},
		{"client_encoding", "UTF8", 0},
		{"DateStyle", "ISO, YMD", 0},
		{"IntervalStyle", "postgres", 0},
		{"TimeZone", "UTC", 0},
		{"extra_float_digits", "3", 0},
		{"bytea_output", "hex", 0},
		{"xmloption", "content", 0},
		{"quote_all_identifiers", "off", 0},
		{"synchronize_seqscans", "off", 0},
		{"default_transaction_isolation", "read committed", 0},
		{"default_transaction_read_only", "off", 0},
		{"default_transaction_deferrable", "off", 0},
		{"standard_conforming_strings", "on", 0},
		{"client_min_messages", "warning", 0},
	}
}

// clip shortens s to at most n bytes without cutting a character in half.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// closeQuietly ends a session that is of no use any more; that it may already
// have ended is no news.
func closeQuietly(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
