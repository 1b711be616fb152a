package console

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// handler writes log records as short lines for people.
type handler struct {
	to    *lines
	level slog.Leveler
	attrs string // as they are printed
	group string // prefix of keys
}

// lines is a writer of whole lines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

// NewHandler returns a slog handler for people: no time, a word before what is
// not information, and the facts behind the message. To keep the lines clear of
// a progress bar, give it the [Screen] as its writer. A nil level is Info.
func NewHandler(w io.Writer, level slog.Leveler) slog.Handler {
	if level == nil {
		level = slog.LevelInfo
	}
	return handler{to: &lines{w: w}, level: level}
}

// Enabled implements slog.Handler.
func (h handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

// Handle implements slog.Handler.
func (h handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(prefix(r.Level) + r.Message)
	facts := h.attrs
	r.Attrs(func(a slog.Attr) bool {
		facts += h.fact(h.group, a)
		return true
	})
	if facts != "" {
		b.WriteString(" (" + strings.TrimPrefix(facts, ", ") + ")")
	}
	h.to.mu.Lock()
	defer h.to.mu.Unlock()
	_, err := io.WriteString(h.to.w, Printable(oneLine(b.String()))+"\n")
	return err
}

func prefix(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "error: "
	case level >= slog.LevelWarn:
		return "warning: "
	case level < slog.LevelInfo:
		return "debug: "
	}
	return ""
}

// fact returns ", key value" for an attribute, and for each of a group's.
func (h handler) fact(group string, a slog.Attr) string {
	a.Value = a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return ""
	}
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		var facts string
		for _, member := range a.Value.Group() {
			facts += h.fact(group, member)
		}
		return facts
	}
	text := a.Value.String()
	switch a.Value.Kind() {
	case slog.KindDuration:
		text = Duration(a.Value.Duration())
	case slog.KindTime:
		text = Time(a.Value.Time())
	}
	return ", " + group + a.Key + " " + text
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.attrs += h.fact(h.group, a)
	}
	return h
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	if name != "" {
		h.group += name + "."
	}
	return h
}
