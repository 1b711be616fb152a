package manager

import (
	"context"
	"time"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/schedule"
)

// stillness is what a look at a source came to.
type stillness struct {
	// Changed says what is different since the backup; empty if nothing is.
	Changed string
	// Until is the moment up to which nothing has changed, by the source's clock.
	Until time.Time
	Skew  schedule.Skew
}

// unchangedSince asks the server whether anything has changed since a backup. It
// reads no data, and is no run.
func (m *Manager) unchangedSince(ctx context.Context, env config.Environment, b *backup.Summary) (stillness, error) {
	began := m.now()
	now, err := logical.Look(ctx, logical.Source{URL: env.Direct(), App: "envdb/look"})
	if err != nil {
		return stillness{}, err
	}
	ended := m.now()
	middle := began.Add(ended.Sub(began) / 2)
	return stillness{
		Changed: logical.Changed(b.Source, b.Stillness, now),
		// Down to the second, which is what a mark holds: it must not promise a
		// moment that was not seen.
		Until: now.Now.Truncate(time.Second), Skew: schedule.SkewOf(now.Now, middle),
	}, nil
}
