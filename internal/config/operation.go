package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/schedule"
	"github.com/envdb/envdb/seed/statement"
)

// Backup says how and when an environment is backed up.
type Backup struct {
	Method backup.Method
	// Ladder is empty when backups are taken only when someone asks.
	Ladder schedule.Ladder
	Keep   schedule.Keep
	// MaxDuty is the share of the time that backups may take, above 0 to 1.
	MaxDuty float64
	// Grace is how long a backup that no rung keeps can still be brought back.
	Grace time.Duration
}

// defaultGrace is the time in which a person sees that something went that
// should have stayed.
const defaultGrace = time.Hour

func defaultBackup() Backup {
	return Backup{Method: backup.Logical, MaxDuty: schedule.DefaultMaxDuty, Grace: defaultGrace}
}

// backup reads the section of that name.
func (v value) backup() Backup {
	b := defaultBackup()
	seen := v.object(fields{
		"method":   func(v value) { b.Method = v.method() },
		"ladder":   func(v value) { b.Ladder = v.ladder() },
		"keep":     func(v value) { b.Keep = v.keep() },
		"max_duty": func(v value) { b.MaxDuty = v.share() },
		"grace":    func(v value) { b.Grace = v.span() },
	})
	ladder, found := seen["ladder"]
	if len(b.Ladder) > 0 {
		if err := b.Keep.Check(b.Ladder); err != nil {
			at, given := seen["keep"]
			if !given {
				at = ladder
			}
			at.failed(err)
		}
	}
	if found {
		v.doc.needsDaemon(ladder.at)
	}
	return b
}

func (v value) method() backup.Method {
	if v.plainText() == "physical" {
		v.hint("use logical", "this version of envdb has no physical backups")
		return ""
	}
	return backup.Method(v.choice("method", string(backup.Logical)))
}

func (v value) ladder() schedule.Ladder {
	before := len(v.doc.faults)
	var rungs []time.Duration
	for _, item := range v.list() {
		rungs = append(rungs, item.duration())
	}
	if len(v.doc.faults) > before {
		return nil
	}
	ladder, err := schedule.NewLadder(rungs...)
	if err != nil {
		v.failed(err)
	}
	return ladder
}

// keep reads auto, a number, or numbers per rung; auto stands for what is wrong.
func (v value) keep() schedule.Keep {
	before := len(v.doc.faults)
	keep := v.anyKeep()
	if len(v.doc.faults) > before {
		return schedule.Keep{}
	}
	return keep
}

func (v value) anyKeep() schedule.Keep {
	if v.kind() == "a mapping" {
		return schedule.Keep{Rungs: v.keepRungs()}
	}
	if v.plainText() == "auto" {
		return schedule.Keep{}
	}
	if _, err := strconv.Atoi(v.plainText()); err != nil {
		v.hint("write auto, a number, or {1d: 30}", "is not a number of restore points")
		return schedule.Keep{}
	}
	return schedule.Keep{All: v.integer(1)}
}

func (v value) keepRungs() map[time.Duration]int {
	rungs := map[time.Duration]int{}
	for _, e := range v.entries() {
		rung, err := envdb.ParseDuration(e.name)
		if err != nil {
			e.doc.fault(e.at, "", "%s: %v", v.path, err)
			continue
		}
		rungs[rung] = e.integer(1)
	}
	return rungs
}

// share reads 25% or 0.25.
func (v value) share() float64 {
	share, err := ParseShare(v.plainText())
	if err != nil {
		v.hint("write 25%", "%s", "is not a share above 0% and up to 100%")
		return schedule.DefaultMaxDuty
	}
	return share
}

// ParseShare reads 25% or 0.25: a share above 0 and up to 1.
func ParseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share > 0 && share <= 1) {
		return 0, envdb.Fail(envdb.ErrMisuse, "%q is not a share above 0%% and up to 100%%", text).WithNext("write e.g. 25%%")
	}
	return share, nil
}

