package notify

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"

	"github.com/envdb/envdb"
)

// Phase is how far a run is.
type Phase string

// The phases.
const (
	PhaseStart   Phase = "start"
	PhaseSuccess Phase = "success"
	PhaseFail    Phase = "fail"
)

// Ping says that a run began or ended.
type Ping struct {
	// Job is what runs, such as backup/prod, and Environment of what.
	Job, Environment string
	Phase            Phase
	Run              string
	// Body says why a run failed.
	Body string
}

// Pings calls a URL when a run begins and ends, as healthchecks.io has it:
// URL/start, URL, URL/fail. It is the service that raises an alarm when it hears
// nothing, also if the machine is gone.
type Pings struct{ Endpoint }

// String says what it is.
func (Pings) String() string { return "ping" }

// mostPing is how much of an error a ping carries.
const mostPing = 10 << 10

// Ping implements Pinger.
func (p Pings) Ping(ctx context.Context, ping Ping) error {
	below := map[Phase]string{PhaseStart: "start", PhaseFail: "fail"}[ping.Phase]
	lines := []string{line(ping.Job)}
	if ping.Run != "" {
		lines = append(lines, "run "+line(ping.Run))
	}
	if ping.Body != "" {
		lines = append(lines, text(ping.Body, mostPing))
	}
	body := content{kind: "text/plain; charset=utf-8", data: []byte(strings.Join(lines, "\n") + "\n"), below: below}
	if ping.Run != "" {
		body.query = url.Values{"rid": {runUUID(ping.Run)}}
	}
	return p.call(ctx, body)
}

// Send implements Channel. Of all events a test alone is sent, to URL/log,
// where it counts neither as a success nor as a failure.
func (p Pings) Send(ctx context.Context, e Event) error {
	if e.Kind != KindTest {
		return nil
	}
	return p.call(ctx, content{kind: "text/plain; charset=utf-8", data: []byte(e.clean().plain()), below: "log"})
}

// call posts, and reads what healthchecks.io says with status 200.
func (p Pings) call(ctx context.Context, body content) error {
	answer, err := p.post(ctx, body)
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(answer, "OK (not found)"):
		return failed(later, envdb.Fail(envdb.ErrNotFound, "the service answered %q: it knows no such check", answer), "make a check at the service and put its URL where the configuration refers to")
	case strings.HasPrefix(answer, "OK (rate limited)"):
		return failed(never, envdb.Fail(envdb.ErrUnreachable, "the service answered %q", answer), "ping for fewer jobs: `jobs:` of the notification")
	}
	return nil
}

// runUUID returns the UUID (of version 8, RFC 9562) that stands for a run: the
// service wants one to measure how long a run took.
func runUUID(run string) string {
	b := sha256.Sum256([]byte("envdb run " + run))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
