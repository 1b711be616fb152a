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
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // schedules and points name zones; not every machine knows them

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
)

// version is set by the linker; see the Makefile.
var version = "dev"

// collectAt is by how much the heap may grow, in percent, before its garbage is
// collected; GOGC in the environment goes before it. Most of the heap are
// buffers of chunks, in which there is nothing to search, so that a small
// process costs next to no time. Go's own 100 let a restore pass 256 MiB.
const collectAt = 25

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Main runs the command line and returns the exit code. The first interrupt
// stops the run, which tidies up; the second ends the process at once.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stdout = outlet{stdout}
	// Go ends a process that writes to a closed pipe as its stdout or stderr,
	// unless somebody asks for the signal: a run would end in the middle because
	// whoever read its output had read enough. Programs that envdb starts have the
	// signal as ever, which they would not if it were ignored.
	unread := make(chan os.Signal, 1)
	signal.Notify(unread, syscall.SIGPIPE)
	defer signal.Stop(unread)
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
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
		case <-finished:
			return
		}
		if a.again() {
			io.WriteString(stderr, "\nstopping what runs; once more to end at once\n")
			select {
			case <-signals:
			case <-finished:
				return
			}
		}
		os.Exit(exitInterrupted)
	}()

	root := newRootCommand(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && errors.Is(context.Cause(ctx), envdb.ErrInterrupted) {
		err = stopped(context.Cause(ctx), err)
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

// stopped is what a person reads of a run that they interrupted: that it
// stopped, and what it could not tidy up. That it was cut off in the middle of
// this or that is no news.
func stopped(cause, err error) error {
	var untidy []error
	for _, e := range joined(err) {
		if e == cause {
			continue
		}
		if saysItself(e) {
			return e
		}
		cutOff := errors.Is(e, context.Canceled) || errors.Is(e, envdb.ErrInterrupted)
		if !cutOff || errors.Is(e, envdb.ErrUnreachable) {
			untidy = append(untidy, e)
		}
	}
	if len(untidy) == 0 {
		return cause
	}
	why := envdb.Fail(envdb.ErrInterrupted, "interrupted, and not everything could be tidied up").
		WithState("live data is the old or the new, and whole").
		WithNext("envdb doctor says what was left; running the same command again is safe")
	return errors.Join(append([]error{why}, untidy...)...)
}

// saysItself reports whether a run that was interrupted says what it left and
// how to go on, because live data is not as it was.
func saysItself(err error) bool {
	p, ok := err.(*envdb.Problem)
	return ok && p.Kind == envdb.ErrInterrupted && p.State != "" && p.Next != ""
}

// joined returns the errors that errors.Join made one.
func joined(err error) []error {
	several, ok := err.(interface{ Unwrap() []error })
	if _, problem := err.(*envdb.Problem); !ok || problem {
		return []error{err}
	}
	var all []error
	for _, e := range several.Unwrap() {
		all = append(all, joined(e)...)
	}
	return all
}
