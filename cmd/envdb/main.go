// Command envdb manages the lifecycle of PostgreSQL environments: backups of
// production, mirrors of it, and versions that are swapped in one transaction.
//
// There is one file per command. open.go is the only place where things are
// wired.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // schedules and points name zones; not every machine knows them

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
)

// version is set by the linker; see the Makefile.
var version = "dev"

func main() {
	os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Main runs the command line and returns the exit code. The first interrupt
// stops the run, which tidies up; the second ends the process at once.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-signals:
		case <-finished:
			return
		}
		io.WriteString(stderr, "\nstopping; once more to end at once\n")
		cancel(interrupted())
		select {
		case <-signals:
			os.Exit(exitInterrupted)
		case <-finished:
		}
	}()

	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRootCommand(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && errors.Is(context.Cause(ctx), envdb.ErrInterrupted) && !errors.Is(err, envdb.ErrInterrupted) {
		err = errors.Join(context.Cause(ctx), err)
	}
	if err == nil {
		return 0
	}
	console.PrintError(stderr, err)
	return console.ExitCode(err)
}

const exitInterrupted = 5

func interrupted() error {
	return envdb.Fail(envdb.ErrInterrupted, "interrupted").
		WithState("what was built and not promoted has been dropped; live data is as it was").
		WithNext("run the same command again when you like")
}
