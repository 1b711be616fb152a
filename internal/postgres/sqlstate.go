package postgres

import (
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// lost reports whether err says that the connection, not the statement, failed.
func lost(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed)
}

const insufficientPrivilege = "42501"

// SQLState returns the SQLSTATE of an error of the server, or "".
func SQLState(err error) string {
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}
