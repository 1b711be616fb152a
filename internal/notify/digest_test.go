package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/notify"
)

func digestLines() []notify.Line {
	return []notify.Line{
		{Environment: "prod", Newest: start.Add(-4 * time.Minute), OK: 1431, Failed: 2, Bytes: 48_123_456_789},
		{Environment: "prod-copy", Newest: start.Add(-26 * time.Hour), OK: 1, Failing: []string{"mirror/prod-copy", "verify/prod-copy"}, Failed: 3, Bytes: 999_950},
		{Environment: "qa", Bytes: 12},
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	e := notify.Digest(start, start.Add(-envdb.Day), digestLines())
	golden(t, "digest.txt", e.Title+"\n\n"+e.Text+"\n")
	if e.Kind != notify.KindDigest || e.Environment != "" || !e.Since.Equal(start.Add(-envdb.Day)) || e.Fields["stored"] != "48.1 GB" {
		t.Errorf("%+v", e)
	}
	well := notify.Digest(start, time.Time{}, []notify.Line{{Environment: "prod", Newest: start, OK: 1, Bytes: 1_500_000_000_000_000}})
	if want := "1 environment, all well; 1 run ok, 0 failed"; well.Title != want || well.Fields["stored"] != "1.5 PB" {
		t.Errorf("title %q, want %q; stored %s", well.Title, want, well.Fields["stored"])
	}
	if none := notify.Digest(start, time.Time{}, nil); none.Title == "" || none.Text == "" {
		t.Errorf("without environments: %+v", none)
	}
}

func TestDigestOfManyEnvironments(t *testing.T) {
	t.Parallel()
	var lines []notify.Line
	for i := range 200 {
		lines = append(lines, notify.Line{Environment: fmt.Sprintf("test-%d\nx", i)})
	}
	text := notify.Digest(start, time.Time{}, lines).Text
	if n := strings.Count(text, "\n"); n != 60 || !strings.HasSuffix(text, "and 141 more: envdb status") {
		t.Errorf("%d lines end with %q", n, text[len(text)-40:])
	}
}
