package backup

import (
	"context"
	"sync"

	"github.com/envdb/envdb"
)

// OneLook returns a context in which a [Viewer] reads the head of each
// environment once: for who asks for many views that are to be of one moment,
// such as a pass of the daemon, in which a ladder and any number of schedules
// look at the same environment.
func OneLook(ctx context.Context) context.Context {
	return context.WithValue(ctx, oneLookKey{}, &oneLook{tags: map[*remembered]envdb.Tag{}})
}

type oneLookKey struct{}

// oneLook is what the heads were in a context. A nil one remembers nothing.
type oneLook struct {
	mu   sync.Mutex
	tags map[*remembered]envdb.Tag
}

func oneLookOf(ctx context.Context) *oneLook {
	look, _ := ctx.Value(oneLookKey{}).(*oneLook)
	return look
}

func (o *oneLook) tag(of *remembered) (tag envdb.Tag, known bool) {
	if o == nil {
		return "", false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	tag, known = o.tags[of]
	return tag, known
}

func (o *oneLook) set(of *remembered, tag envdb.Tag) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tags[of] = tag
}
