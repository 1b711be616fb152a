package ledger

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

const (
	dayLayout = "20060102"
	// runIDLayout and five random characters make a run's id; its milliseconds
	// order the runs of one second.
	runIDLayout  = "20060102-150405.000"
	runIDLength  = len("20060102-150405-000aaaaa")
	runIDLetters = "abcdefghjkmnpqrstvwxyz0123456789" // 32: a byte maps evenly
)

// newRunID returns an id that sorts by time and that no other machine makes:
// YYYYMMDD-HHMMSS-mmm and five random letters.
func newRunID(now time.Time) string {
	var random [5]byte
	_, _ = rand.Read(random[:]) // never fails; see crypto/rand
	for i, b := range random {
		random[i] = runIDLetters[int(b)%len(runIDLetters)]
	}
	stamp := now.UTC().Format(runIDLayout)
	return strings.Replace(stamp, ".", "-", 1) + string(random[:])
}

// isRunID reports whether a text can be the id of a run, or begin one.
func isRunID(text string) bool { return strings.Trim(text, runIDLetters+"ilo-") == "" }

// newNonce returns a name that nothing else bears.
func newNonce() string {
	var random [8]byte
	_, _ = rand.Read(random[:])
	return hex.EncodeToString(random[:])
}

// escape returns name in characters that every store, file system and key of
// this package takes: letters, digits, - and _ stand for themselves, other
// bytes become %XX. A name too long for a file is cut, and told apart by its
// hash.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	const longest = 120
	if b.Len() <= longest {
		return b.String()
	}
	sum := sha256.Sum256([]byte(name))
	return b.String()[:longest-20] + "~" + hex.EncodeToString(sum[:8])
}

// unescape undoes escape, but for a name that was cut: that one stays as it is,
// which no whole name does.
func unescape(escaped string) string {
	if name, err := url.PathUnescape(escaped); err == nil && escape(name) == escaped {
		return name
	}
	return escaped
}

// runKey is what the name of a record tells without reading it.
type runKey struct {
	key         string
	id          string
	environment string // escaped
	operation   envdb.Operation
	outcome     Outcome
}

// with returns the key of another record of the same run.
func (k runKey) with(o Outcome) string {
	return strings.TrimSuffix(k.key, string(k.outcome)) + string(o)
}

func (l *Ledger) runsPrefix() string { return l.project + "/runs/" }

func (l *Ledger) dayPrefix(day string) string { return l.runsPrefix() + day + "/" }

// runPrefix is the prefix of everything that belongs to a run.
func (l *Ledger) runPrefix(id string) string { return l.dayPrefix(id[:len(dayLayout)]) + id + "." }

func (l *Ledger) recordKey(r *Run) string {
	return l.runPrefix(r.ID) + strings.Join([]string{escape(r.Environment), escape(string(r.Operation)), string(r.Outcome)}, ".")
}

func (l *Ledger) logKey(id string) string { return l.runPrefix(id) + "log" }

func (l *Ledger) leaseKey(env string) string { return l.project + "/leases/" + escape(env) + ".json" }

func (l *Ledger) holdsPrefix(env string) string {
	return l.project + "/leases/reads/" + escape(env) + "/"
}

// parseRunKey reads the name of a record; it reports false for logs and for
// what is not ours.
func parseRunKey(key string) (runKey, bool) {
	parts := strings.Split(key[strings.LastIndexByte(key, '/')+1:], ".")
	if len(parts) != 4 || len(parts[0]) != runIDLength || !Outcome(parts[3]).known() {
		return runKey{}, false
	}
	return runKey{
		key: key, id: parts[0], environment: parts[1],
		operation: envdb.Operation(parts[2]), outcome: Outcome(parts[3]),
	}, true
}
