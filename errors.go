package envdb

import (
	"errors"
	"fmt"
)

// The kinds of failure that a caller branches on; the command line maps each
// to an exit code. Test for them with errors.Is.
var (
	ErrMisuse       = errors.New("misuse")
	ErrRefused      = errors.New("refused")
	ErrPreflight    = errors.New("preflight failed")
	ErrInterrupted  = errors.New("interrupted")
	ErrNotFound     = errors.New("not found")
	ErrBusy         = errors.New("busy")
	ErrUnreachable  = errors.New("unreachable")
	ErrVerification = errors.New("verification failed")
	ErrUnhealthy    = errors.New("problems found")
)

// Problem is an error for a person: what happened, what state things are in,
// and what to do next.
type Problem struct {
	// Kind is one of the sentinels of this package, or nil.
	Kind error
	// Text says what happened, and to what.
	Text string
	// State says what state things are in, e.g. "nothing was changed".
	State string
	// Next says what to do now; the command line prints it behind "Next:".
	Next string
	// Err is the cause, if there is one.
	Err error
}

// Fail returns a Problem of the given kind. A %w verb in format sets its cause.
func Fail(kind error, format string, args ...any) *Problem {
	wrapped := fmt.Errorf(format, args...)
	return &Problem{Kind: kind, Text: wrapped.Error(), Err: errors.Unwrap(wrapped)}
}

// WithState sets what state things are in, and returns p.
func (p *Problem) WithState(format string, args ...any) *Problem {
	p.State = fmt.Sprintf(format, args...)
	return p
}

// WithNext sets what to do now, and returns p.
func (p *Problem) WithNext(format string, args ...any) *Problem {
	p.Next = fmt.Sprintf(format, args...)
	return p
}

// Error returns what happened; State and Next are printed apart from it.
func (p *Problem) Error() string { return p.Text }

// Unwrap returns the kind and the cause.
func (p *Problem) Unwrap() []error {
	var errs []error
	for _, err := range []error{p.Kind, p.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Advice returns the state and the next step of the outermost Problem in err's
// chain that has one of each.
func Advice(err error) (state, next string) {
	walk(err, func(p *Problem) {
		if state == "" {
			state = p.State
		}
		if next == "" {
			next = p.Next
		}
	})
	return state, next
}

// walk calls visit for every Problem in err's tree, outermost first.
func walk(err error, visit func(*Problem)) {
	if err == nil {
		return
	}
	if p, ok := err.(*Problem); ok {
		visit(p)
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		walk(x.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			walk(e, visit)
		}
	}
}
