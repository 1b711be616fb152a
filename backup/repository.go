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
	"io/fs"
	"time"

	"github.com/envdb/envdb"
)

const noEncryption = "none"

// largestSmallObject bounds what is read into memory whole without its size
// being known beforehand: envdb.json, manifests, intents, marks.
const largestSmallObject = 256 << 20

// Repository is the backups of one project in a store. Its methods are safe
// for concurrent use.
type Repository struct {
	store envdb.Store
	keys  layout
	id    string
	codec *codec
}

// description is envdb.json.
type description struct {
	Format     int        `json:"format"`
	Repository string     `json:"repository"`
	Created    time.Time  `json:"created"`
	Encryption encryption `json:"encryption"`
}

type encryption struct {
	Mode string `json:"mode"`
}

// Init opens the repository in st, and makes it first if there is none.
func Init(ctx context.Context, st envdb.Store, project string) (*Repository, error) {
	repo, err := Open(ctx, st, project)
	if !errors.Is(err, envdb.ErrNotFound) {
		return repo, err
	}
	if err := refuseOrphans(ctx, st, project); err != nil {
		return nil, err
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("make a repository id: %w", err)
	}
	text, err := json.Marshal(description{
		Format: FormatVersion, Repository: hex.EncodeToString(id[:]),
		Created: time.Now().UTC().Truncate(time.Second), Encryption: encryption{Mode: noEncryption},
	})
	if err != nil {
		return nil, fmt.Errorf("describe the repository: %w", err)
	}
	_, err = st.Put(ctx, repositoryKey, bytes.NewReader(text), envdb.IfAbsent())
	if err != nil && !errors.Is(err, envdb.ErrCondition) {
		return nil, fmt.Errorf("create the repository: %w", err)
	}
	return Open(ctx, st, project)
}

// refuseOrphans fails if there are backups whose envdb.json was lost.
func refuseOrphans(ctx context.Context, st envdb.Store, project string) error {
	for object, err := range st.List(ctx, layout{project}.backups()) {
		if err != nil {
			return fmt.Errorf("create the repository: %w", err)
		}
		return envdb.Fail(envdb.ErrRefused, "the store has backups (%s) but no %s", object.Key, repositoryKey).
			WithState("nothing was changed").
			WithNext("bring %s back from a copy of the store; or name another store", repositoryKey)
	}
	return nil
}

// Open opens the repository in st. Without one the error is ErrNotFound.
func Open(ctx context.Context, st envdb.Store, project string) (*Repository, error) {
	if err := checkName("project", project); err != nil {
		return nil, err
	}
	text, _, err := readAll(ctx, st, repositoryKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, envdb.Fail(envdb.ErrNotFound, "the store holds no envdb repository: %w", err).
			WithNext("run `envdb init`; if there should be backups, check store.url and that its disk is mounted")
	}
	if err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	var d description
	if err := json.Unmarshal(text, &d); err != nil || d.Repository == "" || d.Format < 1 {
		return nil, envdb.Fail(envdb.ErrVerification, "%s is damaged: %v", repositoryKey, errors.Join(err, errors.New("format or repository is missing"))).
			WithNext("bring it back from a copy of the store")
	}
	if err := d.readable(); err != nil {
		return nil, err
	}
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &Repository{store: st, keys: layout{project}, id: d.Repository, codec: codec}, nil
}

// readable returns an error if a newer envdb made the repository.
func (d description) readable() error {
	if d.Format > FormatVersion {
		return envdb.Fail(envdb.ErrRefused, "the repository has format %d; this envdb reads formats up to %d", d.Format, FormatVersion).
			WithState("nothing was changed").WithNext("use a newer envdb")
	}
	if d.Encryption.Mode != noEncryption {
		return envdb.Fail(envdb.ErrRefused, "the repository is encrypted (mode %q), which this envdb cannot read", d.Encryption.Mode).
			WithState("nothing was changed").WithNext("use a newer envdb")
	}
	return nil
}

// ID returns the repository's id, which every manifest carries.
func (r *Repository) ID() string { return r.id }

// Project returns the project's name.
func (r *Repository) Project() string { return r.keys.project }

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
