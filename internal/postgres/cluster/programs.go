package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/envdb/envdb"
)

// Oldest is the oldest major version of PostgreSQL that envdb works with.
const Oldest = 15

// Programs are the server programs of one PostgreSQL version.
type Programs struct {
	// Dir is the directory that holds initdb, postgres and pg_ctl.
	Dir   string
	Major int
}

// Find returns the server programs of a major version, or of the highest one
// installed if major is 0. It looks where Debian, Ubuntu and Red Hat install
// them, and in every directory of PATH.
func Find(major int) (Programs, error) {
	var best Programs
	for _, dir := range places() {
		m, ok := serverMajor(dir)
		if !ok || m < Oldest || (major != 0 && m != major) {
			continue
		}
		if m > best.Major {
			best = Programs{Dir: dir, Major: m}
		}
	}
	if best.Major == 0 {
		return Programs{}, missing(major)
	}
	return best, nil
}

func missing(major int) error {
	if major == 0 {
		return envdb.Fail(envdb.ErrPreflight, "no PostgreSQL server (version %d or newer) is installed", Oldest).
			WithNext("run `make deps`, or: sudo apt-get install postgresql postgresql-client")
	}
	return envdb.Fail(envdb.ErrPreflight, "no PostgreSQL %d server is installed", major).
		WithNext("run: sudo apt-get install postgresql-%d, or put the directory of its programs on PATH", major)
}

// places lists the directories that may hold a server's programs.
func places() []string {
	var dirs []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		found, _ := filepath.Glob(pattern) // fails on a malformed pattern only
		dirs = append(dirs, found...)
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if real, err := filepath.EvalSymlinks(filepath.Join(dir, "initdb")); err == nil && filepath.IsAbs(real) {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	return dirs
}

var versionForm = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// serverMajor asks the server program in dir for its version.
func serverMajor(dir string) (int, bool) {
	for _, name := range []string{"initdb", "pg_ctl"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return 0, false
		}
	}
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, false
	}
	m := versionForm.FindSubmatch(out)
	if m == nil {
		return 0, false
	}
	major, err := strconv.Atoi(string(m[1]))
	return major, err == nil
}
