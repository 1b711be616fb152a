package ledger

import (
	"regexp"
	"strings"
)

var (
	// PostgreSQL's DETAIL and CONTEXT carry values of rows ("Failing row
	// contains (…)", "COPY t, line 3, column c: …").
	rowValues = regexp.MustCompile(`\b(DETAIL|CONTEXT):`)
	// messageStart begins a message, or a field of one, that is not row data.
	messageStart   = regexp.MustCompile(`^(\S*:\s*)*\s*(ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|LOG|HINT|LOCATION|error|warning|detail|hint):`)
	urlPassword    = regexp.MustCompile(`(://[^:@/\s]*:)[^@/\s]+@`)
	keywordSecrets = regexp.MustCompile(`(?i)\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)`)
)

// withoutSecrets masks passwords in connection strings.
func withoutSecrets(text string) string {
	return keywordSecrets.ReplaceAllString(urlPassword.ReplaceAllString(text, "${1}xxxxx@"), "${1}xxxxx")
}

// withoutRows cuts what PostgreSQL quotes of rows out of a message: from
// DETAIL or CONTEXT up to the next message. Values may span lines.
func withoutRows(text string) string {
	if !rowValues.MatchString(text) {
		return text
	}
	var kept []string
	quoting := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		at := rowValues.FindStringIndex(line)
		switch {
		case at != nil:
			quoting = true
			if before := strings.TrimRight(line[:at[0]], " \t"); before != "" {
				kept = append(kept, before)
			}
		case quoting && !messageStart.MatchString(line):
		default:
			quoting = false
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// forRecord returns text as it may be kept in the store.
func forRecord(text string) string { return withoutSecrets(withoutRows(text)) }
