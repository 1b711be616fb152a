package cluster

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/envdb/envdb"
)

// account is whom the server runs as. The zero account is oneself.
type account struct {
	name     string
	uid, gid int
	other    bool
}

// unprivileged returns oneself, or for root the first of the users postgres
// and nobody that there is.
func unprivileged() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr != nil || gidErr != nil || uid == 0 {
			continue
		}
		return account{name: name, uid: uid, gid: gid, other: true}, nil
	}
	return account{}, envdb.Fail(envdb.ErrPreflight, "PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as").
		WithNext("run: useradd --system postgres, or run envdb as a normal user")
}

// own gives a file or directory to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// credential returns what makes a child process run as the account.
func (a account) credential() *syscall.Credential {
	if !a.other {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// reaches reports whether the account may pass through every directory above
// path, which its server must.
func (a account) reaches(path string) error {
	if !a.other {
		return nil
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("cluster directory %s: %w", path, err)
		}
		if !a.traverses(info) {
			return envdb.Fail(envdb.ErrPreflight, "PostgreSQL runs as the user %s, who cannot enter %s", a.name, dir).
				WithNext("choose a directory that everyone can reach, such as one under /tmp or /var/lib")
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (a account) traverses(dir os.FileInfo) bool {
	mode := dir.Mode().Perm()
	if owner, ok := dir.Sys().(*syscall.Stat_t); ok {
		switch {
		case int(owner.Uid) == a.uid:
			return mode&0o100 != 0
		case int(owner.Gid) == a.gid:
			return mode&0o010 != 0
		}
	}
	return mode&0o001 != 0
}

// environment returns what a PostgreSQL program should see of ours: nothing
// that steers libpq or its language.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, pair := range os.Environ() {
		if strings.HasPrefix(pair, "PG") || strings.HasPrefix(pair, "LC_") || strings.HasPrefix(pair, "LANG") {
			continue
		}
		env = append(env, pair)
	}
	return env
}
