package backup

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/envdb/envdb"
)

const (
	manifestMagic = "envdbmf1"
	voidManifest  = "envdbvd1"
)

// errVoid is the content of a manifest's key after the backup was given up.
var errVoid = errors.New("the backup was given up")

// encodeManifest returns the object of a manifest, for its key.
func (c *codec) encodeManifest(m *Manifest, key string) ([]byte, error) {
	plain, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	stored := c.seal(c.frame(nil, plain), spot{object: key})
	sum := sha256.Sum256(plain)
	if c.sealed() { // nothing of the plaintext stands in the open
		sum = sha256.Sum256(stored)
	}
	object := append([]byte(manifestMagic), sum[:]...)
	return append(object, stored...), nil
}

// decodeManifest reads the object of a manifest under its key.
func (c *codec) decodeManifest(object []byte, key string) (*Manifest, error) {
	if string(object) == voidManifest {
		return nil, errVoid
	}
	header := len(manifestMagic) + sha256.Size
	if len(object) <= header || string(object[:len(manifestMagic)]) != manifestMagic {
		return nil, errors.New("it is cut short, or not a manifest")
	}
	plain, err := c.openManifest(object[header:], [sha256.Size]byte(object[len(manifestMagic):header]), key)
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(plain, m); err != nil {
		return nil, err
	}
	if m.Format > FormatVersion {
		return nil, envdb.Fail(envdb.ErrRefused, "it has format %d; this envdb reads formats up to %d", m.Format, FormatVersion).
			WithNext("use a newer envdb")
	}
	return m, nil
}

// openManifest returns the plaintext of what follows a manifest's header.
func (c *codec) openManifest(stored []byte, sum [sha256.Size]byte, key string) ([]byte, error) {
	if c.sealed() {
		if got := sha256.Sum256(stored); got != sum {
			return nil, fmt.Errorf("its SHA-256 is %x instead of %x", got, sum)
		}
	}
	frame, err := c.unseal(stored, spot{object: key})
	if err != nil {
		return nil, err
	}
	size, err := frameSize(frame)
	if err != nil {
		return nil, err
	}
	plain, err := c.open(nil, frame, size)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(plain); !c.sealed() && got != sum {
		return nil, fmt.Errorf("its SHA-256 is %x instead of %x", got, sum)
	}
	return plain, nil
}

// frameSize returns the size that a frame claims its plaintext has.
func frameSize(frame []byte) (int64, error) {
	if len(frame) < frameOverhead {
		return 0, errors.New("it is empty")
	}
	if frame[0] == frameRaw {
		return int64(len(frame) - frameOverhead), nil
	}
	var header zstd.Header
	if err := header.Decode(frame[1:]); err != nil {
		return 0, fmt.Errorf("zstd: %w", err)
	}
	if !header.HasFCS || header.FrameContentSize > largestSmallObject {
		return 0, fmt.Errorf("it announces %d bytes", header.FrameContentSize)
	}
	return int64(header.FrameContentSize), nil
}

// readManifest reads the manifest of a backup, once more if it is damaged.
// Its absence is fs.ErrNotExist, a backup that was given up errVoid.
func (r *Repository) readManifest(ctx context.Context, env string, id envdb.BackupID) (*Manifest, error) {
	m, err := r.readManifestOnce(ctx, env, id)
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		return r.readManifestOnce(ctx, env, id)
	}
	return m, err
}

func (r *Repository) readManifestOnce(ctx context.Context, env string, id envdb.BackupID) (*Manifest, error) {
	key := r.keys.manifest(env, id)
	object, _, err := readAll(ctx, r.store, key)
	if err != nil {
		return nil, fmt.Errorf("read the manifest of backup %s of %s: %w", id, env, err)
	}
	m, err := r.codec.decodeManifest(object, key)
	if err == nil {
		err = r.checkOrigin(m, env, id)
	}
	if errors.Is(err, errVoid) || errors.Is(err, envdb.ErrRefused) {
		return nil, fmt.Errorf("manifest %s: %w", key, err)
	}
	if err != nil {
		return nil, &DamagedError{Environment: env, Backup: id, Object: key, Reason: err}
	}
	return m, nil
}

// checkOrigin returns an error if the manifest was written for another key.
func (r *Repository) checkOrigin(m *Manifest, env string, id envdb.BackupID) error {
	for _, f := range []struct{ name, got, want string }{
		{"repository", m.Repository, r.id},
		{"project", m.Project, r.keys.project},
		{"environment", m.Environment, env},
		{"id", string(m.ID), string(id)},
	} {
		if f.got != f.want {
			return fmt.Errorf("it belongs elsewhere: its %s is %q instead of %q", f.name, f.got, f.want)
		}
	}
	return nil
}
