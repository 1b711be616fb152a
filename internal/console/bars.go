package console

import (
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bars draws steps on a terminal. The screen calls it one call at a time.
type bars struct {
	container *mpb.Progress
	all       map[*step]*bar
}

type bar struct {
	mpb    *mpb.Bar
	mu     sync.Mutex // the drawing reads the status
	status string
	drawn  time.Time
}

func newBars(f *os.File) *bars {
	return &bars{container: mpb.New(mpb.WithOutput(f)), all: map[*step]*bar{}}
}

func (b *bars) add(st *step) {
	one := &bar{}
	one.mpb = b.container.New(0, mpb.BarStyle().Lbound("").Rbound("").Filler("━").Tip("━").Padding("─"),
		mpb.BarWidth(24),
		mpb.PrependDecorators(decor.Name(Printable(oneLine(st.name)), decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			one.mu.Lock()
			defer one.mu.Unlock()
			return " " + one.status
		})),
	)
	b.all[st] = one
}

// update changes a bar, not more often than eyes can see.
func (b *bars) update(st *step, now time.Time) {
	one := b.all[st]
	const visible = 80 * time.Millisecond
	if now.Sub(one.drawn) < visible {
		return
	}
	one.drawn = now
	status := st.status(now)
	one.mu.Lock()
	one.status = status
	one.mu.Unlock()
	one.mpb.SetTotal(st.total, false)
	one.mpb.SetCurrent(st.done)
}

func (b *bars) remove(st *step) {
	if one := b.all[st]; one != nil {
		one.mpb.Abort(true)
		one.mpb.Wait()
		delete(b.all, st)
	}
}

func (b *bars) write(p []byte) (int, error) { return b.container.Write(p) }

func (b *bars) stop() { b.container.Wait() }
