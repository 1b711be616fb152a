package console

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/envdb/envdb"
)

// Screen shows the progress of a run: on a terminal a bar for each step that
// runs, elsewhere a line when a step begins and ends, and every ten seconds in
// between. What is written to it goes above the bars. It is safe for concurrent
// use.
type Screen struct {
	mu    sync.Mutex
	w     io.Writer
	bars  *bars // nil where there is no terminal
	quiet bool
	now   func() time.Time
	steps []*step
	over  bool
}

// Style says how a screen shows progress.
type Style int

// The styles: Auto asks whether the writer is a terminal, Lines never draws
// bars, Quiet shows no progress at all.
const (
	Auto Style = iota
	Lines
	Quiet
)

// NewScreen returns a screen on w.
func NewScreen(w io.Writer, style Style) *Screen {
	s := &Screen{w: w, quiet: style == Quiet, now: time.Now}
	if f, ok := w.(*os.File); ok && style == Auto && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.bars = newBars(f)
	}
	return s
}

// WithClock sets the clock by which rates and times are told, and returns s.
func (s *Screen) WithClock(now func() time.Time) *Screen {
	s.now = now
	return s
}

// Progress returns a report that shows progress on w, and what ends it.
func Progress(w io.Writer, style Style) (report envdb.Report, stop func()) {
	s := NewScreen(w, style)
	return s.Report, s.Stop
}

// Report shows a moment of a run. It is an [envdb.Report].
func (s *Screen) Report(p envdb.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quiet || s.over || p.Step == "" {
		return
	}
	now := s.now()
	st := s.find(p.Step)
	if st == nil {
		if st = s.begin(p, now); st == nil {
			return
		}
	}
	st.update(p)
	if st.whole() {
		s.end(st, now)
		return
	}
	s.show(st, now)
}

// find returns the step, if it was heard of before.
func (s *Screen) find(name string) *step {
	for _, st := range s.steps {
		if st.name == name {
			return st
		}
	}
	return nil
}

// begin shows a new step. Steps without a known end have ended when another
// begins.
func (s *Screen) begin(p envdb.Progress, now time.Time) *step {
	for _, other := range s.steps {
		if other.total == 0 && !other.ended {
			s.end(other, now)
		}
	}
	st := &step{name: p.Step, began: now, shown: now}
	s.steps = append(s.steps, st)
	if s.bars != nil {
		s.bars.add(st)
	} else if !(p.Total > 0 && p.Done >= p.Total) {
		s.line("%s …", st.name)
	}
	return st
}

const betweenLines = 10 * time.Second

func (s *Screen) show(st *step, now time.Time) {
	switch {
	case st.ended:
	case s.bars != nil:
		s.bars.update(st, now)
	case now.Sub(st.shown) >= betweenLines:
		st.shown = now
		s.line("%s: %s", st.name, st.status(now))
	}
}

func (s *Screen) end(st *step, now time.Time) {
	if st.ended {
		return
	}
	st.ended = true
	if s.bars != nil {
		s.bars.remove(st)
	}
	s.line("%s: %s", st.name, st.summary(now))
}

func (s *Screen) line(format string, args ...any) {
	_, _ = s.print([]byte(Printable(oneLine(fmt.Sprintf(format, args...))) + "\n")) // progress is not worth an error
}

func (s *Screen) print(p []byte) (int, error) {
	if s.bars != nil && !s.over {
		return s.bars.write(p)
	}
	return s.w.Write(p)
}

// Write prints text above the bars. Whole lines look best.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.print(bytes.Clone(p)) // the bars keep it until they draw
}

// Stop removes the bars and leaves the cursor on a new line. Later reports are
// ignored; later text is printed as it is. It is idempotent.
func (s *Screen) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	for _, st := range s.steps {
		if !st.ended && s.bars != nil {
			s.bars.remove(st)
		}
	}
	s.over = true
	if s.bars != nil {
		s.bars.stop()
	}
}