// Mirror says what fills an environment and how the copy is made harmless.
// The zero Mirror means that the environment is not regularly mirrored into.
type Mirror struct {
	From     string
	Schedule Schedule
	// Neutralise are SQL files that run in a copy before anyone can connect,
	// Checks are SQL files whose statements must return no rows. Paths are
	// absolute.
	Neutralise []string
	Checks     []string
	// Preserve are tables that a mirror leaves as the environment has them.
	Preserve []Preserve
	// Remap is what points at third parties.
	Remap Remap `json:"-"`
	// Migrate runs the migrations of the environment's seed in a copy before it
	// is live: its code may be ahead of the source's.
	Migrate bool
	// Mask says what is replaced on the way into the copy.
	Mask Mask
}

// readMirror reads the section of that name.
func (d *declaration) readMirror(v value) {
	seen := v.object(fields{
		"from":       func(v value) { d.Mirror.From, d.from = v.text(), v },
		"schedule":   d.schedule(envdb.OpMirror, &d.Mirror.Schedule),
		"neutralise": func(v value) { d.Mirror.Neutralise = v.files() },
		"checks":     func(v value) { d.Mirror.Checks = v.files() },
		"preserve":   func(v value) { d.Mirror.Preserve = v.preserved() },
		"remap":      d.readRemap,
		"migrate":    func(v value) { d.migrate, d.Mirror.Migrate = v, v.boolean() },
		"mask":       d.readMask,
	})
	v.require(seen, "from")
}

// files reads a list of files. Whether they exist is asked when they are read,
// so that a missing one does not stop a rollback.
func (v value) files() []string {
	var files []string
	for _, path := range v.texts() {
		if !filepath.IsAbs(path) {
			path = filepath.Join(v.doc.dir, path)
		}
		files = append(files, filepath.Clean(path))
	}
	return files
}

// Script is a file of SQL that the configuration names.
type Script struct {
	Path string
	SQL  string
}

// ReadScripts reads SQL files, each of which is run in one transaction. A
// missing one is ErrPreflight, one that begins or ends transactions ErrMisuse.
func ReadScripts(paths []string) ([]Script, error) {
	return ReadScriptsAt(paths, func(path string) string { return path })
}

// ReadScriptsAt is ReadScripts for files that lie elsewhere than their paths say:
// at says where.
func ReadScriptsAt(paths []string, at func(string) string) ([]Script, error) {
	scripts := make([]Script, 0, len(paths))
	for _, path := range paths {
		content, err := os.ReadFile(at(path))
		if pathErr := new(fs.PathError); errors.As(err, &pathErr) {
			err = &fs.PathError{Op: pathErr.Op, Path: path, Err: pathErr.Err}
		}
		if err != nil {
			return nil, envdb.Fail(envdb.ErrPreflight, "read SQL file: %w", err).
				WithState("nothing was changed").WithNext("correct the path in the configuration; paths are relative to its directory")
		}
		if strings.TrimSpace(string(content)) == "" {
			return nil, envdb.Fail(envdb.ErrPreflight, "the SQL file %s is empty", path).
				WithState("nothing was changed").WithNext("write statements into it, or remove it from the configuration")
		}
		script := Script{Path: path, SQL: string(content)}
		if err := script.inOneTransaction(); err != nil {
			return nil, err
		}
		scripts = append(scripts, script)
	}
	return scripts, nil
}

// inOneTransaction fails for a script that begins or ends a transaction: it
// would leave the one that it is run in, and with it what that takes back.
func (s Script) inOneTransaction() error {
	st, found := statement.Transaction(s.SQL)
	if !found {
		return nil
	}
	line, column := statement.Place(s.SQL, st.Offset)
	return envdb.Fail(envdb.ErrMisuse, "%s:%d:%d: %s: the file is run in one transaction, which it may not end or begin", s.Path, line, column, st.Words[0]).
		WithState("nothing was changed").WithNext("remove the statement")
}
