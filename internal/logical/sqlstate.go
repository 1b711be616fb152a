package logical

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// The errors of a server that a backup branches on. See the PostgreSQL manual,
// appendix "PostgreSQL Error Codes".
const (
	codeTooManyConnections = "53300"
	codeOutOfMemory        = "53200"
	codeLockNotAvailable   = "55P03"
	codeUndefinedTable     = "42P01"
	codeUndefinedSchema    = "3F000"
	codeWrongObjectType    = "42809"
	codeSerialization      = "40001"
	codeSnapshotGone       = "55000" // among others of object_not_in_prerequisite_state
	codeDataCorrupted      = "XX001"
	codeIndexCorrupted     = "XX002"
)

// hasCode reports whether a server answered with one of the codes.
func hasCode(err error, codes ...string) bool {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) {
		return false
	}
	for _, code := range codes {
		if pgErr.Code == code {
			return true
		}
	}
	return false
}

// storing is an error of the writer, not of the server.
type storing struct {
	what string
	err  error
}

func (e *storing) Error() string { return fmt.Sprintf("store %s: %s", e.what, e.err) }
func (e *storing) Unwrap() error { return e.err }

// explain says what an error means to a person, and leaves alone what is
// explained already, what is not the server's, and what may pass.
func explain(err error, what string) error {
	if errors.As(err, new(*passing)) || errors.As(err, new(*storing)) {
		return err
	}
	if hasCode(err, codeSerialization) {
		return &passing{
			text: what + ": the server cancelled it in favour of recovery",
			next: "raise max_standby_streaming_delay on the standby, or take the backup from the primary",
		}
	}
	if hasCode(err, codeSnapshotGone) && strings.Contains(err.Error(), "snapshot") {
		return envdb.Fail(envdb.ErrUnreachable, "%s: the session that holds the backup's snapshot has ended: %w", what, err).
			WithNext("see in the server's log who ended it, then run this again")
	}
	return postgres.Explain(err, what)
}

// tooManyLocks says what to do about a lock table that is too small.
func tooManyLocks(err error, tables int) error {
	return envdb.Fail(envdb.ErrPreflight, "lock %d tables: %w", tables, err).
		WithNext("raise max_locks_per_transaction on the server, so that times max_connections it exceeds %d, and restart it", 3*tables)
}

// missesName reports whether a name was not found: under the empty search path
// of our sessions, most likely one that a function wrote without its schema.
func missesName(err error) bool {
	return hasCode(err, codeUndefinedTable, codeUndefinedFunction, codeUndefinedObject)
}
