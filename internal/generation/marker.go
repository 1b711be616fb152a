package generation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Building is the state of a version that its run has not finished yet. It is
// not among envdb's states of a version because nobody may use one.
const Building envdb.VersionState = "building"

// markerPrefix begins the line of a database's comment that holds the marker.
// The lines before it are the user's comment.
const markerPrefix = "envdb: "

// Marker is what a database says of itself, as JSON in its comment.
type Marker struct {
	Environment string `json:"environment"`
	// Base is the name of the environment's live version. It keeps apart two
	// environments of one name in two projects on one server.
	Base  string             `json:"base"`
	ID    string             `json:"id"`
	State envdb.VersionState `json:"state"`
	// Foreign says that envdb did not make the database: whatever becomes of
	// it, it is never dropped.
	Foreign bool `json:"foreign,omitempty"`

	Source string    `json:"source,omitempty"` // the environment whose data it holds
	Backup string    `json:"backup,omitempty"` // the id of the backup it was filled from
	Point  time.Time `json:"point,omitzero"`   // the moment of the data
	Digest string    `json:"digest,omitempty"` // of the inputs of a seed
	// Commit is that of the inputs of a seed, if they are a git revision's and
	// not the work tree's: to seed the same again.
	Commit string `json:"commit,omitempty"`
	// Clock is what fixtures took for now, if they asked: to seed the same again.
	Clock time.Time `json:"clock,omitzero"`
	// Volatile names columns that the inputs of a seed do not decide, so that a
	// copy of the version can be told from a replay of them. A marker is small:
	// of many columns it holds the first, and MoreVolatile counts the others.
	Volatile     []string `json:"volatile,omitempty"`
	MoreVolatile int      `json:"more_volatile,omitempty"`
	// Labels are what a person or CI noted of the version.
	Labels     map[string]string `json:"labels,omitempty"`
	Neutrality envdb.Neutrality  `json:"neutrality,omitempty"`
	// Masked is the digest of the rules with which the data was masked.
	Masked string `json:"masked,omitempty"`

	Run      string    `json:"run,omitempty"` // the run that built it
	Created  time.Time `json:"created,omitzero"`
	Promoted time.Time `json:"promoted,omitzero"` // when it last became live
	Retired  time.Time `json:"retired,omitzero"`  // when it last stopped being live

	// Carried is what the version brings along from its source. In a live
	// version it tells the source's settings from the environment's own.
	Carried *Properties `json:"carried,omitempty"`
	// Configured are the settings of a live version that the configuration
	// gave; see [Properties].
	Configured []Setting `json:"configured,omitempty"`
	// Access says what the application's role was granted when the version was
	// filled; empty where the configuration said nothing of it.
	Access string `json:"access,omitempty"`

	// Sealed is the xmin of the row in pg_database from the moment in which a
	// baseline or a spare was made. Whoever lets somebody connect changes it.
	Sealed uint32 `json:"sealed,omitempty"`
	// Baseline is the id of the baseline that the version was copied from, that
	// was sealed as its copy, or that stayed in force when it became live; empty
	// if it was filled without leaving one.
	Baseline string `json:"baseline,omitempty"`

	// Pausing says that the pooler was paused for this version's promote. A
	// promote removes it at its end, so one that is found tells of a crash.
	Pausing bool `json:"pausing,omitempty"`
	// PoolerSettings are noted like the pause: whoever resumes for a run that
	// died puts them back as well.
	PoolerSettings PoolerSettings `json:"pooler_settings,omitzero"`

	SystemIdentifier string `json:"system_identifier"`
	OID              uint32 `json:"oid"`
}

// errNoMarker is why a database without any marker is not ours.
var errNoMarker = errors.New("it has no marker")

// SplitComment returns the user's part of a database's comment and the marker,
// which is nil if there is none or if it cannot be read. A comment that only
// looks like a marker is the user's.
func SplitComment(comment string) (user string, m *Marker) {
	head, line, found := cutLast(comment)
	if !found {
		return comment, nil
	}
	read := new(Marker)
	if err := json.Unmarshal([]byte(line), read); err != nil || read.Environment == "" {
		return comment, nil
	}
	return head, read
}

// cutLast splits a comment before the last line that begins as a marker does.
func cutLast(comment string) (head, line string, found bool) {
	at := strings.LastIndex(comment, "\n"+markerPrefix)
	switch {
	case at >= 0:
		return comment[:at], comment[at+1+len(markerPrefix):], true
	case strings.HasPrefix(comment, markerPrefix):
		return "", comment[len(markerPrefix):], true
	}
	return comment, "", false
}

// JoinComment returns a comment that holds the user's text and the marker.
func JoinComment(user string, m Marker) (string, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("marker: %w", err)
	}
	if user == "" {
		return markerPrefix + string(text), nil
	}
	return user + "\n" + markerPrefix + string(text), nil
}

// check returns nil if the marker is that of the environment's database with
// the oid on the server, and otherwise says what differs.
func (m *Marker) check(environment, base, system string, oid uint32) error {
	switch {
	case m == nil:
		return errNoMarker
	case m.Environment != environment:
		return fmt.Errorf("its marker is of environment %q", m.Environment)
	case m.Base != base:
		return fmt.Errorf("its marker is of database %q", m.Base)
	case m.SystemIdentifier != system:
		return fmt.Errorf("its marker is of another server (%s)", m.SystemIdentifier)
	case m.OID != oid:
		return fmt.Errorf("its marker is of another database (oid %d)", m.OID)
	}
	return nil
}
