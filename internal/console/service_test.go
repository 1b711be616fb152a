package console_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/console"
)

func TestDaemonLogger(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 11, 20, 15, 5, 0, 0, time.FixedZone("", 3600))
	say := func(format string) string {
		var b bytes.Buffer
		log := console.NewDaemonLogger(&b, format, slog.LevelInfo)
		log.Debug("not this")
		log.Warn("the server does not answer", "env", "prod", "until", until, "took", 1500*time.Millisecond, "reason", errors.New("connection refused\nsecond line"))
		return b.String()
	}
	text := say("text")
	for _, want := range []string{"level=WARN", `msg="the server does not answer"`, "env=prod", "until=2026-11-20T14:05:00.000Z", "took=1.5s", `reason="connection refused\nsecond line"`} {
		if !strings.Contains(text, want) || strings.Count(text, "\n") != 1 {
			t.Errorf("the log is %q, want one line with %s", text, want)
		}
	}
	var record map[string]string
	if err := json.Unmarshal([]byte(say("json")), &record); err != nil {
		t.Fatal(err)
	}
	if record["took"] != "1.5s" || record["until"] != "2026-11-20T14:05:00.000Z" || !strings.HasSuffix(record["time"], "Z") {
		t.Errorf("the record is %v", record)
	}
}
