package crashtest_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/envdb/envdb/internal/pgtest"
)

// disk is a small file system of its own.
type disk struct{ path string }

// newDisk mounts a small disk of so many megabytes. Root mounts it; anyone
// else does so in a user namespace, whose mounts are reached by way of /proc.
func newDisk(t *testing.T, megabytes int) disk {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "envdb-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	options := fmt.Sprintf("size=%dm,mode=0777", megabytes)
	if os.Geteuid() != 0 {
		return disk{inNamespace(t, dir, options)}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("this test fills a small disk, which root may not mount here (%v): run it in a container with CAP_SYS_ADMIN, or as a normal user who may `unshare -Urm`", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return disk{dir}
}

// inNamespace has a process hold the disk for as long as the test runs.
func inNamespace(t *testing.T, dir, options string) (path string) {
	t.Helper()
	const refused = "this test fills a small disk, which a normal user mounts with `unshare -Urm`, and that is refused here (%v): allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0), or run it as root"
	holder := exec.Command("unshare", "-Urm", "sh", "-c", `mount -t tmpfs -o "$1" none "$2" && echo mounted && read forever`, "sh", options, dir)
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, inErr := holder.StdinPipe()
	out, outErr := holder.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // until the test ends: the signal comes when the thread does
	if err := holder.Start(); err != nil {
		t.Fatalf(refused, err)
	}
	t.Cleanup(func() {
		in.Close() // which ends it
		_ = holder.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) != "mounted" {
		t.Fatalf(refused, err)
	}
	return filepath.Join("/proc", strconv.Itoa(holder.Process.Pid), "root", dir)
}

// fill leaves so many kilobytes of the disk free, and returns what makes room
// again.
func (d disk) fill(t *testing.T, kilobytes int) (makeRoom func()) {
	t.Helper()
	var stat syscall.Statfs_t // f_bavail is what is free for anyone
	if err := syscall.Statfs(d.path, &stat); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(d.path, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(stat.Bavail)*stat.Bsize - int64(kilobytes)<<10
	if err := errors.Join(syscall.Fallocate(int(f.Fd()), 0, 0, size), f.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

// A backup whose store is full says which disk, leaves nothing half written,
// and works once there is room.
func TestStoreIsFull(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 256)
	s := newScene(t, plan{store: filepath.Join(d.path, "store")})
	whole := s.backups(t, "prod")
	live := s.copy.content(t)
	for _, kilobytes := range []int{0, 1024} {
		s.prod.server.Exec(t, s.prod.name, fmt.Sprintf("UPDATE entry SET note = md5(note || '%d') || note", kilobytes))
		makeRoom := d.fill(t, kilobytes)
		for _, args := range [][]string{{"backup", "prod"}, {"mirror", "prod", "copy", "--fresh"}} {
			full := s.run(t, 1, args...).says("the store's disk is full", s.store, "Next: free space on the file system of "+s.store)
			for _, strange := range []string{"goroutine", "context canceled"} {
				if strings.Contains(full.said(), strange) {
					t.Errorf("%s says %q:\n%s", full, strange, full.said())
				}
			}
		}
		what := fmt.Sprintf("with %d kB free", kilobytes)
		same(t, what+": the live copy", s.copy.content(t), live)
		same(t, what+": the backups", strings.Join(s.backups(t, "prod"), " "), strings.Join(whole, " "))
		makeRoom()
		if left := s.left(t); len(left) > 0 {
			t.Errorf("%s: it left %q", what, left)
		}
		s.run(t, 0, "backup", "prod")
		if whole = s.backups(t, "prod"); len(whole) == 0 {
			t.Fatal("no backups")
		}
		s.cleaned(t, what)
	}
	s.run(t, 0, "mirror", "prod", "copy")
	same(t, "the mirror of the last backup", s.copy.content(t), s.prod.content(t))

	// Going back needs no store.
	makeRoom := d.fill(t, 0)
	s.run(t, 0, "rollback", "copy")
	same(t, "rolled back while the store is full", s.copy.content(t), live)
	makeRoom()
	s.cleaned(t, "a rollback with a full store")
}

// A mirror whose target is full drops what it built, and works once there is
// room.
func TestTargetIsFull(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 256)
	target := pgtest.StartOwn(t, pgtest.Options{})
	space := filepath.Join(d.path, "space")
	if err := os.Mkdir(space, 0o700); err != nil {
		t.Fatal(err)
	}
	if owner, err := os.Stat(target.Data()); err != nil {
		t.Fatal(err)
	} else if who := owner.Sys().(*syscall.Stat_t); os.Geteuid() == 0 {
		if err := os.Chown(space, int(who.Uid), int(who.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	// What is made from template0 goes where template0 is.
	target.Exec(t, "postgres", "CREATE TABLESPACE small LOCATION '"+space+"'", "ALTER DATABASE template0 SET TABLESPACE small")
	s := newScene(t, plan{target: target})
	s.prod.server.Exec(t, s.prod.name, "UPDATE entry SET note = md5(note) || note")
	s.backup(t, s.prod)
	live := s.copy.content(t)
	for _, kilobytes := range []int{1 << 10, 8 << 10, 9 << 10} {
		// PostgreSQL's files have holes that a checkpoint fills.
		target.Exec(t, "postgres", "CHECKPOINT")
		makeRoom := d.fill(t, kilobytes)
		what := fmt.Sprintf("with %d kB free", kilobytes)
		full := s.start(t, "mirror", "prod", "copy")
		code := full.wait()
		t.Logf("%s: exit code %d\n%s", what, code, full.err.String())
		if code != 4 {
			t.Errorf("%s: exit code %d, want 4", what, code)
		}
		full.says("No space left on device", "Next: free disk space on the server", "State: ")
		if left := s.left(t); len(left) > 0 {
			t.Errorf("%s: it left %q", what, left)
		}
		same(t, what+": the live copy", s.copy.content(t), live)
		if kilobytes == 8<<10 { // a full disk fails a drill, and not the backup
			drill := s.start(t, "drill", "--from", "prod", "--into", "copy")
			if code := drill.wait(); code != 4 {
				t.Errorf("%s: a drill exits with %d, want 4\n%s", what, code, drill.err.String())
			}
			drill.says("No space left on device", "State: copy is as it was")
			if left := s.left(t); len(left) > 0 {
				t.Errorf("%s: a drill left %q", what, left)
			}
		}
		makeRoom()
	}
	s.run(t, 0, "mirror", "prod", "copy")
	same(t, "the mirror", s.copy.content(t), s.prod.content(t))
	s.run(t, 0, "drill", "--from", "prod", "--into", "copy")
	s.cleaned(t, "a full target")
}
