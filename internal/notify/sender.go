package notify

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

const (
	// attempts are how often a message is tried before the channel rests.
	attempts     = 3
	firstBackoff = time.Second
	firstRest    = time.Minute
	mostRest     = 15 * time.Minute
	// mostBackoff is how long an attempt may wait for the next; if the service asks
	// for more, the channel rests.
	mostBackoff = 30 * time.Second
)

// sender delivers what waits for one channel.
type sender struct {
	route Route
	queue *queue
	log   *slog.Logger

	mu    sync.Mutex
	state Status
	// untold counts what was dropped since something got through.
	untold int
	left   []item // not delivered before the end
}

func newSender(r Route, most int, log *slog.Logger) *sender {
	return &sender{route: r, queue: newQueue(most), log: log.With("channel", r.Name), state: Status{Name: r.Name}}
}

func (s *sender) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state
	state.Queued = s.queue.len()
	return state
}

func (s *sender) push(i item) { s.drop(s.queue.push(i)) }

// drop counts what did not fit.
func (s *sender) drop(items []item) {
	if len(items) == 0 {
		return
	}
	s.mu.Lock()
	first := s.untold == 0
	s.untold += len(items)
	s.state.Dropped += len(items)
	s.mu.Unlock()
	if first {
		s.log.Warn("too many notifications wait; the oldest are dropped", "kind", items[0].kind(), "subject", items[0].subject())
	}
	for _, i := range items {
		i.gone()
	}
}

// run delivers until ctx ends, and then what is left until work ends.
func (s *sender) run(ctx, work context.Context) {
	rest := firstRest
	for {
		i, ok := s.queue.take(ctx)
		if !ok {
			return
		}
		if time.Now().After(i.until) {
			s.giveUp(i, "it is no news any more")
			continue
		}
		err := s.deliver(work, i)
		if err == nil {
			s.delivered(i)
			rest = firstRest
			continue
		}
		s.failed(i, err)
		again, after := againAfter(err)
		switch {
		case again == never:
			s.giveUp(i, "it was refused")
			continue
		case ctx.Err() != nil && work.Err() == nil:
			// There is a little time for the others.
			s.leave(i)
			continue
		case ctx.Err() != nil:
			s.leave(i)
			s.leaveRest()
			return
		}
		s.drop(s.queue.putBack(i))
		pause(ctx, max(after, rest/2+rand.N(rest/2)))
		rest = min(2*rest, mostRest)
	}
}

// deliver tries an item up to three times.
func (s *sender) deliver(ctx context.Context, i item) error {
	for attempt := 1; ; attempt++ {
		err := s.try(ctx, i)
		if err == nil {
			return nil
		}
		again, after := againAfter(err)
		if again != soon || attempt == attempts || ctx.Err() != nil {
			return err
		}
		wait := max(after, rand.N(firstBackoff<<(attempt-1)))
		deadline, bounded := ctx.Deadline()
		if wait > mostBackoff || bounded && time.Until(deadline) < wait {
			return err
		}
		pause(ctx, wait)
	}
}

func (s *sender) try(ctx context.Context, i item) error {
	if i.ping != nil {
		return s.route.Channel.(Pinger).Ping(ctx, *i.ping)
	}
	s.mu.Lock()
	i.event.Dropped = s.untold
	s.mu.Unlock()
	if err := s.route.Channel.Send(ctx, i.event); err != nil {
		return err
	}
	s.mu.Lock()
	s.untold -= i.event.Dropped
	s.mu.Unlock()
	return nil
}

func (s *sender) delivered(i item) {
	s.mu.Lock()
	since := s.state.FailingSince
	s.state.Delivered++
	s.state.FailingSince, s.state.Error = time.Time{}, ""
	s.mu.Unlock()
	if !since.IsZero() {
		s.log.Info("notifications get through again", "after", span(time.Since(since)))
	}
	i.gone()
}

// failed notes that an item did not get through. The log hears it once, until
// something does.
func (s *sender) failed(i item, err error) {
	s.mu.Lock()
	first := s.state.FailingSince.IsZero()
	if first {
		s.state.FailingSince = time.Now()
	}
	s.state.Error = err.Error()
	s.mu.Unlock()
	level := slog.LevelDebug
	if first {
		level = slog.LevelError
	}
	_, next := envdb.Advice(err)
	s.log.Log(context.Background(), level, "a notification was not delivered", "kind", i.kind(), "subject", i.subject(), "err", err, "next", next)
}

func (s *sender) giveUp(i item, why string) {
	s.mu.Lock()
	s.state.GivenUp++
	if i.ping == nil {
		s.untold++
	}
	s.mu.Unlock()
	s.log.Warn("a notification is given up", "kind", i.kind(), "subject", i.subject(), "why", why)
	i.gone()
}

// leave is giveUp for what whoever inherits it is to tell, another daemon, or
// this one after a restart.
func (s *sender) leave(i item) {
	s.mu.Lock()
	s.left = append(s.left, i)
	s.mu.Unlock()
	s.log.Warn("a notification was not delivered before the end", "kind", i.kind(), "subject", i.subject())
}

func (s *sender) leaveRest() {
	for {
		i, ok := s.queue.first()
		if !ok {
			return
		}
		s.leave(i)
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
