package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
)

const (
	keySize = 32
	// NonceSize is the room that [Key.SealInPlace] needs in front.
	NonceSize = 12
	tagSize   = 16
	// Overhead is how many bytes longer than its plaintext a sealed text is.
	Overhead = NonceSize + tagSize
	// idSize makes another key with the id of a given one as hard to find as
	// the key itself, up to 2^128 tries: a configuration pins a key by its id.
	idSize = 16
)

// ErrAuthentication says that a sealed text was not sealed with this key and
// these associated data: it was changed, belongs elsewhere, or the key is
// another.
var ErrAuthentication = errors.New("it does not open with the repository's key at this place: it was changed, cut short, put here from elsewhere, or sealed with another key")

// Key is the data key of a repository. The zero Key cannot be used. A Key is
// safe for concurrent use, and never shows its secret when it is printed.
type Key struct {
	secret *[keySize]byte // behind a pointer, so that no %v reaches it
	aead   cipher.AEAD
	id     string
}

// NewKey makes a random key.
func NewKey() (Key, error) {
	var secret [keySize]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return Key{}, fmt.Errorf("make a data key: %w", err)
	}
	return newKey(secret[:])
}

func newKey(secret []byte) (Key, error) {
	if len(secret) != keySize {
		return Key{}, fmt.Errorf("a data key has %d bytes, not %d", keySize, len(secret))
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return Key{}, fmt.Errorf("data key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return Key{}, fmt.Errorf("data key: %w", err)
	}
	id, err := hkdf.Key(sha256.New, secret, nil, "envdb1 key id", idSize)
	if err != nil {
		return Key{}, fmt.Errorf("data key: %w", err)
	}
	return Key{secret: (*[keySize]byte)(secret), aead: aead, id: hex.EncodeToString(id)}, nil
}

// ID returns the key's public fingerprint, 32 hex digits: whoever knows it can
// tell the key, and nothing else.
func (k Key) ID() string { return k.id }

// Seal appends the sealed plain to dst: nonce, ciphertext, tag. Only who opens
// it with the same associated data gets it back.
func (k Key) Seal(dst, plain, ad []byte) []byte {
	nonce := newNonce()
	return k.aead.Seal(append(dst, nonce[:]...), nonce[:], plain, ad)
}

// SealInPlace seals what lies behind the first NonceSize bytes of buf, in buf's
// memory if it has room for the tag, and returns all of it.
func (k Key) SealInPlace(buf, ad []byte) []byte {
	nonce := newNonce()
	copy(buf, nonce[:])
	return k.aead.Seal(buf[:NonceSize], nonce[:], buf[NonceSize:], ad)
}

// newNonce returns a random nonce. With one key, 2^32 of them (32 PiB in
// chunks of 8 MiB) collide with a probability of 2^-33.
func newNonce() (nonce [NonceSize]byte) {
	_, _ = rand.Read(nonce[:]) // never fails: crypto/rand ends the process instead
	return nonce
}

// Open appends the plaintext of sealed to dst. What was not sealed with this
// key and these associated data is ErrAuthentication.
func (k Key) Open(dst, sealed, ad []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, fmt.Errorf("%d bytes are too few: %w", len(sealed), ErrAuthentication)
	}
	plain, err := k.aead.Open(dst, sealed[:NonceSize], sealed[NonceSize:], ad)
	if err != nil {
		return nil, ErrAuthentication
	}
	return plain, nil
}

// OpenInPlace is Open into sealed's own memory, which it spoils on an error.
func (k Key) OpenInPlace(sealed, ad []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return k.Open(nil, sealed, ad)
	}
	return k.Open(sealed[NonceSize:NonceSize], sealed, ad)
}

// IsZero reports whether it is the zero Key.
func (k Key) IsZero() bool { return k.secret == nil }

// String returns the public fingerprint.
func (k Key) String() string { return "data key " + k.id }

// GoString returns the public fingerprint.
func (k Key) GoString() string { return k.String() }

// LogValue implements slog.LogValuer with the public fingerprint.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
