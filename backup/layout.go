package backup

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/envdb/envdb"
)

// The keys of a repository; see docs/format.md.
const (
	repositoryKey  = "envdb.json"
	longestName    = 128
	manifestObject = "manifest"
	indexObject    = "index"
)

// layout spells the keys of one project.
type layout struct{ project string }

func (l layout) backups() string                { return l.project + "/backups/" }
func (l layout) backupsOf(env string) string    { return l.backups() + env + "/" }
func (l layout) packsOf(env string) string      { return l.project + "/packs/" + env + "/" }
func (l layout) marksOf(env string) string      { return l.project + "/marks/" + env + "/" }
func (l layout) intentsOf(env string) string    { return l.project + "/leases/writes/" + env + "/" }
func (l layout) mark(env, name string) string   { return l.marksOf(env) + name }
func (l layout) head(env string) string         { return l.project + "/heads/" + env }
func (l layout) identityMark(env string) string { return l.mark(env, "identity") }

func (l layout) backup(env string, id envdb.BackupID) string {
	return l.backupsOf(env) + string(id) + "/"
}

func (l layout) manifest(env string, id envdb.BackupID) string {
	return l.backup(env, id) + manifestObject
}

func (l layout) index(env string, id envdb.BackupID) string { return l.backup(env, id) + indexObject }

func (l layout) packsOfBackup(env string, id envdb.BackupID) string {
	return l.packsOf(env) + string(id) + "/"
}

func (l layout) pack(env string, p PackID) string {
	return l.packsOfBackup(env, p.Backup) + fmt.Sprintf("%06d", p.Number)
}

func (l layout) intent(env string, id envdb.BackupID) string { return l.intentsOf(env) + string(id) }

// PackID names a pack within an environment.
type PackID struct {
	Backup envdb.BackupID `json:"backup"`
	Number int            `json:"number"`
}

// ID returns the pack's name within its environment.
func (p Pack) ID() PackID { return PackID{Backup: p.Backup, Number: p.Number} }

// String returns the name as it stands in keys and messages.
func (p PackID) String() string { return fmt.Sprintf("%s/%06d", p.Backup, p.Number) }

// parsePack reads the rest of a pack's key behind packsOf, or of its mark.
func parsePack(rest string) (PackID, bool) {
	id, number, found := strings.Cut(rest, "/")
	parsed, err := envdb.ParseBackupID(id)
	n, nerr := strconv.Atoi(number)
	p := PackID{Backup: parsed, Number: n}
	return p, found && err == nil && nerr == nil && n > 0 && p.String() == rest
}

// parseBackupObject reads the rest of a key behind backupsOf.
func parseBackupObject(rest string) (id envdb.BackupID, object string, ok bool) {
	text, object, found := strings.Cut(rest, "/")
	id, err := envdb.ParseBackupID(text)
	return id, object, found && err == nil
}

// checkName returns an error unless name can be a segment of a key.
func checkName(what, name string) error {
	fault := ""
	switch {
	case name == "":
		fault = "it is empty"
	case len(name) > longestName:
		fault = fmt.Sprintf("it has more than %d bytes", longestName)
	case !utf8.ValidString(name):
		fault = "it is not valid UTF-8"
	case strings.HasPrefix(name, "."):
		fault = "it begins with a dot"
	case strings.Contains(name, "/"):
		fault = "it contains a slash"
	case strings.ContainsFunc(name, unicode.IsControl):
		fault = "it contains a control character"
	default:
		return nil
	}
	return envdb.Fail(envdb.ErrMisuse, "%s name %q: %s", what, name, fault).
		WithNext("use letters, digits and dashes")
}
