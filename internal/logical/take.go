package logical

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// Source is the database to take a backup of, and how.
type Source struct {
	// URL leads to the server itself, not to a pooler.
	URL envdb.ConnString
	// App is the application_name of every session; "envdb/<run>".
	App string
	// Jobs is how many sessions copy rows; 0 means the number of processors,
	// at most 4. A backup uses three connections more than that.
	Jobs int
	// ReleaseQuery is an SQL query whose first value is the release label of
	// the code that the database serves; empty for none.
	ReleaseQuery string
	// LockPatience is how long somebody may wait for the backup's locks before
	// it yields; 0 means 2 seconds.
	LockPatience time.Duration

	Log    *slog.Logger
	Report envdb.Report
}

const (
	defaultPatience = 2 * time.Second
	mostJobs        = 4
	// attempts is how often Take begins, if the reason to stop may pass.
	attempts = 5
	// lockWait, in patiences, is how long the leader waits for a table that
	// somebody has locked. Nobody waits for the leader meanwhile, or it yields.
	lockWait = 15
)

func (s Source) withDefaults() Source {
	if s.Jobs <= 0 {
		s.Jobs = min(mostJobs, runtime.GOMAXPROCS(0))
	}
	if s.LockPatience <= 0 {
		s.LockPatience = defaultPatience
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Take reads the database into w, as of one snapshot, and returns the
// catalogue, which is also the last part that it writes. It reads only, and
// holds no lock that plain reading would not: when somebody waits for it, it
// ends its sessions and begins again, a few times, then fails with ErrBusy.
// After an error the chunks that were put are of no use.
func Take(ctx context.Context, src Source, w ChunkWriter) (*Catalogue, error) {
	return take(ctx, src.withDefaults(), w, hooks{})
}

// hooks let tests act between two steps of an attempt, counted from 1.
type hooks struct {
	snapshotTaken func(attempt int)
	locked        func(attempt int)
}

func take(ctx context.Context, src Source, w ChunkWriter, h hooks) (*Catalogue, error) {
	for try := 1; ; try++ {
		put := &puts{to: w}
		a := &attempt{src: src, put: put, hooks: h, number: try}
		err := a.run(ctx)
		if err == nil {
			return a.catalogue, nil
		}
		again := new(passing)
		if !errors.As(err, &again) {
			return nil, err
		}
		if try == attempts {
			return nil, again.final(try)
		}
		if err := put.restart(ctx); err != nil {
			return nil, errors.Join(again.final(try), err)
		}
		src.Log.Warn("the backup begins again", "reason", again.text, "attempt", try)
		if err := pause(ctx, again.pause(src.LockPatience, try)); err != nil {
			return nil, err
		}
	}
}

// passing is a reason to end an attempt that may be gone at the next.
type passing struct {
	text string
	// next is what to do if it never passes.
	next string
	// hurried is set if there is nobody to wait for.
	hurried bool
}

func (p *passing) Error() string { return p.text }

// pause returns how long to wait after the given attempt: longer each time, so
// that whoever waited gets the table, and then some peace.
func (p *passing) pause(patience time.Duration, try int) time.Duration {
	if p.hurried {
		return 0
	}
	return patience << (try - 1)
}

// final is the error of the last attempt.
func (p *passing) final(tries int) error {
	return envdb.Fail(envdb.ErrBusy, "the backup was begun %d times and given up each time, the last time because %s", tries, p.text).
		WithState("the database is untouched, and no backup was written").
		WithNext("%s", p.next)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return envdb.Fail(envdb.ErrInterrupted, "take the backup: %w", ctx.Err())
	case <-t.C:
		return nil
	}
}

// puts counts what an attempt wrote, because only an attempt that wrote nothing
// can be repeated on any writer.
type puts struct {
	to    ChunkWriter
	count atomic.Int64
}

func (p *puts) Put(ctx context.Context, c backup.Chunk) error {
	p.count.Add(1)
	return p.to.Put(ctx, c)
}

// restart makes the writer forget the attempt.
func (p *puts) restart(ctx context.Context) error {
	if p.count.Load() == 0 {
		return nil
	}
	r, can := p.to.(Restarter)
	if !can {
		return errors.New("what was written so far cannot be taken back")
	}
	return r.Restart(ctx)
}
