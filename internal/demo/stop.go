package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/envdb/envdb"
)

// Stop ends the clusters of a demo that was kept in dir, and removes it. It
// refuses a directory that no demo made.
func Stop(ctx context.Context, dir string, out io.Writer) error {
	if _, err := os.Stat(ConfigFile(dir)); err != nil {
		return envdb.Fail(envdb.ErrNotFound, "there is no demo in %s", dir).WithNext("name its directory with --dir")
	}
	for _, name := range []string{productionDir, everyoneDir} {
		data := filepath.Join(dir, name, "data")
		if err := stopServer(ctx, data); err != nil {
			return fmt.Errorf("stop the cluster %s: %w", name, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the demo: %w", err)
	}
	fmt.Fprintf(out, "the demo in %s is gone\n", dir)
	return nil
}

// stopServer asks the server of a data directory for a fast shutdown (SIGINT,
// see the PostgreSQL manual, "Shutting Down the Server") and waits until its
// postmaster.pid is gone.
func stopServer(ctx context.Context, data string) error {
	pid, err := serverPID(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = syscall.Kill(pid, syscall.SIGINT)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := serverPID(data); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// serverPID reads the first line of postmaster.pid.
func serverPID(data string) (int, error) {
	file, err := os.Open(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	if !lines.Scan() {
		return 0, fmt.Errorf("%s is empty", file.Name())
	}
	return strconv.Atoi(lines.Text())
}
