package notify

import (
	"context"
	"sync"
	"time"
)

// item is a message that waits.
type item struct {
	event Event
	ping  *Ping
	// until is when it is no news any more.
	until time.Time
	// gone is called when it was delivered or given up.
	gone func()
}

// kind and subject say what it is, in the log.
func (i item) kind() string {
	if i.ping != nil {
		return "ping " + string(i.ping.Phase)
	}
	return string(i.event.Kind)
}

func (i item) subject() string {
	if i.ping != nil {
		return i.ping.Job
	}
	return i.event.Subject
}

// queue is what waits for a channel, the oldest first. It takes everything at
// once; if it is full, the oldest goes.
type queue struct {
	most int
	// filled gets a value when something came.
	filled chan struct{}

	mu    sync.Mutex
	items []item
}

func newQueue(most int) *queue { return &queue{most: most, filled: make(chan struct{}, 1)} }

// push adds an item, and returns those that had to go.
func (q *queue) push(i item) (dropped []item) {
	q.mu.Lock()
	q.items = append(q.items, i)
	dropped = q.shorten()
	q.mu.Unlock()
	select {
	case q.filled <- struct{}{}:
	default: // somebody is going to look
	}
	return dropped
}

// putBack returns what was taken to its place, which may be gone.
func (q *queue) putBack(i item) (dropped []item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append([]item{i}, q.items...)
	return q.shorten()
}

// shorten drops the oldest items that are too many. The queue is locked.
func (q *queue) shorten() []item {
	more := len(q.items) - q.most
	if more <= 0 {
		return nil
	}
	dropped := append([]item(nil), q.items[:more]...)
	q.items = append([]item(nil), q.items[more:]...)
	return dropped
}

// take waits for an item, until ctx ends and there is none.
func (q *queue) take(ctx context.Context) (item, bool) {
	for {
		if i, ok := q.first(); ok {
			return i, true
		}
		select {
		case <-q.filled:
		case <-ctx.Done():
			return q.first()
		}
	}
}

func (q *queue) first() (item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return item{}, false
	}
	i := q.items[0]
	q.items[0] = item{}
	q.items = q.items[1:]
	return i, true
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}
