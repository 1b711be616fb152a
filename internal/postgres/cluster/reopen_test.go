package cluster_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

func TestReopenFindsWhatWasThere(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"a short path": "kept", "a path too long for a socket": strings.Repeat("kept", 30)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := cluster.Options{Dir: filepath.Join(tempDir(t), path), Password: "chosen", Settings: map[string]string{"work_mem": "7MB"}}
			c := create(t, options)
			conn, err := pgx.Connect(t.Context(), c.URL("postgres").Reveal())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'still here' AS word"); err != nil {
				t.Fatal(err)
			}
			sockets := c.SocketDir()
			pidFile := filepath.Join(c.Data(), "postmaster.pid")
			left, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.Close(t.Context()), c.Close(t.Context())); err != nil {
				t.Fatal(err)
			}
			// As after a kill: the file is there, and says "ready".
			if err := os.WriteFile(pidFile, left, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(sockets); (err == nil) != (sockets == options.Dir) {
				t.Errorf("the socket's directory %s afterwards: %v", sockets, err)
			}
			options.Settings["work_mem"] = "9MB"
			again, err := cluster.Reopen(t.Context(), options)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Destroy(context.Background())
			for sql, want := range map[string]string{"SELECT word FROM kept": "still here", "SHOW work_mem": "9MB"} {
				if got, err := ask(t, again.SocketURL("postgres"), sql); err != nil || got != want {
					t.Errorf("%s: %q, %v, want %q", sql, got, err, want)
				}
			}
			if _, err := cluster.Reopen(t.Context(), options); !errors.Is(err, envdb.ErrBusy) {
				t.Errorf("a cluster that runs was started again: %v", err)
			}
			if got, err := ask(t, again.URL("postgres"), "SELECT word FROM kept"); err != nil || got != "still here" {
				t.Errorf("the cluster that runs: %q, %v", got, err)
			}
		})
	}
	if _, err := cluster.Reopen(t.Context(), cluster.Options{Dir: filepath.Join(tempDir(t), "none")}); !errors.Is(err, envdb.ErrNotFound) {
		t.Errorf("a cluster that is not there: %v", err)
	}
}
