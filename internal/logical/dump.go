package logical

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// dumpSchema writes pg_dump's archive of the schema, read in the leader's
// snapshot. It is not compressed, because chunks are, and an unchanged schema
// then has unchanged chunks.
func (a *attempt) dumpSchema(ctx context.Context) error {
	command, err := a.dumpCommand(ctx)
	if err != nil {
		return err
	}
	var said tail
	command.Stderr = &said
	out, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run pg_dump: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("run pg_dump: %w", err)
	}
	if err := a.putStream(ctx, PartArchive, out); err != nil {
		return errors.Join(err, stop(command))
	}
	if err := command.Wait(); err != nil {
		return a.dumpFailed(ctx, err, said.String())
	}
	for line := range strings.Lines(said.String()) {
		a.note("pg_dump: " + strings.TrimSpace(strings.TrimPrefix(line, "pg_dump: ")))
	}
	return nil
}

// dumpCommand returns pg_dump of the source's major version, which reads what
// it may not tell anyone from its environment.
func (a *attempt) dumpCommand(ctx context.Context) (*exec.Cmd, error) {
	tools, err := postgres.FindTools(ctx, a.version.Major())
	if err != nil {
		return nil, err
	}
	env, err := postgres.ToolEnv(a.src.URL)
	if err != nil {
		return nil, err
	}
	patience := a.src.LockPatience * lockWait
	command := exec.CommandContext(ctx, tools.Dump,
		"--format=custom", "--compress=0", "--schema-only", "--no-password", "--encoding="+a.dumpEncoding(),
		"--snapshot="+a.exported, fmt.Sprintf("--lock-wait-timeout=%d", patience.Milliseconds()))
	command.Env = append(postgres.PinText(env), "PGAPPNAME="+a.src.App, "LC_ALL=C")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = closing
	return command, nil
}

// dumpEncoding is the encoding of the archive. A database without an encoding
// has bytes that no other can express.
func (a *attempt) dumpEncoding() string {
	if a.catalogue.Database.Encoding == "SQL_ASCII" {
		return "SQL_ASCII"
	}
	return "UTF8"
}

// dumpFailed says why pg_dump failed. It reads functions and the like without
// locking them, so one that is dropped meanwhile makes it fail, and the next
// attempt succeed; the same words twice mean that it would fail again.
func (a *attempt) dumpFailed(ctx context.Context, err error, said string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	failed := envdb.Fail(envdb.ErrPreflight, "pg_dump could not read the schema: %s (%w)", strings.TrimSpace(said), err).
		WithNext("correct what pg_dump says, then run the backup again")
	if a.number > 1 {
		return failed
	}
	return &passing{text: failed.Text, next: failed.Next}
}

// stop ends a command whose output nobody wants.
func stop(command *exec.Cmd) error {
	if err := command.Cancel(); err != nil {
		return fmt.Errorf("stop pg_dump: %w", err)
	}
	_ = command.Wait() // that it was interrupted is no news
	return nil
}

// tail keeps the last few kilobytes that are written to it.
type tail struct{ text []byte }

const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailSize; extra > 0 {
		t.text = t.text[:copy(t.text, t.text[extra:])]
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.text) }
