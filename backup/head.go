package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// headPatience bounds how long a change waits until others may see it.
const headPatience = 10 * time.Second

// changes counts what a Repository changed in each environment, so that its
// own viewers see it whatever became of the head.
type changes struct {
	mu sync.Mutex
	of map[string]uint64
}

func (c *changes) note(env string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]uint64{}
	}
	c.of[env]++
}

func (c *changes) count(env string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[env]
}

// changed tells everyone who remembers what the environment holds that it may
// hold something else now: it writes the head, after the change.
//
// That it could not is told to nobody, and safe: who remembers an older listing
// uses it for five minutes at most, and only to plan. A backup that is then
// taken twice costs a backup; what deletes lists anew; and a restore looks
// itself. A change that was made must not fail for it.
func (r *Repository) changed(ctx context.Context, env string) {
	r.changes.note(env)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), headPatience)
	defer cancel()
	_, _ = r.store.Put(ctx, r.keys.head(env), strings.NewReader(rand.Text()), envdb.Condition{})
}

// headTag returns the tag of the head, or "" if there is none yet.
func (r *Repository) headTag(ctx context.Context, env string) (envdb.Tag, error) {
	body, object, err := r.store.Get(ctx, r.keys.head(env), envdb.Span{})
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return object.Tag, body.Close()
}

// Clock returns what the store's clock shows, or the zero time if it does not
// say. It writes the head of an environment for that.
func (r *Repository) Clock(ctx context.Context, env string) (time.Time, error) {
	if err := checkName("environment", env); err != nil {
		return time.Time{}, err
	}
	key := r.keys.head(env)
	if _, err := r.store.Put(ctx, key, strings.NewReader(rand.Text()), envdb.Condition{}); err != nil {
		return time.Time{}, fmt.Errorf("read the store's clock: %w", err)
	}
	body, object, err := r.store.Get(ctx, key, envdb.Span{})
	if err != nil {
		return time.Time{}, fmt.Errorf("read the store's clock: %w", err)
	}
	return object.Modified, body.Close()
}

// StillThere fails unless a backup can be read to its end by who holds it: hold
// it first, then ask. Once its deletion has begun it is too late.
func (r *Repository) StillThere(ctx context.Context, env string, id envdb.BackupID) error {
	b, err := r.Find(ctx, env, id)
	if err == nil && b.Tombstone != nil && b.Tombstone.Begun {
		err = envdb.Fail(envdb.ErrNotFound, "backup %s of %s is being deleted", id, env).
			WithState("nothing was changed").WithNext("see `envdb backups %s`", env)
	}
	return err
}
