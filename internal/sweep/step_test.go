package sweep_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// step is one of the things that an operation does, and that can fail. It is
// known by its text, without what differs from run to run, and by how often it
// was seen before: several connections work at once, and not in one order.
type step struct {
	text string
	nth  int // from 1
}

func (s step) String() string {
	text := strings.Join(strings.Fields(s.text), " ")
	if len(text) > 100 {
		text = text[:60] + " … " + text[len(text)-37:]
	}
	return fmt.Sprintf("%q (%d)", text, s.nth)
}

// counter counts steps.
type counter struct {
	mu    sync.Mutex
	seen  []step
	count map[string]int
}

// next counts a step.
func (c *counter) next(text string) step {
	text = normal(text)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == nil {
		c.count = map[string]int{}
	}
	c.count[text]++
	s := step{text, c.count[text]}
	c.seen = append(c.seen, s)
	return s
}

// knows reports whether a text was counted before.
func (c *counter) knows(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[normal(text)] > 0
}

// steps returns what was counted so far.
func (c *counter) steps() []step {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen)
}

// inBoth returns the steps of one run that another took as well.
func inBoth(a, b []step) []step {
	return slices.DeleteFunc(slices.Clone(a), func(s step) bool { return !slices.Contains(b, s) })
}

// Ids, numbers, snapshots, markers and random names differ from run to run.
var (
	runIDs    = regexp.MustCompile(`\d{8}-\d{6}(-\d{3}[a-z0-9]{5})?`)
	snapshots = regexp.MustCompile(`[0-9A-F]{8}-[0-9A-F]{8}-\d+`)
	markers   = regexp.MustCompile(`(?s)envdb: \{.*\}`)
	probes    = regexp.MustCompile(`probe/[0-9a-f]+`)
	numbers   = regexp.MustCompile(`\d+`)
)

func normal(text string) string {
	text = markers.ReplaceAllString(text, "MARKER")
	text = snapshots.ReplaceAllString(text, "SNAPSHOT")
	text = runIDs.ReplaceAllString(text, "RUN")
	text = probes.ReplaceAllString(text, "PROBE")
	return numbers.ReplaceAllString(text, "#")
}
