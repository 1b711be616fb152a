package ledger

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// A log keeps its beginning and its end: what a run set out to do, and how it
// ended.
const (
	logHead = 256 << 10
	logTail = 768 << 10
)

// logBuffer holds the lines of a run's log, bounded.
type logBuffer struct {
	mu      sync.Mutex
	head    []byte
	tail    [][]byte
	size    int // of tail
	dropped int
	changes int
}

// Write adds one line; slog's handlers write a record at a time.
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changes++
	if len(b.tail) == 0 && len(b.head)+len(line) <= logHead {
		b.head = append(b.head, line...)
		return len(line), nil
	}
	b.tail = append(b.tail, bytes.Clone(line))
	b.size += len(line)
	for b.size > logTail && len(b.tail) > 1 {
		b.size -= len(b.tail[0])
		b.tail = b.tail[1:]
		b.dropped++
	}
	return len(line), nil
}

// snapshot returns the log as it is now, and how many changes made it.
func (b *logBuffer) snapshot() ([]byte, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := bytes.Clone(b.head)
	if b.dropped > 0 {
		text = fmt.Appendf(text, "… %d lines left out …\n", b.dropped)
	}
	for _, line := range b.tail {
		text = append(text, line...)
	}
	return text, b.changes
}

// tee writes records to a run's log and hands them on.
type tee struct {
	next slog.Handler // may be nil
	log  slog.Handler
}

// newTee returns a handler that keeps what is at or above level. Values of
// rows stay out of a log whose level is above debug, secrets out of any.
func newTee(next slog.Handler, to *logBuffer, level slog.Level) tee {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		return keepable(a, level > slog.LevelDebug)
	}}
	return tee{next: next, log: slog.NewTextHandler(to, options)}
}

// keepable returns an attribute as it may be kept.
func keepable(a slog.Attr, hideRows bool) slog.Attr {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() != slog.KindString && a.Value.Kind() != slog.KindAny {
		return a
	}
	if hideRows {
		switch strings.ToLower(a.Key) {
		case "detail", "context", "where":
			return slog.Attr{}
		}
	}
	text := a.Value.String()
	if hideRows {
		text = withoutRows(text)
	}
	return slog.String(a.Key, withoutSecrets(text))
}

// Enabled implements slog.Handler.
func (t tee) Enabled(ctx context.Context, level slog.Level) bool {
	return t.log.Enabled(ctx, level) || t.next != nil && t.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (t tee) Handle(ctx context.Context, r slog.Record) error {
	if t.log.Enabled(ctx, r.Level) {
		_ = t.log.Handle(ctx, r.Clone()) // a buffer takes everything
	}
	if t.next != nil && t.next.Enabled(ctx, r.Level) {
		return t.next.Handle(ctx, r)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (t tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	t.log = t.log.WithAttrs(attrs)
	if t.next != nil {
		t.next = t.next.WithAttrs(attrs)
	}
	return t
}

// WithGroup implements slog.Handler.
func (t tee) WithGroup(name string) slog.Handler {
	t.log = t.log.WithGroup(name)
	if t.next != nil {
		t.next = t.next.WithGroup(name)
	}
	return t
}
