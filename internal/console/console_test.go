package console_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestPrintError(t *testing.T) {
	t.Parallel()
	refused := envdb.Fail(envdb.ErrRefused, "prod is protected (tier production)").
		WithState("nothing was changed").WithNext("name another environment\nor see `envdb env list`")
	for name, err := range map[string]error{
		"error-plain":   errors.New("disk full"),
		"error-advice":  fmt.Errorf("mirror prod: %w", refused),
		"error-joined":  errors.Join(envdb.Fail(envdb.ErrInterrupted, "interrupted").WithState("live data is as it was"), errors.New("drop shop__dark_1: timeout")),
		"error-escapes": fmt.Errorf("database %s", "\x1b[2Jevil\a"),
	} {
		var b strings.Builder
		console.PrintError(&b, err)
		golden(t, name, b.String())
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	unreachable := envdb.Fail(envdb.ErrUnreachable, "no answer")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("any"), 1}, {context.DeadlineExceeded, 1},
		{envdb.ErrMisuse, 2}, {envdb.Fail(envdb.ErrRefused, "no"), 3},
		{fmt.Errorf("mirror: %w", envdb.Fail(envdb.ErrPreflight, "no: %w", unreachable)), 4},
		{errors.Join(unreachable, envdb.Fail(envdb.ErrInterrupted, "stopped")), 5},
		{envdb.Fail(envdb.ErrNotFound, "none"), 6}, {envdb.Fail(envdb.ErrBusy, "held"), 7},
		{unreachable, 8}, {envdb.Fail(nil, "backup: %w", unreachable), 8},
		{envdb.ErrVerification, 9}, {envdb.ErrUnhealthy, 10},
	} {
		if got := console.ExitCode(c.err); got != c.want {
			t.Errorf("ExitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
	golden(t, "exit-codes", console.ExitCodes())
}

func TestTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	err := console.Table(&b, []string{"DATABASE", "STATE", "NOTE"}, [][]string{
		{"shop", "live", ""}, {"größe__dark_1", "dark", "two\nlines"}, {"evil\x1b[2J", "aside", "tab\there"},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "table", b.String())
}

func TestText(t *testing.T) {
	t.Parallel()
	berlin := time.FixedZone("CET", 3600)
	late := time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{console.Bytes(0), "0 B"}, {console.Bytes(1536), "1.5 KiB"}, {console.Bytes(-1), "-1 B"},
		{console.Count(1234567), "1,234,567"},
		{console.Duration(0), "0s"}, {console.Duration(340 * time.Millisecond), "340ms"},
		{console.Duration(999800 * time.Microsecond), "1s"}, {console.Duration(12340 * time.Millisecond), "12.3s"},
		{console.Duration(59990 * time.Millisecond), "1m00s"}, {console.Duration(245 * time.Second), "4m05s"},
		{console.Duration(3*time.Hour + 7*time.Minute), "3h07m"}, {console.Duration(52 * time.Hour), "2d4h"},
		{console.Age(0), "just now"}, {console.Age(200 * time.Second), "3m ago"}, {console.Age(-time.Hour), "in 1h"},
		{console.Age(49 * time.Hour), "2d ago"},
		{console.TimeIn(late, time.UTC), "2026-11-20 23:30:00 UTC"},
		{console.TimeIn(late, berlin), "2026-11-21 00:30:00 CET (2026-11-20 23:30:00 UTC)"},
		{console.TimeIn(late.Add(-time.Hour), berlin), "2026-11-20 23:30:00 CET (22:30:00 UTC)"},
		{console.TimeIn(late.Add(-6*time.Hour), time.FixedZone("+0530", 19800)), "2026-11-20 23:00:00 +05:30 (17:30:00 UTC)"},
		{console.TimeIn(time.Time{}, berlin), "-"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	log := slog.New(console.NewHandler(&b, nil)).With("env", "prod-copy")
	log.Debug("not shown")
	log.Info("mirror began", "from", "prod")
	log.Warn("took over", "quiet", 30*time.Second, slog.Group("lease", "run", "r1"))
	log.WithGroup("swap").Error("failed", "error", errors.New("one\ntwo"))
	log.Warn("not stored", "reason", errors.New("envdb.yaml:5:33: the variable X is not set\n     4 | environments:\n     5 |   prod: {url: \"${X}\"}\n       |                ^\n"))
	slog.New(console.NewHandler(&b, slog.LevelDebug)).Debug("shown", "url", envdb.ConnString("postgres://ann:hunter2@db/shop"))
	golden(t, "handler", b.String())
}

// clock is a clock that the test moves.
type clock struct{ now time.Time }

func (c *clock) after(d time.Duration) *clock { c.now = c.now.Add(d); return c }

func TestProgressInLines(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	c := &clock{now: time.Unix(0, 0)}
	s := console.NewScreen(&b, console.Auto).WithClock(func() time.Time { return c.now })
	const gib = 1 << 30
	s.Report(envdb.Progress{Step: "schema"})
	c.after(time.Second)
	s.Report(envdb.Progress{Step: "copy", Unit: "bytes", Total: 4 * gib})
	for i := range 40 {
		c.after(time.Second)
		s.Report(envdb.Progress{Step: "copy", Done: int64(i+1) * gib / 10, Total: 4 * gib, Unit: "bytes"})
		if i == 20 {
			fmt.Fprintln(s, "a line from the log")
		}
	}
	s.Report(envdb.Progress{Step: "copy", Done: 4 * gib, Total: 4 * gib, Unit: "bytes"}) // late
	s.Report(envdb.Progress{Step: "indexes", Done: 3, Total: 3, Unit: "objects"})
	s.Report(envdb.Progress{Step: "analyze"})
	c.after(11 * time.Second)
	s.Report(envdb.Progress{Step: "analyze"})
	s.Stop()
	s.Stop()
	s.Report(envdb.Progress{Step: "late"})
	golden(t, "progress", b.String())
}

func TestQuietShowsTextOnly(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	report, stop := console.Progress(&b, console.Quiet)
	report(envdb.Progress{Step: "copy", Done: 1, Total: 2})
	stop()
	if b.Len() != 0 {
		t.Errorf("quiet said %q", b.String())
	}
}
