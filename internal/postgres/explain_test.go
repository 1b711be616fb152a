package postgres_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// An error of a library keeps its words, and says what kind of failure it is
// and what to do.
func TestAdvise(t *testing.T) {
	t.Parallel()
	own := envdb.Fail(envdb.ErrMisuse, "books.yml:3: no such column").WithNext("correct the file")
	for name, c := range map[string]struct {
		err, kind error
		next      string
	}{
		"a lost connection":    {fmt.Errorf("read the catalogue: %w", io.ErrUnexpectedEOF), envdb.ErrUnreachable, "check that the server is up and reachable, then run this again"},
		"within a problem":     {envdb.Fail(nil, "read the version: %w", io.EOF).WithState("nothing was changed"), envdb.ErrUnreachable, "check that the server is up and reachable, then run this again"},
		"a full disk":          {fmt.Errorf("load books: %w", &pgconn.PgError{Code: "53100", Message: "No space left on device"}), envdb.ErrPreflight, "free disk space on the server, then run this again"},
		"advice of its own":    {own, envdb.ErrMisuse, "correct the file"},
		"the statement's own":  {fmt.Errorf("00003_wrong.sql: %w", &pgconn.PgError{Code: "42883", Message: "function nowhere() does not exist"}), nil, ""},
		"what nobody can tell": {errors.New("no idea"), nil, ""},
	} {
		got := postgres.Advise(c.err)
		if got.Error() != c.err.Error() || !errors.Is(got, c.err) || c.kind != nil && !errors.Is(got, c.kind) {
			t.Errorf("%s: %v, of kind %v", name, got, c.kind)
		}
		wantState, _ := envdb.Advice(c.err)
		if state, next := envdb.Advice(got); next != c.next || state != wantState {
			t.Errorf("%s: state %q, next %q, want %q, %q", name, state, next, wantState, c.next)
		}
	}
	if err := postgres.Advise(nil); err != nil {
		t.Errorf("nil: %v", err)
	}
}
