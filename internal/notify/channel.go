package notify

import (
	"context"
	"errors"
	"time"

	"github.com/envdb/envdb"
)

// Channel is a way to reach somebody: a [Webhook], [Slack], [Mail] or [Pings].
//
// Send tries once, within a time of its own or until ctx ends, and returns nil
// only if the other side took the event. Its errors hold no secret. It may be
// called from several goroutines.
type Channel interface {
	Send(ctx context.Context, e Event) error
}

// Pinger is a Channel that is told of every run instead of what changed.
type Pinger interface {
	Channel
	Ping(ctx context.Context, p Ping) error
}

// Secret is a value that is read anew for each message, so that one that was
// replaced counts at once, and that is never shown.
type Secret interface {
	Reveal() (string, error)
}

// retry says when it makes sense to try again what failed.
type retry int

const (
	// never: the message itself is refused.
	never retry = iota
	// later: somebody has to mend something first, such as a token.
	later
	// soon: the service or the way to it is down, or busy.
	soon
)

// failure is an error of a Channel.
type failure struct {
	*envdb.Problem
	again retry
	// after is how long the service asked to be left alone.
	after time.Duration
}

func (f *failure) Unwrap() error { return f.Problem }

// failed returns a failure; next says what a person can do.
func failed(again retry, p *envdb.Problem, next string) *failure {
	return &failure{Problem: p.WithState("nobody was told").WithNext("%s", next), again: again}
}

// againAfter says when to try again after an error. What no Channel of this
// package says is tried again soon.
func againAfter(err error) (retry, time.Duration) {
	var f *failure
	if errors.As(err, &f) {
		return f.again, f.after
	}
	return soon, 0
}

// reveal reads a secret that a channel needs.
func reveal(s Secret, what string) (string, error) {
	if s == nil {
		return "", nil
	}
	held, err := s.Reveal()
	if err == nil {
		return held, nil
	}
	_, next := envdb.Advice(err)
	if next == "" {
		next = "see what the configuration refers to"
	}
	return "", failed(later, envdb.Fail(envdb.ErrMisuse, "%s: %w", what, err), next)
}
