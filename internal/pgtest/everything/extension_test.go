package everything_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/everything"
)

// A server that runs from an Installation has the extension, the rows of its
// configuration tables, and PostgreSQL's own extensions.
func TestInstallationHasTheExtension(t *testing.T) {
	t.Parallel()
	programs, err := pgtest.Source.Programs()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "envdb-everything-") // t.TempDir is closed to the server's user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	bin, err := everything.Installation(filepath.Join(dir, "installation"), programs.Dir)
	if err != nil {
		t.Fatal(err)
	}
	credential := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	run(t, credential, "", filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")

	// A single-user server takes a statement per line.
	statements := strings.ReplaceAll(everything.ConfigTablesSQL(), "\n", " ") + "\n" +
		"CREATE EXTENSION hstore\n" +
		"SELECT 'tables=' || array_length(extconfig, 1) AS v FROM pg_extension WHERE extname = 'envdb_test_config'\n" +
		"SELECT 'jobs=' || count(*) || ' last=' || max(id) AS v FROM config.jobs\n"
	out := run(t, credential, statements, filepath.Join(bin, "postgres"), "--single", "-D", data, "-F", "postgres")
	for _, want := range []string{"tables=3", "jobs=20 last=119"} {
		if !strings.Contains(out, want) {
			t.Errorf("the server's answer lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "ERROR") {
		t.Errorf("the server answers:\n%s", out)
	}
}

func TestInstallationOfNothing(t *testing.T) {
	t.Parallel()
	if _, err := everything.Installation(t.TempDir(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "pg_config") {
		t.Errorf("error = %v, want one that names pg_config", err)
	}
}

// unprivileged gives dir to whom a server may run as: PostgreSQL refuses root.
func unprivileged(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	who, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.Atoi(who.Uid)
	gid, gidErr := strconv.Atoi(who.Gid)
	if uidErr != nil || gidErr != nil {
		t.Fatal(uidErr, gidErr)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func run(t *testing.T, credential *syscall.Credential, input, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = strings.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, out)
	}
	return string(out)
}
