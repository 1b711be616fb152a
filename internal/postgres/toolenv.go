package postgres

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
)

// ToolEnv returns the whole environment for a client program of PostgreSQL, so
// that it connects as [Connect] does to the same connection string. Secrets
// travel in the environment, because others can read a command line.
//
// What this process inherited in PG… variables counts as far as pgx heeds it,
// and is otherwise removed.
func ToolEnv(to envdb.ConnString) ([]string, error) {
	config, err := parse(to)
	if err != nil {
		return nil, err
	}
	s, err := readSettings(to)
	if err != nil {
		return nil, err
	}
	if s["sslpassword"] != "" {
		return nil, envdb.Fail(envdb.ErrPreflight, "the client programs cannot be given the password of an SSL key (sslpassword)").
			WithNext("use an sslkey without a password, readable by you alone")
	}
	// These pgx has worked out, from defaults and the password file.
	s["user"], s["password"] = config.User, config.Password
	s["dbname"] = firstOf(config.Database, config.User)
	if s["host"] == "" {
		s["host"] = config.Host
	}
	if s["port"] == "" {
		s["port"] = strconv.Itoa(int(config.Port))
	}
	return append(withoutLibpq(os.Environ()), s.environment(&config.Config)...), nil
}

// PinText returns the environment of a client program with the parameters set
// that decide how the server writes definitions and values as text, whatever
// the database, the role or the connection string sets. pg_dump pins only some
// of them itself.
func PinText(env []string) []string {
	var pins strings.Builder
	for _, s := range pinned() {
		if textual(s.name) {
			pins.WriteString(" -c " + escapeOption(s.name+"="+s.value))
		}
	}
	const name = "PGOPTIONS="
	out := slices.Clone(env)
	for i, pair := range out {
		if strings.HasPrefix(pair, name) {
			out[i] = pair + pins.String() // the last of two settings counts
			return out
		}
	}
	return append(out, name+strings.TrimSpace(pins.String()))
}

// textual reports whether a parameter changes how text is written or read.
func textual(parameter string) bool {
	return slices.Contains([]string{
		"DateStyle", "IntervalStyle", "TimeZone", "extra_float_digits", "bytea_output", "xmloption",
		"quote_all_identifiers", "standard_conforming_strings",
	}, parameter)
}

// environment writes the settings as variables of libpq. Parameters that have
// no variable of their own are session parameters and go into PGOPTIONS.
func (s settings) environment(config *pgconn.Config) []string {
	options := s["options"]
	for _, name := range slices.Sorted(maps.Keys(config.RuntimeParams)) {
		if _, hasVariable := environmentNames()[name]; !hasVariable {
			options += " -c " + escapeOption(name+"="+config.RuntimeParams[name])
		}
	}
	s["options"] = strings.TrimSpace(options)
	// libpq waits for ever for a server that takes the connection and then says
	// nothing.
	if s["connect_timeout"] == "" {
		s["connect_timeout"] = strconv.Itoa(int(connectPatience.Seconds()))
	}

	// pgx does not encrypt with GSSAPI, so neither shall they.
	env := []string{"PGGSSENCMODE=disable", "PGCLIENTENCODING=UTF8"}
	names := environmentNames()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if value := s[name]; value != "" {
			env = append(env, names[name]+"="+value)
		}
	}
	return env
}

// escapeOption protects the spaces of an option from the server, which splits
// PGOPTIONS at them.
func escapeOption(s string) string {
	return strings.NewReplacer(`\`, `\\`, " ", `\ `).Replace(s)
}

// withoutLibpq removes the variables that libpq heeds.
func withoutLibpq(env []string) []string {
	return slices.DeleteFunc(env, func(pair string) bool { return strings.HasPrefix(pair, "PG") })
}
