package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/envdb/envdb"
)

func (l *Ledger) sharedKey(name string) string { return l.project + "/shared/" + escape(name) }

// Shared returns what daemons know in common under a name, and the condition
// under which it is still so. Nothing is an empty text. One that is damaged is
// ErrVerification, with the condition under which it can be replaced.
func (l *Ledger) Shared(ctx context.Context, name string) ([]byte, envdb.Condition, error) {
	key := l.sharedKey(name)
	sealed, object, err := l.read(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, envdb.IfAbsent(), nil
	}
	if err != nil {
		return nil, envdb.Condition{}, fmt.Errorf("read %s: %w", name, err)
	}
	raw, err := l.config.Unseal(ctx, key, sealed)
	if err != nil {
		return nil, envdb.IfMatch(object.Tag), fmt.Errorf("read %s: %w", name, err)
	}
	return raw, envdb.IfMatch(object.Tag), nil
}

// SetShared replaces it. When another daemon was faster, it is ErrCondition.
func (l *Ledger) SetShared(ctx context.Context, name string, text []byte, cond envdb.Condition) error {
	key := l.sharedKey(name)
	sealed, err := l.config.Seal(ctx, key, text)
	if err != nil {
		return err
	}
	if _, err := l.store.Put(ctx, key, bytes.NewReader(sealed), cond); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
