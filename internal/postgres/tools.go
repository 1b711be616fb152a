package postgres

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/envdb/envdb"
)

// Tools are the client programs of one PostgreSQL version.
type Tools struct {
	Major int
	// Dump, Restore and PSQL are the paths of pg_dump, pg_restore and psql.
	Dump, Restore, PSQL string
}

// FindTools finds the client programs for a server of the given major version:
// those of exactly that version, else the next newer ones, because pg_dump
// reads older servers but refuses newer ones. It looks in every directory of
// PATH, and where Debian, Ubuntu and Red Hat install them; of two equal ones
// PATH's wins, because somebody chose it.
func FindTools(ctx context.Context, major int) (Tools, error) {
	var best Tools
	for _, dir := range toolPlaces(ctx) {
		t, ok := toolsIn(ctx, dir)
		if ok && t.Major >= major && (best.Major == 0 || t.Major < best.Major) {
			best = t
		}
	}
	if best.Major == 0 {
		return Tools{}, envdb.Fail(envdb.ErrPreflight, "no pg_dump for PostgreSQL %d is installed; an older one cannot read the server", major).
			WithState("nothing was changed").
			WithNext("run: sudo apt-get install postgresql-client-%d (from https://apt.postgresql.org if the system has none); programs that lie elsewhere are found through PATH", major)
	}
	return best, nil
}

// toolPlaces lists the directories that may hold client programs, by rank.
func toolPlaces(ctx context.Context) []string {
	dirs := onPath("pg_dump")
	if config, err := exec.LookPath("pg_config"); err == nil {
		if out, err := exec.CommandContext(ctx, config, "--bindir").Output(); err == nil {
			dirs = append(dirs, filepath.Clean(string(trimNewline(out))))
		}
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		found, _ := filepath.Glob(pattern) // fails on a malformed pattern only
		dirs = append(dirs, found...)
	}
	return dirs
}

// onPath returns the directories that a program on PATH really lies in: PATH
// often has one directory of links. Debian's link leads to a wrapper of another
// name, which chooses a version by itself, so it does not count. Directories
// relative to the current one do not count either, as in exec.LookPath.
func onPath(program string) []string {
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path, err := filepath.EvalSymlinks(filepath.Join(dir, program))
		if err == nil && filepath.IsAbs(path) && filepath.Base(path) == program {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	return dirs
}

func trimNewline(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

var toolVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// toolsIn returns the client programs in dir, if all are there.
func toolsIn(ctx context.Context, dir string) (Tools, bool) {
	t := Tools{
		Dump:    filepath.Join(dir, "pg_dump"),
		Restore: filepath.Join(dir, "pg_restore"),
		PSQL:    filepath.Join(dir, "psql"),
	}
	for _, program := range []string{t.Dump, t.Restore, t.PSQL} {
		if _, err := os.Stat(program); err != nil {
			return Tools{}, false
		}
	}
	out, err := exec.CommandContext(ctx, t.Dump, "--version").Output()
	if err != nil {
		return Tools{}, false
	}
	m := toolVersion.FindSubmatch(out)
	if m == nil {
		return Tools{}, false
	}
	t.Major, err = strconv.Atoi(string(m[1]))
	return t, err == nil
}
