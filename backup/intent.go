package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// claimTries is how many seconds after its own a backup may take its id from.
const claimTries = 600

// Intent is the write intent of a backup that is being taken: while it lives,
// nothing of the backup, its base, or what the base refers to is removed.
type Intent struct {
	Environment string         `json:"-"`
	ID          envdb.BackupID `json:"-"`
	Repository  string         `json:"repository"`
	Base        envdb.BackupID `json:"base,omitempty"`
	Run         string         `json:"run,omitempty"`
	Writer      string         `json:"writer,omitempty"` // envdb's version
	Started     time.Time      `json:"started"`
	Nonce       string         `json:"nonce"` // tells two intents of one id apart
}

// claim writes the intent of a new backup under the first free id at or after
// now.
func (r *Repository) claim(ctx context.Context, env string, intent Intent) (Intent, error) {
	intent.Nonce = rand.Text()
	text, err := json.Marshal(intent)
	if err != nil {
		return intent, fmt.Errorf("begin a backup of %s: %w", env, err)
	}
	id := envdb.NewBackupID(intent.Started)
	for range claimTries {
		intent.ID = id
		_, err := r.store.Put(ctx, r.keys.intent(env, id), bytes.NewReader(text), envdb.IfAbsent())
		if err == nil {
			taken, err := r.taken(ctx, env, id)
			if err == nil && !taken {
				return intent, nil
			}
			if err := errors.Join(err, r.release(ctx, env, id)); err != nil {
				return intent, err
			}
		} else if !errors.Is(err, envdb.ErrCondition) {
			return intent, fmt.Errorf("begin a backup of %s: %w", env, err)
		}
		id = id.Next()
	}
	return intent, envdb.Fail(envdb.ErrBusy, "no free backup id of %s from %s on", env, envdb.NewBackupID(intent.Started)).
		WithState("nothing was stored").WithNext("check this machine's clock, then run the command again")
}

// taken reports whether anything of the id exists already: a backup, what an
// earlier one left behind, or a mark.
func (r *Repository) taken(ctx context.Context, env string, id envdb.BackupID) (bool, error) {
	for _, prefix := range []string{r.keys.backup(env, id), r.keys.packsOfBackup(env, id)} {
		for _, err := range r.store.List(ctx, prefix) {
			if err != nil {
				return false, fmt.Errorf("begin a backup of %s: %w", env, err)
			}
			return true, nil
		}
	}
	marks, err := r.readMarks(ctx, env)
	if err != nil {
		return false, err
	}
	return marks.any[id], nil
}

// release deletes the intent of a backup that was committed or given up.
func (r *Repository) release(ctx context.Context, env string, id envdb.BackupID) error {
	if err := r.store.Delete(ctx, r.keys.intent(env, id)); err != nil {
		return fmt.Errorf("release backup %s of %s: %w", id, env, err)
	}
	return nil
}

// holds returns an error unless the intent is still there.
func (r *Repository) holds(ctx context.Context, intent Intent) error {
	got, err := r.readIntent(ctx, intent.Environment, intent.ID)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && got.Nonce != intent.Nonce) {
		return envdb.Fail(envdb.ErrInterrupted, "backup %s of %s was given up by somebody who took its writer for dead", intent.ID, intent.Environment).
			WithState("the backup was not stored; other backups are whole").
			WithNext("run `envdb backup %s` again", intent.Environment)
	}
	return err
}

func (r *Repository) readIntent(ctx context.Context, env string, id envdb.BackupID) (Intent, error) {
	intent := Intent{}
	key := r.keys.intent(env, id)
	text, _, err := readAll(ctx, r.store, key)
	if err != nil {
		return intent, fmt.Errorf("read the write intent %s of %s: %w", id, env, err)
	}
	if err := json.Unmarshal(text, &intent); err != nil {
		return intent, envdb.Fail(envdb.ErrVerification, "the write intent %s is damaged: %w", key, err).
			WithNext("if no backup of %s runs, delete that object from the store", env)
	}
	intent.Environment, intent.ID = env, id
	return intent, nil
}

// Intents returns the write intents of an environment: the backups that are
// being taken, and those whose writers died. The oldest is first.
func (r *Repository) Intents(ctx context.Context, env string) ([]Intent, error) {
	if err := checkName("environment", env); err != nil {
		return nil, err
	}
	var intents []Intent
	prefix := r.keys.intentsOf(env)
	for object, err := range r.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list the write intents of %s: %w", env, err)
		}
		id, err := envdb.ParseBackupID(strings.TrimPrefix(object.Key, prefix))
		if err != nil {
			continue
		}
		intent, err := r.readIntent(ctx, env, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // released meanwhile
		}
		if err != nil {
			return nil, err
		}
		intents = append(intents, intent)
	}
	return intents, nil
}
