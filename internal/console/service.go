package console

import (
	"io"
	"log/slog"
	"time"
)

// NewDaemonLogger returns the log of a process that nobody watches: a line for
// each record, with its time in UTC, as text or as JSON.
func NewDaemonLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		switch value := a.Value.Any().(type) {
		case time.Time:
			a.Value = slog.StringValue(value.UTC().Format("2006-01-02T15:04:05.000Z"))
		case time.Duration:
			a.Value = slog.StringValue(value.String())
		case error:
			a.Value = slog.StringValue(value.Error())
		}
		return a
	}}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
