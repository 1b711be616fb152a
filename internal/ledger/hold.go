package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// Hold is a run's claim that a backup be kept while the run reads it. Expiry
// honours it.
type Hold struct {
	Backup envdb.BackupID
	Holder Holder
	// Gone says that the holder is certainly dead. What is not certain counts
	// as held: expiry can wait.
	Gone bool

	key string
}

// BackupHold keeps a backup from being expired until it is released.
type BackupHold struct {
	ledger *Ledger
	key    string
	name   string
	mu     sync.Mutex
	holder Holder
	tag    envdb.Tag

	ctx       context.Context
	cancel    context.CancelCauseFunc
	keeper    *keeper
	releasing sync.Mutex
	released  bool
}

// HoldBackup asks that a backup of env be kept while the run reads it. Hold
// first, then look whether the backup is there: a hold that comes after the
// sweep has begun does not stop it.
func (l *Ledger) HoldBackup(ctx context.Context, env string, id envdb.BackupID, c Claim) (*BackupHold, error) {
	h := &BackupHold{
		ledger: l, holder: l.holder(c),
		key:  l.holdsPrefix(env) + string(id) + "/" + escape(c.Run),
		name: fmt.Sprintf("backup %s@%s", env, id),
	}
	began := time.Now()
	tag, err := l.writeJSON(ctx, h.key, h.holder, envdb.Condition{})
	if err != nil {
		return nil, fmt.Errorf("hold %s: %w", h.name, err)
	}
	h.tag = tag
	h.ctx, h.cancel = context.WithCancelCause(ctx)
	h.keeper = keep(ctx, h.name, began, h.cancel, h.beat)
	return h, nil
}

// Context ends when the context of HoldBackup does, and when the hold is lost.
func (h *BackupHold) Context() context.Context { return h.ctx }

// beat rewrites the hold. If its object is another's or no more, then either
// expiry took it, or an earlier beat was written though it failed; reading it
// tells which.
func (h *BackupHold) beat(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.holder
	next.Beat++
	next.Uptime = h.ledger.config.Machine.Uptime()
	tag, err := h.ledger.writeJSON(ctx, h.key, next, envdb.IfMatch(h.tag))
	if err == nil {
		h.holder, h.tag = next, tag
		return nil
	}
	if !errors.Is(err, envdb.ErrCondition) {
		return err
	}
	found, object, err := h.ledger.readHold(ctx, h.key)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && found.ID != h.holder.ID:
		return envdb.Fail(envdb.ErrBusy, "%s: %w: it is no longer in the store", h.name, errLost).
			WithNext("see whether the backup is still there (`envdb backups`), then run it again")
	case err != nil:
		return err
	}
	h.holder, h.tag = found, object.Tag
	return nil
}

// Release lets the backup go. It is idempotent, and works under a context that
// has ended.
func (h *BackupHold) Release(ctx context.Context) error {
	h.releasing.Lock()
	defer h.releasing.Unlock()
	if h.released {
		return nil
	}
	h.released = true
	defer h.cancel(context.Canceled)
	h.keeper.end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := h.ledger.store.Delete(ctx, h.key); err != nil {
		return fmt.Errorf("release %s: %w", h.name, err)
	}
	return nil
}

// Holds returns the holds on the backups of env. It judges holders on other
// machines by how their beat changed since an earlier call on this ledger.
func (l *Ledger) Holds(ctx context.Context, env string) ([]Hold, error) {
	var holds []Hold
	prefix := l.holdsPrefix(env)
	for object, err := range l.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list who reads backups of %s: %w", env, err)
		}
		holder, _, err := l.readHold(ctx, object.Key)
		if errors.Is(err, fs.ErrNotExist) { // released meanwhile
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list who reads backups of %s: %w", env, err)
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(object.Key, prefix), "/")
		holds = append(holds, Hold{
			Backup: envdb.BackupID(id), Holder: holder, Gone: l.lifeOf(holder) == dead, key: object.Key,
		})
	}
	return holds, nil
}

// RemoveHold removes a hold that Holds found to be of a run that is gone.
func (l *Ledger) RemoveHold(ctx context.Context, h Hold) error {
	if !h.Gone || h.key == "" {
		return envdb.Fail(envdb.ErrBusy, "backup %s is read by %s", h.Backup, h.Holder).WithState("nothing was changed")
	}
	if err := l.store.Delete(ctx, h.key); err != nil {
		return fmt.Errorf("release backup %s: %w", h.Backup, err)
	}
	return nil
}

// readHold reads a hold's object. One that does not parse is held by someone
// unknown, who is not known to be dead.
func (l *Ledger) readHold(ctx context.Context, key string) (Holder, envdb.Object, error) {
	raw, object, err := l.read(ctx, key)
	if err != nil {
		return Holder{}, object, err
	}
	var h Holder
	if err := json.Unmarshal(raw, &h); err != nil {
		return Holder{}, object, fmt.Errorf("%s: %w", key, err)
	}
	return h, object, nil
}
