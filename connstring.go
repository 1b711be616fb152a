package envdb

import (
	"log/slog"
	"regexp"
	"strings"
)

// ConnString is a PostgreSQL connection URI or keyword/value string. It may
// hold a password: String, logs and JSON show it without, Reveal with.
// See the PostgreSQL manual, section "Connection Strings".
type ConnString string

// What may be secret in a connection string. It is found by its place, not by
// parsing: a string that pgx takes and net/url does not must be masked too. In
// a URI the credentials end at the last @ before the path, or, where a password
// holds a character that should have been encoded, at the last @ of all.
var (
	uriCredentials  = regexp.MustCompile(`(?s)^([a-z]+://[^:@/?]*):.*@`)
	uriParameter    = regexp.MustCompile(`(?i)([?&](?:ssl)?password=)[^&]*`)
	keywordPassword = regexp.MustCompile(`(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'?|(?:\\.|[^\s\\])+)`)
)

// Reveal returns the connection string with its secrets, for connecting.
func (c ConnString) Reveal() string { return string(c) }

// String returns the connection string with its passwords masked.
func (c ConnString) String() string {
	s := string(c)
	if !strings.Contains(s, "://") {
		return keywordPassword.ReplaceAllString(s, "${1}xxxxx")
	}
	s = uriParameter.ReplaceAllString(s, "${1}xxxxx")
	return uriCredentials.ReplaceAllString(s, "${1}:xxxxx@")
}

// LogValue implements slog.LogValuer.
func (c ConnString) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText implements encoding.TextMarshaler, so that JSON shows no secret.
func (c ConnString) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
