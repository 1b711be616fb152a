package config

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/envdb/envdb"
)

// The parts of a connection URI that matter here. It is taken apart by hand:
// net/url refuses the lists of hosts that PostgreSQL takes, and its errors
// quote what may be a password.
var (
	connURI         = regexp.MustCompile(`^postgres(?:ql)?://([^/?#]*)(?:/([^?#]*))?(?:\?([^#]*))?$`)
	keywordDatabase = regexp.MustCompile(`(?:^|\s)dbname\s*=\s*\S`)
	keyword         = regexp.MustCompile(`^\s*[a-z_]+\s*=`)
	keywordSecret   = regexp.MustCompile(`(?i)(?:^|[\s?&])(?:ssl)?password\s*=\s*([^\s&]+)`)
)

// shoutedName is what people type who mean the variable: env:PROD_DATABASE_URL.
// No secret looks so.
var shoutedName = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)

// checkGiven is checkConnection for what a person wrote themselves.
func checkGiven(s string) (wrong, next string) {
	wrong, next = checkConnection(s)
	if wrong != "" && shoutedName.MatchString(s) {
		next = "if that is the name of a variable, write env:" + s
	}
	return wrong, next
}

const exampleURL = "write postgres://user@host:5432/database"

// checkConnection returns what is wrong with a connection string, and what to
// write instead; never the string itself.
func checkConnection(s string) (wrong, next string) {
	switch {
	case strings.Contains(s, "://"):
		return checkURI(s)
	case keyword.MatchString(s):
		if !keywordDatabase.MatchString(s) {
			return "names no database (dbname=)", exampleURL
		}
		return "", ""
	}
	return "is not a connection URL", exampleURL
}

func checkURI(s string) (wrong, next string) {
	parts := connURI.FindStringSubmatch(s)
	switch {
	case !strings.HasPrefix(s, "postgres://") && !strings.HasPrefix(s, "postgresql://"):
		return "is not a PostgreSQL URL", exampleURL
	case parts == nil, !strings.Contains(parts[1], "@") && strings.Contains(parts[2]+parts[3], "@") && strings.Contains(parts[1], ":"):
		return "is not a valid URL: a user name or password with / ? or # in it", "percent-encode them: / is %2F, ? is %3F, # is %23, % is %25"
	}
	if _, err := url.PathUnescape(parts[1] + parts[2]); err != nil {
		return "is not a valid URL: it has a % that is not followed by two hexadecimal digits", "percent-encode % as %25"
	}
	query, err := url.ParseQuery(parts[3])
	switch {
	case err != nil:
		return "is not a valid URL: its parameters cannot be read", exampleURL
	case parts[2] == "" && query.Get("dbname") == "":
		return "names no database", exampleURL
	}
	return "", ""
}

// literalPassword reports whether a text of the file holds a password itself.
func literalPassword(raw string) bool {
	if found := keywordSecret.FindStringSubmatch(raw); found != nil && !strings.HasPrefix(found[1], "${") {
		return true
	}
	parts := connURI.FindStringSubmatch(embedded.ReplaceAllString(raw, "$"))
	if parts == nil {
		return false
	}
	credentials, _, _ := cutLast(parts[1], "@")
	_, password, _ := strings.Cut(credentials, ":")
	return strings.Trim(password, "$") != ""
}

// cutLast cuts s around the last sep; without one, before is empty.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// connection reads a connection string.
func (v value) connection() text {
	t := v.references()
	switch {
	case t.empty():
	case literalPassword(t.raw):
		v.doc.warn(v.at(), "%s holds a password; write ${NAME}, env:NAME or file:PATH instead", v.path)
	}
	if !t.empty() && !t.refers() {
		if wrong, next := checkGiven(t.raw); wrong != "" {
			v.hint(next, "%s", wrong)
		}
	}
	return t
}

// connect resolves a connection string; an empty text is an empty one.
func (t text) connect(get lookup) (envdb.ConnString, error) {
	if t.empty() {
		return "", nil
	}
	held, err := t.resolve(get)
	if err != nil {
		return "", err
	}
	if wrong, next := checkConnection(held); wrong != "" {
		return "", t.problem("what it refers to "+wrong, next, nil)
	}
	return envdb.ConnString(held), nil
}
