package notify

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/envdb/envdb"
)

const (
	defaultQueue = 100
	defaultDrain = 10 * time.Second
	// eventNews and pingNews are how long there is a point in delivering. A ping
	// that comes late says that something runs which may not run any more.
	eventNews = envdb.Day
	pingNews  = 5 * time.Minute
)

// Config is what a Notifier works with.
type Config struct {
	Routes []Route
	// Project and Sender, the machine's name, are shown with every event.
	Project, Sender string
	// Queue is how many messages wait for a channel at most; 0 is 100.
	Queue int
	// Drain is how long Run goes on delivering when it is to stop; 0 is 10 s.
	Drain time.Duration
	// Done is called for an event when each channel that wants it has it, or has
	// given it up. It must return at once.
	Done func(Event)
	// Log gets what could not be delivered; nil is none. It gets no secret.
	Log *slog.Logger
}

// Notifier brings events to channels. Notify and Ping never wait.
//
// Each channel has a queue and a goroutine. A message is tried three times with
// growing pauses; then the channel rests for a minute, for two, and so on up to
// a quarter of an hour, and goes on with the same message, until that is a day
// old. What does not fit into the queue any more goes, the oldest first, and the
// next message that gets through says how many have.
type Notifier struct {
	config  Config
	senders []*sender
}

// New returns a notifier. What it is given waits until Run.
func New(c Config) *Notifier {
	if c.Queue == 0 {
		c.Queue = defaultQueue
	}
	if c.Drain == 0 {
		c.Drain = defaultDrain
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Done == nil {
		c.Done = func(Event) {}
	}
	n := &Notifier{config: c}
	for _, r := range c.Routes {
		n.senders = append(n.senders, newSender(r, c.Queue, c.Log))
	}
	return n
}

// Notify tells events to whoever wants them. It does not wait.
func (n *Notifier) Notify(events ...Event) {
	for _, e := range events {
		e.Project, e.Sender = n.config.Project, n.config.Sender
		var wanting []*sender
		for _, s := range n.senders {
			if s.route.Wants(e) {
				wanting = append(wanting, s)
			}
		}
		if len(wanting) == 0 {
			n.config.Done(e)
			continue
		}
		var left atomic.Int64
		left.Store(int64(len(wanting)))
		gone := func() {
			if left.Add(-1) == 0 {
				n.config.Done(e)
			}
		}
		for _, s := range wanting {
			s.push(item{event: e, until: time.Now().Add(eventNews), gone: gone})
		}
	}
}

// Ping tells of a run to whoever wants it. It does not wait.
func (n *Notifier) Ping(p Ping) {
	for _, s := range n.senders {
		if s.route.WantsPing(p) {
			s.push(item{ping: &p, until: time.Now().Add(pingNews), gone: func() {}})
		}
	}
}

// Run delivers until ctx ends, goes on for a little while to deliver what waits,
// and returns when it has stopped. Call it once.
func (n *Notifier) Run(ctx context.Context) {
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() {
		pause(work, n.config.Drain)
		cut()
	})
	defer stop()
	var running sync.WaitGroup
	for _, s := range n.senders {
		running.Go(func() { s.run(ctx, work) })
	}
	running.Wait()
}

// Inherit takes over what another notifier had not delivered when its Run
// returned, before what it was given itself. What is for a channel that there is
// no more, or that does not want it any more, is given up.
func (n *Notifier) Inherit(other *Notifier) {
	for _, was := range other.senders {
		was.mu.Lock()
		left := was.left
		was.left = nil
		was.mu.Unlock()
		heir := n.sender(was.route.Name)
		for _, i := range slices.Backward(left) {
			if heir == nil || !heir.route.wants(i) {
				i.gone()
				continue
			}
			heir.drop(heir.queue.putBack(i))
		}
	}
}

// sender returns the sender of a channel, or nil.
func (n *Notifier) sender(name string) *sender {
	for _, s := range n.senders {
		if s.route.Name == name {
			return s
		}
	}
	return nil
}

// Status is how a channel is doing.
type Status struct {
	Name   string `json:"name"`
	Queued int    `json:"queued"`
	// Delivered, GivenUp and Dropped count messages: GivenUp were refused or got too
	// old, Dropped did not fit into the queue.
	Delivered int `json:"delivered"`
	GivenUp   int `json:"given_up"`
	Dropped   int `json:"dropped"`
	// FailingSince is since when nothing gets through, and Error the last reason.
	FailingSince time.Time `json:"failing_since,omitzero"`
	Error        string    `json:"error,omitempty"`
}

// Status returns how the channels are doing, in the order of the routes.
func (n *Notifier) Status() []Status {
	all := make([]Status, len(n.senders))
	for i, s := range n.senders {
		all[i] = s.status()
	}
	return all
}
