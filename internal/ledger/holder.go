package ledger

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// Holder is a run that holds a lease.
type Holder struct {
	// ID is the claim's own name: a run may claim several things.
	ID        string          `json:"id"`
	Run       string          `json:"run"`
	Operation envdb.Operation `json:"operation"`
	User      string          `json:"user"`
	Host      string          `json:"host"`
	Process   Process         `json:"process"`
	Since     time.Time       `json:"since"`
	// Beat counts the signs of life. Others judge by whether it changes.
	Beat uint64 `json:"beat"`
	// Uptime is the machine's clock at the last beat, for its own processes.
	Uptime time.Duration `json:"uptime_ns"`
	// Gone says that a reader found the writer dead and went past it. The
	// writer stays in the lease until the next one comes, who ends what its
	// sessions still do on the server; a reader has no business there.
	Gone bool `json:"gone,omitempty"`
	// Yield is the run that asked the holder to give way; see [Claim.Over]. The
	// holder sees it at its next beat.
	Yield string `json:"yield,omitempty"`
}

// String says who holds a lease, doing what, since when, and where.
func (h Holder) String() string {
	return fmt.Sprintf("%s by %s@%s since %s (run %s, pid %d)", h.Operation, h.User, h.Host,
		h.Since.UTC().Format("2006-01-02 15:04:05 UTC"), h.Run, h.Process.PID)
}

func describe(holders []Holder) string {
	texts := make([]string, len(holders))
	for i, h := range holders {
		texts[i] = h.String()
	}
	return strings.Join(texts, "; ")
}

// Claim is what a run says of itself when it asks for a lease.
type Claim struct {
	Run       string
	Operation envdb.Operation
	// Wait is how long to wait for others to finish. By default nobody waits
	// for a run that lives; a run whose life is in doubt is watched for a TTL.
	Wait time.Duration
	// Offline says that the claim can do without: the server's own advisory
	// lock is enough, or nothing is changed. If the store cannot be used, the
	// lease is granted without being held.
	Offline bool
	// Over are operations that are told to give way, and then waited for: a
	// backup can be taken again, a person who rolls back cannot wait for it.
	Over []envdb.Operation
}

// overrules reports whether all rivals are to give way.
func (c Claim) overrules(rivals []rival) bool {
	return !slices.ContainsFunc(rivals, func(r rival) bool { return !slices.Contains(c.Over, r.Operation) })
}

func (l *Ledger) holder(c Claim) Holder {
	return Holder{
		ID: newNonce(), Run: c.Run, Operation: c.Operation,
		User: l.config.User, Host: l.config.Host, Process: l.config.Machine.Self,
		Since: l.config.Now().UTC(), Beat: 1, Uptime: l.config.Machine.Uptime(),
	}
}

// life is what can be said of a holder.
type life int

const (
	inDoubt life = iota
	alive
	dead
)

// lifeOf judges a holder. On its own machine the process and the clock tell at
// once. Elsewhere only time does: a beat that was seen to change is a sign of
// life, and one that stayed the same for a TTL of the observer's own monotonic
// time is a sign of death.
func (l *Ledger) lifeOf(h Holder) life {
	if h.Gone {
		return dead
	}
	if m := l.config.Machine; m.knows(h.Process) {
		if m.Gone(h.Process) || m.Uptime()-h.Uptime >= TTL {
			return dead
		}
		return alive
	}
	return l.seen.judge(h.ID, h.Beat, time.Now())
}

// sightings remembers when each holder's beat was first seen as it is.
type sightings struct {
	mu   sync.Mutex
	seen map[string]sighting
}

type sighting struct {
	beat  uint64
	first time.Time // with its monotonic reading
	moved bool      // the beat changed while we looked
}

func (s *sightings) judge(id string, beat uint64, now time.Time) life {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, known := s.seen[id]
	if !known || was.beat != beat {
		s.remember(id, sighting{beat: beat, first: now, moved: known})
		if known {
			return alive
		}
		return inDoubt
	}
	switch quiet := now.Sub(was.first); {
	case quiet >= TTL:
		return dead
	case was.moved && quiet < 2*Beat:
		return alive
	}
	return inDoubt
}

// remember stores a sighting, and forgets those that are long over.
func (s *sightings) remember(id string, n sighting) {
	const memory = time.Hour
	for other, o := range s.seen {
		if n.first.Sub(o.first) > memory {
			delete(s.seen, other)
		}
	}
	if s.seen == nil {
		s.seen = map[string]sighting{}
	}
	s.seen[id] = n
}
