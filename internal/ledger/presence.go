package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// A daemon says every PresenceBeat that it is there. Silent for PresenceTTL of
// the store's time it is taken for dead, and its object is removed after a day.
const (
	PresenceBeat = 30 * time.Second
	PresenceTTL  = 3 * PresenceBeat
	forgetDaemon = 24 * time.Hour
)

// Daemon is a daemon that shares the store.
type Daemon struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Host    string    `json:"host"`
	Process Process   `json:"process"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Listen  string    `json:"listen,omitempty"`
	// Config is a digest of its configuration: daemons of one store should have
	// the same.
	Config string        `json:"config,omitempty"`
	Beat   uint64        `json:"beat"`
	Uptime time.Duration `json:"uptime_ns"`

	// Life is what can be said of it: alive, dead, or in doubt for who just came.
	Life string `json:"life,omitempty"`
	// Seen is the store's clock at its last beat.
	Seen time.Time `json:"seen,omitzero"`
}

// String returns the life as people read it.
func (l life) String() string { return [...]string{"in doubt", "alive", "dead"}[l] }

func (l *Ledger) daemonsPrefix() string { return l.project + "/daemons/" }

// Presence says that a daemon is there, until it leaves.
type Presence struct {
	ledger  *Ledger
	daemon  Daemon // only its own goroutine changes the beat
	stop    context.CancelFunc
	stopped chan struct{}
}

// Announce says that a daemon is there, and goes on saying so until Leave. That
// the store does not take it is no error: it is said again. Name, Listen, Config
// and Started are the caller's; the ledger sets the others.
func (l *Ledger) Announce(ctx context.Context, d Daemon) *Presence {
	d.ID, d.Host, d.Process, d.Version = newNonce(), l.config.Host, l.config.Machine.Self, l.config.Version
	if d.Started.IsZero() {
		d.Started = l.config.Now().UTC()
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Presence{ledger: l, daemon: d, stop: stop, stopped: make(chan struct{})}
	go func() {
		defer close(p.stopped)
		for {
			if err := p.say(ctx); err != nil && ctx.Err() == nil {
				l.config.Log.DebugContext(ctx, "the store was not told that the daemon is there", "reason", err)
			}
			if pause(ctx, PresenceBeat) != nil {
				return
			}
		}
	}()
	return p
}

func (p *Presence) say(ctx context.Context) error {
	p.daemon.Beat++
	p.daemon.Uptime = p.ledger.config.Machine.Uptime()
	ctx, cancel := context.WithTimeout(ctx, PresenceBeat)
	defer cancel()
	_, err := p.ledger.writeJSON(ctx, p.ledger.daemonsPrefix()+p.daemon.ID, p.daemon, envdb.Condition{})
	return err
}

// Leave takes back that the daemon is there.
func (p *Presence) Leave(ctx context.Context) error {
	p.stop()
	<-p.stopped
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), briefly)
	defer cancel()
	return p.ledger.store.Delete(ctx, p.ledger.daemonsPrefix()+p.daemon.ID)
}

// Daemons lists the daemons that share the store, by name, and removes what is
// left of those that are silent for a day. What is no daemon's record is left
// alone.
func (l *Ledger) Daemons(ctx context.Context) ([]Daemon, error) {
	var all []Daemon
	for object, err := range l.store.List(ctx, l.daemonsPrefix()) {
		if err != nil {
			return nil, fmt.Errorf("list the daemons: %w", err)
		}
		d, ok, err := l.readDaemon(ctx, object.Key)
		if err != nil {
			return nil, fmt.Errorf("list the daemons: %w", err)
		}
		if !ok {
			continue
		}
		judged := l.lifeOfDaemon(ctx, object.Key, d)
		if judged == dead && l.isSilent(ctx, object.Key, d, forgetDaemon) == dead {
			if err := l.store.Delete(ctx, object.Key); err != nil { // who may not, need not
				l.config.Log.DebugContext(ctx, "what is left of a daemon could not be removed", "daemon", d.Name, "reason", err)
			}
			continue
		}
		d.Life = judged.String()
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Daemon) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return all, nil
}

// readDaemon reads the record of a daemon. It reports false if there is none any
// more, or if it is nothing of ours.
func (l *Ledger) readDaemon(ctx context.Context, key string) (Daemon, bool, error) {
	raw, object, err := l.read(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return Daemon{}, false, nil // it has just left
	}
	if err != nil {
		return Daemon{}, false, err
	}
	var d Daemon
	if json.Unmarshal(raw, &d) != nil || d.ID == "" || key != l.daemonsPrefix()+d.ID {
		return Daemon{}, false, nil
	}
	d.Seen = object.Modified
	return d, true, nil
}

// lifeOfDaemon judges a daemon as lifeOf judges a holder, with a longer breath:
// one of this machine by its process, others by the store's clock at their last
// write, for this is only shown, and often by who looks once.
func (l *Ledger) lifeOfDaemon(ctx context.Context, key string, d Daemon) life {
	if m := l.config.Machine; m.knows(d.Process) {
		if m.Gone(d.Process) {
			return dead
		}
		return alive
	}
	if l.gone.has(d.ID, d.Beat) {
		return dead
	}
	judged := l.isSilent(ctx, key, d, PresenceTTL)
	if judged == dead {
		l.gone.add(d.ID, d.Beat)
	}
	return judged
}

// isSilent judges by whether a daemon has been silent for that long.
func (l *Ledger) isSilent(ctx context.Context, key string, d Daemon, patience time.Duration) life {
	silent, known := l.silentFor(ctx, d.Seen, patience, func() (time.Time, error) {
		again, there, err := l.readDaemon(ctx, key)
		if err != nil || !there {
			return time.Time{}, err
		}
		return again.Seen, nil
	})
	switch {
	case !known:
		return inDoubt
	case silent > patience:
		return dead
	}
	return alive
}

// goneDaemons remembers which daemons were found dead at which beat, so that the
// store's clock is asked once for each.
type goneDaemons struct {
	mu   sync.Mutex
	beat map[string]uint64
}

func (g *goneDaemons) has(id string, beat uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	last, known := g.beat[id]
	return known && last == beat
}

func (g *goneDaemons) add(id string, beat uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.beat == nil {
		g.beat = map[string]uint64{}
	}
	g.beat[id] = beat
}
