package postgres

import (
	"strings"

	"github.com/envdb/envdb"
)

// DatabaseName returns the database that a connection string leads to: the
// one it names, or as in libpq the user's.
func DatabaseName(to envdb.ConnString) (string, error) {
	config, err := parse(to)
	if err != nil {
		return "", err
	}
	if config.Database == "" {
		return config.User, nil
	}
	return config.Database, nil
}

// WithDatabase returns the connection string with another database, and all
// else as it was.
func WithDatabase(to envdb.ConnString, database string) (envdb.ConnString, error) {
	if _, err := parse(to); err != nil {
		return "", err
	}
	s := to.Reveal()
	if !isURI(s) {
		return envdb.ConnString(strings.TrimSpace(s + " dbname=" + quoteValue(database))), nil
	}
	head, query := splitURI(s)
	out := head + "/" + percentEncode(database)
	if rest := withoutDatabase(query); rest != "" {
		out += "?" + rest
	}
	return envdb.ConnString(out), nil
}

func isURI(s string) bool {
	return strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://")
}

// splitURI returns what stands before the path of a connection URI, and its
// query. The path, which holds the database, is left out.
func splitURI(s string) (head, query string) {
	start := strings.Index(s, "://") + len("://")
	if i := strings.IndexAny(s[start:], "@/"); i >= 0 && s[start+i] == '@' {
		start += i + 1
	}
	end := start + authorityLength(s[start:])
	if i := strings.IndexByte(s[end:], '?'); i >= 0 {
		query = s[end+i+1:]
	}
	return s[:end], query
}

// authorityLength returns how much of s is hosts and ports. What stands within
// the brackets of an IPv6 address does not end them.
func authorityLength(s string) int {
	bracketed := false
	for i, r := range s {
		switch {
		case r == '[':
			bracketed = true
		case r == ']':
			bracketed = false
		case !bracketed && (r == '/' || r == '?'):
			return i
		}
	}
	return len(s)
}

// withoutDatabase removes the parameters that would override the path.
func withoutDatabase(query string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if pair != "" && key != "dbname" && key != "database" {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// quoteValue writes a value of a keyword/value string.
func quoteValue(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// percentEncode writes s so that it means itself anywhere in a URI. Unlike
// url.PathEscape it leaves nothing to a parser's goodwill.
func percentEncode(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

// UserName returns the role that a connection string connects as: the one it
// names, or as in libpq the user's.
func UserName(to envdb.ConnString) (string, error) {
	config, err := parse(to)
	if err != nil {
		return "", err
	}
	return config.User, nil
}
