package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
)

// rebuild restores a backup with a process of its own, whose home is empty: it
// has the store, a key and the configuration, and nothing that this machine may
// have kept.
func rebuild(config string) func(context.Context, manager.Rebuilding) error {
	return func(ctx context.Context, r manager.Rebuilding) error {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, program, "--quiet", "restore", r.Environment+"@"+string(r.Backup), "--onto", "env:ENVDB_EARTHQUAKE_URL")
		cmd.Env = append(homeless(os.Environ()), "HOME="+r.Home, "ENVDB_HOME="+r.Home, "ENVDB_CONFIG="+config, "ENVDB_EARTHQUAKE_URL="+r.Onto.Reveal())
		if r.Identity != "" {
			cmd.Env = append(cmd.Env, "ENVDB_STORE_ENCRYPTION_IDENTITY="+r.Identity)
		}
		var said bytes.Buffer
		cmd.Stderr = &said
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
		cmd.WaitDelay = 30 * time.Second
		err = cmd.Run()
		if err == nil || ctx.Err() != nil {
			return err
		}
		var exit *exec.ExitError
		kind := error(nil)
		if errors.As(err, &exit) && exit.ExitCode() == 9 {
			kind = envdb.ErrVerification
		}
		return envdb.Fail(kind, "envdb restore %s@%s --onto …: %w: %s", r.Environment, r.Backup, err, strings.TrimSpace(said.String())).
			WithNext("what it says last is what a person would have read in the emergency")
	}
}

// homeless is an environment without what leads to this machine's home.
func homeless(all []string) []string {
	var kept []string
	for _, v := range all {
		name, _, _ := strings.Cut(v, "=")
		if name != "HOME" && name != "ENVDB_HOME" && name != "ENVDB_CONFIG" && !strings.HasPrefix(name, "XDG_") && !strings.HasPrefix(name, "PG") {
			kept = append(kept, v)
		}
	}
	return kept
}
