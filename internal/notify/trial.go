package notify

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// trialTime is how long a test of a channel may take, with all its attempts.
const trialTime = 45 * time.Second

// Trial is what became of a test of a channel.
type Trial struct {
	// Name is that of the route, Channel what it is: "slack".
	Name    string
	Channel string
	Took    time.Duration
	Err     error
}

// Test sends a test to every channel at once, whatever it is told otherwise, and
// waits for what becomes of it. The trials are in the order of the routes.
func (n *Notifier) Test(ctx context.Context) []Trial {
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	now := time.Now()
	e := Event{
		Kind: KindTest, Subject: "test", At: now, Title: "A test of envdb's notifications",
		Text: "If you read this, they reach you. Nothing happened, and nothing is to be done.", Project: n.config.Project, Sender: n.config.Sender,
	}
	trials := make([]Trial, len(n.senders))
	var running sync.WaitGroup
	for i, s := range n.senders {
		running.Go(func() {
			trials[i] = Trial{Name: s.route.Name, Channel: "channel"}
			if named, ok := s.route.Channel.(fmt.Stringer); ok {
				trials[i].Channel = named.String()
			}
			trials[i].Err = s.deliver(ctx, item{event: e})
			trials[i].Took = time.Since(now)
		})
	}
	running.Wait()
	return trials
}
