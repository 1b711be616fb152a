package envdb

import (
	"log/slog"
	"net/url"
	"regexp"
)

// ConnString is a PostgreSQL connection URI or keyword/value string. It may
// hold a password: String, logs and JSON show it without, Reveal with.
// See the PostgreSQL manual, section "Connection Strings".
type ConnString string

var keywordPassword = regexp.MustCompile(`(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)`)

// Reveal returns the connection string with its secrets, for connecting.
func (c ConnString) Reveal() string { return string(c) }

// String returns the connection string with its password masked.
func (c ConnString) String() string {
	u, err := url.Parse(string(c))
	if err != nil || u.Scheme == "" {
		return keywordPassword.ReplaceAllString(string(c), "${1}xxxxx")
	}
	q := u.Query()
	for _, key := range []string{"password", "sslpassword"} {
		if q.Has(key) {
			q.Set(key, "xxxxx")
			u.RawQuery = q.Encode()
		}
	}
	return u.Redacted()
}

// LogValue implements slog.LogValuer.
func (c ConnString) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText implements encoding.TextMarshaler, so that JSON shows no secret.
func (c ConnString) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
