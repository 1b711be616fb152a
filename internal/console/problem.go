package console

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/envdb/envdb"
)

// exitCodes is what each kind of failure tells the shell; help texts show it.
var exitCodes = [...]struct {
	kind error
	code int
	text string
}{
	{envdb.ErrMisuse, 2, "misuse"},
	{envdb.ErrRefused, 3, "refused: protected, or not confirmed"},
	{envdb.ErrPreflight, 4, "preflight failed, nothing was changed"},
	{envdb.ErrInterrupted, 5, "interrupted"},
	{envdb.ErrNotFound, 6, "not found"},
	{envdb.ErrBusy, 7, "busy: another run holds the environment"},
	{envdb.ErrUnreachable, 8, "a server or the store cannot be reached"},
	{envdb.ErrVerification, 9, "a verification or check failed"},
	{envdb.ErrUnhealthy, 10, "doctor found problems"},
}

// ExitCode returns what the process tells the shell about err: 0 for none, the
// code of its outermost kind, or 1. What was interrupted says so, whatever
// failed for it.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, envdb.ErrInterrupted):
		err = envdb.ErrInterrupted
	}
	if code := outermost(err); code != 0 {
		return code
	}
	return 1
}

// outermost returns the code of the first kind in err's tree, or 0.
func outermost(err error) int {
	for _, e := range exitCodes {
		if err == e.kind {
			return e.code
		}
	}
	var inside []error
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		inside = []error{x.Unwrap()}
	case interface{ Unwrap() []error }:
		inside = x.Unwrap()
	}
	for _, e := range inside {
		if code := outermost(e); code != 0 {
			return code
		}
	}
	return 0
}

// ExitCodes returns the table of exit codes, a line each, for help texts.
func ExitCodes() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%3d  %s\n%3d  %s\n", 0, "ok", 1, "error")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "%3d  %s\n", e.code, e.text)
	}
	return b.String()
}

// PrintError tells a person of a failure: what happened, what state things are
// in, and what to do next.
func PrintError(w io.Writer, err error) {
	if err == nil {
		return
	}
	state, next := envdb.Advice(err)
	var b strings.Builder
	section(&b, "envdb: ", err.Error())
	section(&b, "State: ", state)
	section(&b, "Next: ", next)
	_, _ = io.WriteString(w, b.String()) // there is nobody else to tell
}

// section writes text behind a label, its further lines indented.
func section(b *strings.Builder, label, text string) {
	text = strings.TrimSpace(Printable(text))
	if text == "" {
		return
	}
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			label = strings.Repeat(" ", len(label))
		}
		b.WriteString(strings.TrimRight(label+line, " \t") + "\n")
	}
}
