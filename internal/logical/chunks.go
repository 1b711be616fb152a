package logical

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// ChunkWriter takes the chunks of a backup, from several goroutines at once.
// Put does not retain the chunk's Data. A part and ordinal are put once, unless
// the writer is a [Restarter] and was restarted in between.
type ChunkWriter interface {
	Put(ctx context.Context, c backup.Chunk) error
}

// Restarter is a ChunkWriter that can forget every chunk that was put so far,
// as if none had been. With one, Take begins again by itself after it yielded
// to somebody who waited for its locks; otherwise it fails with ErrBusy once
// it has put a chunk.
type Restarter interface {
	Restart(ctx context.Context) error
}

// ChunkReader reads the chunks of a backup, from several goroutines at once.
type ChunkReader interface {
	// Chunks returns the chunks of a part in the order of their ordinals.
	Chunks(part string) []backup.Ref
	// Fetch returns a chunk's verified content, in buf if it is large enough.
	Fetch(ctx context.Context, ref backup.Ref, buf []byte) ([]byte, error)
	// FetchRun returns the verified contents of a run of [backup.Runs], joined,
	// in buf if it is large enough.
	FetchRun(ctx context.Context, run []backup.Ref, buf []byte) ([]byte, error)
	// String returns the backup as people type it: ENV@ID.
	String() string
}

// another is what to do about a backup that is not what it should be.
func another(backup string) string {
	return fmt.Sprintf("run `envdb verify %s --read-data`, and use another backup", backup)
}

// ReadCatalogue reads the catalogue of a backup.
func ReadCatalogue(ctx context.Context, r ChunkReader) (*Catalogue, error) {
	refs := r.Chunks(PartCatalogue)
	if len(refs) == 0 {
		return nil, envdb.Fail(envdb.ErrVerification, "the backup has no catalogue").
			WithNext("%s", another(r.String()))
	}
	var text bytes.Buffer
	for _, ref := range refs {
		data, err := r.Fetch(ctx, ref, nil)
		if err != nil {
			return nil, fmt.Errorf("read the catalogue: %w", err)
		}
		text.Write(data)
	}
	var c Catalogue
	if err := json.Unmarshal(text.Bytes(), &c); err != nil {
		return nil, envdb.Fail(envdb.ErrVerification, "the backup's catalogue does not parse: %w", err).
			WithNext("%s", another(r.String()))
	}
	if c.Version > catalogueVersion {
		return nil, envdb.Fail(envdb.ErrPreflight, "the backup's catalogue has version %d, and this envdb knows %d", c.Version, catalogueVersion).
			WithNext("use a newer envdb")
	}
	return &c, nil
}
