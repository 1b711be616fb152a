package backup

import (
	"fmt"

	"github.com/envdb/envdb"
)

// Seal returns what is stored of plain under a key of the store: a log, a run's
// record, a report. In a repository that is not encrypted that is plain itself.
// It opens under no other key; an older content of the same key does.
func (r *Repository) Seal(key string, plain []byte) ([]byte, error) {
	if len(plain) > largestSmallObject {
		return nil, fmt.Errorf("seal %s: %d bytes are too many", key, len(plain))
	}
	if !r.codec.sealed() {
		return plain, nil
	}
	return r.codec.seal(r.codec.frame(nil, plain), spot{object: key}), nil
}

// Unseal returns the plaintext of what Seal returned for the same key. What
// was changed, or sealed for another key, is an ErrVerification.
func (r *Repository) Unseal(key string, sealed []byte) ([]byte, error) {
	if !r.codec.sealed() {
		return sealed, nil
	}
	plain, err := r.codec.unsealObject(key, sealed)
	if err != nil {
		return nil, envdb.Fail(envdb.ErrVerification, "%s is damaged: %w", key, err).
			WithNext("compare it with a copy of the store, and find out who can write there")
	}
	return plain, nil
}

// unsealObject opens a frame that is an object of its own.
func (c *codec) unsealObject(key string, sealed []byte) ([]byte, error) {
	frame, err := c.key.Open(nil, sealed, c.associated(spot{object: key}))
	if err != nil {
		return nil, err
	}
	size, err := frameSize(frame)
	if err != nil {
		return nil, err
	}
	return c.open(nil, frame, size)
}
