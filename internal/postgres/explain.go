package postgres

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
)

// verdict says what an SQLSTATE means to a person.
type verdict struct {
	kind error
	next string
}

// verdicts are the errors of a server that have one known way out. See the
// PostgreSQL manual, appendix "PostgreSQL Error Codes".
func verdicts() map[string]verdict {
	return map[string]verdict{
		"28P01": {envdb.ErrUnreachable, "check the user and the password in the environment's url"},
		"28000": {envdb.ErrUnreachable, "check the user in the environment's url, and the server's pg_hba.conf"},
		"3D000": {envdb.ErrNotFound, "check the database in the environment's url"},
		"53300": {envdb.ErrBusy, "wait, close idle sessions, or raise max_connections on the server"},
		"57P03": {envdb.ErrUnreachable, "wait until the server has started, then run this again"},
		"57P01": {envdb.ErrUnreachable, "somebody ended the session or stopped the server; run this again"},
		"57P02": {envdb.ErrUnreachable, "the server crashed and restarts; run this again"},
		"53100": {envdb.ErrPreflight, "free disk space on the server, then run this again"},
		"53200": {envdb.ErrPreflight, "give the server more memory, then run this again"},
		"42501": {envdb.ErrPreflight, "grant the role in the environment's url what it lacks"},
		"25006": {envdb.ErrPreflight, "the server is a standby or read-only: point the environment's url at the primary"},
		"55P03": {envdb.ErrBusy, "somebody holds a lock that this needs; run this again"},
		"42883": {nil, "a function that calls another without its schema finds it only if its own search_path says so: ALTER FUNCTION … SET search_path = …"},
		"55006": {envdb.ErrBusy, "somebody uses the object; run this again"},
	}
}

// Explain returns err with what it means to a person: its kind and, if there
// is one, the way out. What names the operation. A nil err stays nil, and an
// error that is already a Problem keeps its own words.
func Explain(err error, what string) error {
	if err == nil {
		return nil
	}
	if p := new(envdb.Problem); errors.As(err, &p) {
		return err
	}
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) {
		return explainServer(err, pgErr, what)
	}
	if errors.Is(err, context.Canceled) {
		return envdb.Fail(envdb.ErrInterrupted, "%s: %w", what, err)
	}
	if lost(err) {
		return envdb.Fail(envdb.ErrUnreachable, "%s: the connection is gone: %w", what, err).WithNext(afterLoss)
	}
	return envdb.Fail(nil, "%s: %w", what, err)
}

// afterLoss is what to do when a connection was lost.
const afterLoss = "check that the server is up and reachable, then run this again"

// Advise returns an error that says itself what failed, as those of a library
// which knows SQL but not our servers, with what it lacks: its kind and the way
// out, if there is one. An error with advice stays as it is, and so does nil.
func Advise(err error) error {
	if _, next := envdb.Advice(err); err == nil || next != "" {
		return err
	}
	v := verdicts()[SQLState(err)]
	if lost(err) {
		v = verdict{envdb.ErrUnreachable, afterLoss}
	}
	if v.kind == nil { // it may be the statement's own fault, of which a library knows more
		return err
	}
	return envdb.Fail(v.kind, "%w", err).WithNext("%s", v.next)
}

func explainServer(err error, pgErr *pgconn.PgError, what string) *envdb.Problem {
	v := verdicts()[pgErr.Code]
	p := envdb.Fail(v.kind, "%s: %w", what, err)
	p.Text = what + ": " + pgErr.Message
	p.Next = v.next
	if pgErr.Hint != "" && p.Next == "" { // a guess of the server's, and no next step
		p.Text += " (" + strings.TrimSuffix(pgErr.Hint, ".") + ")"
	}
	return p
}

// malformed explains a connection string that cannot be read. The cause is
// not passed on, because it may quote the string; a missing file is named.
func malformed(err error) error {
	if missing := new(fs.PathError); errors.As(err, &missing) {
		return envdb.Fail(envdb.ErrMisuse, "the connection string names a file that cannot be read: %w", missing).
			WithState("nothing was changed").
			WithNext("check the ssl settings of the environment's url")
	}
	return envdb.Fail(envdb.ErrMisuse, "the connection string cannot be read").
		WithState("nothing was changed").
		WithNext("write the environment's url as postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…, with special characters percent-encoded (@ is %%40, / is %%2F, %% is %%25), a number as port and a value of sslmode that PostgreSQL knows")
}

// notAccepting is how a server refuses a session in a database that does not
// allow connections; it is object_not_in_prerequisite_state.
const notAccepting = "55000"

// explainConnect explains why no session could be opened.
func explainConnect(ctx context.Context, err error, config *pgx.ConnConfig) error {
	where := address(config)
	if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
		return envdb.Fail(envdb.ErrInterrupted, "connect to %s: %w", where, ctx.Err())
	}
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) {
		p := explainServer(pgErr, pgErr, "connect to "+where)
		if pgErr.Code == notAccepting {
			p.Kind = envdb.ErrUnreachable
			p.Next = "let it take connections again: ALTER DATABASE " + Quote(config.Database) + " ALLOW_CONNECTIONS true"
		}
		return p
	}
	p := envdb.Fail(envdb.ErrUnreachable, "connect to %s: %s", where, strings.Join(reasons(cause(err)), "; ")).
		WithNext("check that the server is up, and the host and port in the environment's url")
	p.Err = errors.Join(ErrSilent, cause(err))
	return p
}

// ErrSilent is wrapped by the error of a server that does not answer. What one
// says, be it that it does not let anybody in, is an answer.
var ErrSilent = errors.New("the server does not answer")

// reasons returns the different reasons at the ends of an error's tree: every
// address and every way to speak TLS was tried, mostly in vain for one reason.
func reasons(err error) []string {
	var all []string
	add := func(more ...string) {
		for _, text := range more {
			if !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	switch e := err.(type) {
	case *net.DNSError:
		add(e.Error())
	case *os.SyscallError:
		add(e.Err.Error())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			add(reasons(one)...)
		}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return reasons(inner)
		}
		add(strings.ReplaceAll(err.Error(), "\n", "; "))
	default:
		add(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return all
}

// cause returns the innermost part of a connection error that is about the
// network, without pgx's own
// preamble, and without the configuration that pgx attaches.
func cause(err error) error {
	if connect := new(pgconn.ConnectError); errors.As(err, &connect) {
		return connect.Unwrap()
	}
	return err
}

// address says where a configuration leads, without secrets.
func address(config *pgx.ConnConfig) string {
	places := []string{pgconnAddress(config.Host, config.Port)}
	for _, f := range config.Fallbacks {
		if next := pgconnAddress(f.Host, f.Port); next != places[len(places)-1] {
			places = append(places, next)
		}
	}
	return strings.Join(places, ", ") + " (user " + config.User + ", database " + config.Database + ")"
}

func pgconnAddress(host string, port uint16) string {
	_, address := pgconn.NetworkAddress(host, port)
	return address
}
