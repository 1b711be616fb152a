package ledger

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// errLost is wrapped by a beat that found the lease in other hands: trying
// again is of no use.
var errLost = errors.New("the lease was lost")

// keeper writes the beats of a lease until it is stopped, and cancels the
// lease's context when the lease is lost: taken by another, or not renewed for
// so long that another may take it.
type keeper struct {
	name   string
	beat   func(context.Context) error
	cancel context.CancelCauseFunc

	stop    context.CancelFunc
	stopped chan struct{}

	watchdog *time.Timer
	mu       sync.Mutex
	trouble  error // of the last beat
}

// keep starts a keeper. written is when the write that began the lease was
// begun. The beats outlast ctx: a run that was told to stop still tidies up
// under its lease.
func keep(ctx context.Context, name string, written time.Time, cancel context.CancelCauseFunc, beat func(context.Context) error) *keeper {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	k := &keeper{name: name, beat: beat, cancel: cancel, stop: stop, stopped: make(chan struct{})}
	// The watchdog does not wait for the store: a call that hangs is no beat.
	k.watchdog = time.AfterFunc(Patience-time.Since(written), k.giveUp)
	go k.run(ctx)
	return k
}

func (k *keeper) run(ctx context.Context) {
	defer close(k.stopped)
	for rest := Beat; pause(ctx, rest) == nil; {
		began := time.Now()
		err := k.beatOnce(ctx)
		switch {
		case err == nil:
			k.watchdog.Reset(Patience - time.Since(began))
			rest = Beat
		case errors.Is(err, errLost):
			k.cancel(err)
			return
		default:
			rest = time.Second
		}
	}
}

func (k *keeper) beatOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	err := k.beat(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trouble = err
	return err
}

// giveUp ends the lease from this side, before its TTL ends for the others.
func (k *keeper) giveUp() {
	k.mu.Lock()
	trouble := k.trouble
	k.mu.Unlock()
	if trouble == nil {
		trouble = errors.New("the store does not answer")
	}
	k.cancel(envdb.Fail(envdb.ErrUnreachable, "the lease of %s could not be renewed for %s: %w", k.name, Patience, trouble).
		WithNext("see that the store can be reached (`envdb doctor`), then run it again"))
}

// end stops the beats and waits for the last one. It may be called again.
func (k *keeper) end() {
	k.stop()
	<-k.stopped
	k.watchdog.Stop()
}
