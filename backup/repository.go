package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup/seal"
)

// largestSmallObject bounds what is read into memory whole without its size
// being known beforehand: envdb.json, manifests, intents, marks.
const largestSmallObject = 256 << 20

// Repository is the backups of one project in a store. Its methods are safe
// for concurrent use.
type Repository struct {
	store      envdb.Store
	keys       layout
	id         string
	encryption Encryption
	pinned     bool // the caller knew the data key beforehand
	codec      *codec
	changes    changes
}

// InitOptions says what Init makes if there is no repository yet.
type InitOptions struct {
	// Recipients are the first key slots, without what is wrapped; one of them
	// must belong to an identity of Access. None makes a repository that is not
	// encrypted, for ever.
	Recipients []seal.Slot
	Access     Access
}

// Init opens the repository in st, and makes it first if there is none.
func Init(ctx context.Context, st envdb.Store, project string, opts InitOptions) (*Repository, error) {
	repo, err := Open(ctx, st, project, opts.Access)
	if !errors.Is(err, envdb.ErrNotFound) {
		return repo, err
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	if err := refuseOrphans(ctx, st, project); err != nil {
		return nil, err
	}
	text, err := newDescription(opts.Recipients)
	if err != nil {
		return nil, err
	}
	_, err = st.Put(ctx, repositoryKey, bytes.NewReader(text), envdb.IfAbsent())
	if err != nil && !errors.Is(err, envdb.ErrCondition) && !wasStored(ctx, st, repositoryKey, text) {
		return nil, fmt.Errorf("create the repository: %w", err)
	}
	return Open(ctx, st, project, opts.Access)
}

// CheckNew returns the error that Init gives for a store without a repository
// whatever its recipients are: before somebody makes keys for nothing. keyID is
// the data key that the repository should have, empty for a new one.
func CheckNew(ctx context.Context, st envdb.Store, project, keyID string) error {
	if err := refuseOrphans(ctx, st, project); err != nil {
		return err
	}
	return InitOptions{Access: Access{KeyID: keyID}}.check()
}

// newDescription returns the envdb.json of a new repository.
func newDescription(recipients []seal.Slot) ([]byte, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("make a repository id: %w", err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	encryption, err := newEncryption(recipients, now)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(description{
		Format: FormatVersion, Repository: hex.EncodeToString(id[:]), Created: now, Encryption: encryption,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe the repository: %w", err)
	}
	return append(text, '\n'), nil
}

// refuseOrphans fails if there are backups whose envdb.json was lost.
func refuseOrphans(ctx context.Context, st envdb.Store, project string) error {
	for object, err := range st.List(ctx, layout{project}.backups()) {
		if err != nil {
			return fmt.Errorf("create the repository: %w", err)
		}
		return envdb.Fail(envdb.ErrRefused, "the store has backups (%s) but no %s", object.Key, repositoryKey).
			WithState("nothing was changed").
			WithNext("bring %s back from its copy (docs/keys.md); or name another store", repositoryKey)
	}
	return nil
}

// Open opens the repository in st. Without one the error is ErrNotFound.
func Open(ctx context.Context, st envdb.Store, project string, access Access) (*Repository, error) {
	if err := checkName("project", project); err != nil {
		return nil, err
	}
	d, _, _, err := readDescription(ctx, st)
	if err != nil {
		return nil, err
	}
	codec, err := newCodec(d.Repository)
	if err != nil {
		return nil, err
	}
	if codec.key, err = access.unlock(d.Encryption); err != nil {
		return nil, err
	}
	return &Repository{
		store: st, keys: layout{project}, id: d.Repository, codec: codec,
		encryption: d.Encryption.public(), pinned: access.KeyID != "",
	}, nil
}

// ID returns the repository's id, which every manifest carries.
func (r *Repository) ID() string { return r.id }

// Project returns the project's name.
func (r *Repository) Project() string { return r.keys.project }

// wasStored reports whether a Put that failed was done, and only its answer was
// lost. It asks for a while after ctx has ended.
func wasStored(ctx context.Context, st envdb.Store, key string, content []byte) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupPatience)
	defer cancel()
	got, _, err := readAll(ctx, st, key)
	return err == nil && bytes.Equal(got, content)
}

// readAll reads a small object whole.
func readAll(ctx context.Context, st envdb.Store, key string) (_ []byte, _ envdb.Object, err error) {
	body, object, err := st.Get(ctx, key, envdb.Span{})
	if err != nil {
		return nil, object, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if object.Size > largestSmallObject {
		return nil, object, fmt.Errorf("read %s: %d bytes are more than it can have", key, object.Size)
	}
	data, err := io.ReadAll(io.LimitReader(body, largestSmallObject))
	if err != nil {
		return nil, object, fmt.Errorf("read %s: %w", key, err)
	}
	return data, object, nil
}
