package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// childDir tells the test binary to be the process that TestServerEndsWithItsProcess kills.
const childDir = "ENVDB_TEST_CLUSTER_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		runChild(dir)
		return
	}
	m.Run()
}

// runChild makes a cluster, says so, and waits to be killed.
func runChild(dir string) {
	if _, err := cluster.Create(context.Background(), cluster.Options{Dir: dir}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ready")
	select {}
}

// tempDir returns a directory that the server's user can reach, which
// t.TempDir is not for root.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "envdb-cluster-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func create(t *testing.T, o cluster.Options) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func ask(t *testing.T, to envdb.ConnString, sql string) (string, error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), to.Reveal())
	if err != nil {
		return "", err
	}
	defer conn.Close(context.Background())
	var s string
	return s, conn.QueryRow(t.Context(), sql).Scan(&s)
}

func TestTwoClustersUnderOneDirectory(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	a := create(t, cluster.Options{Dir: filepath.Join(dir, "production"), Password: "chosen one"})
	b := create(t, cluster.Options{Dir: filepath.Join(dir, "others"), Settings: map[string]string{"work_mem": "7MB"}})
	const identifier = "SELECT system_identifier::text FROM pg_control_system()"
	first, err := ask(t, a.URL("postgres"), identifier)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ask(t, b.URL("postgres"), identifier)
	if err != nil || first == second {
		t.Errorf("system identifiers %s and %s, %v", first, second, err)
	}
	if got, err := ask(t, b.SocketURL("postgres"), "SHOW work_mem"); err != nil || got != "7MB" {
		t.Errorf("work_mem = %q, %v", got, err)
	}
	if a.Password() != "chosen one" || len(b.Password()) < 20 {
		t.Errorf("passwords %q and %q", a.Password(), b.Password())
	}
	if err := errors.Join(a.Stop(t.Context()), a.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := ask(t, a.URL("postgres"), identifier); err == nil {
		t.Error("a stopped server answers")
	}
	if err := a.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := ask(t, a.URL("postgres"), identifier); err != nil || again != first {
		t.Errorf("after a restart: %s, %v", again, err)
	}
	if err := errors.Join(a.Destroy(t.Context()), a.Destroy(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "production")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	full := tempDir(t)
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		options cluster.Options
		kind    error
		text    string
	}{
		"a full directory":    {cluster.Options{Dir: full}, envdb.ErrRefused, "not empty"},
		"a version too far":   {cluster.Options{Dir: full, Major: 99}, envdb.ErrPreflight, "PostgreSQL 99"},
		"nonsense settings":   {cluster.Options{Dir: filepath.Join(full, "new"), Settings: map[string]string{"nonsense": "1"}}, envdb.ErrUnreachable, "nonsense"},
		"a port that is used": {cluster.Options{Dir: filepath.Join(full, "port"), Port: usedPort(t)}, envdb.ErrUnreachable, "already in use"},
	}
	for name, tt := range tests {
		_, err := cluster.Create(t.Context(), tt.options)
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	left, err := os.ReadDir(full)
	if err != nil || len(left) != 1 || left[0].Name() != "mine" {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRootNeedsADirectoryThatTheServerCanEnter(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Create(t.Context(), cluster.Options{Dir: filepath.Join(dir, "c")})
	if os.Geteuid() != 0 {
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrPreflight) || !strings.Contains(next, "/tmp") {
		t.Errorf("error = %v, next = %q", err, next)
	}
}

func usedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestLongPathsHaveASocket(t *testing.T) {
	t.Parallel()
	c := create(t, cluster.Options{Dir: filepath.Join(tempDir(t), strings.Repeat("long", 30))})
	if _, err := ask(t, c.SocketURL("postgres"), "SHOW port"); err != nil {
		t.Error(err)
	}
	socketDir := c.SocketDir()
	if err := c.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(socketDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", socketDir, err)
	}
}

func TestRemoveWhatAnotherProcessLeft(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	home := filepath.Join(dir, strings.Repeat("kept", 30))
	c := create(t, cluster.Options{Dir: home, Outlives: true})
	if err := cluster.Remove(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{home, c.SocketDir()} {
		if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	if _, err := ask(t, c.URL("postgres"), "SHOW port"); err == nil {
		t.Error("the server still answers")
	}
	if err := cluster.Remove(t.Context(), home); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := cluster.Remove(t.Context(), dir); err == nil {
		t.Error("removed a directory that holds no cluster")
	}
}

func TestServerEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "c")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	pid := postmaster(t, dir)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	// Nothing tells a stranger that a process is gone, so ask.
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for alive(pid) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the server %d outlives its process", pid)
		}
	}
}

// alive reports whether a process runs; a zombie that nobody waits for, as
// happens in containers, does not.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
