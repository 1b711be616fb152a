package s3

import (
	"maps"
	"sync"
)

// retries is under what Calls counts the requests that repeated another.
const retries = "retries"

// calls counts requests.
type calls struct {
	mu sync.Mutex
	n  map[string]int64
}

func (c *calls) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int64{}
	}
	c.n[name]++
}

func (c *calls) snapshot() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	counted := maps.Clone(c.n)
	if counted == nil {
		counted = map[string]int64{}
	}
	return counted
}

// Calls returns how many HTTP requests the store has made since it was opened,
// by S3's name of the operation ("PutObject", "UploadPart", …). Repetitions are
// counted there, and once more under "retries".
func (s *Store) Calls() map[string]int64 { return s.calls.snapshot() }
