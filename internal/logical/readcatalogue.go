package logical

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/envdb/envdb/backup"
)

// readCatalogue reads, in the leader's session, everything of the catalogue
// that the copying does not need.
func (a *attempt) readCatalogue(ctx context.Context) error {
	steps := []func(context.Context) error{
		a.readSequences,
		a.readNames,
		a.readMaterializedViews,
		a.readRoles,
		a.readMigration,
		a.readInventory,
		a.checkTexts,
		a.leaveOutSubscriptions,
		a.copyBlobOwners,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// writeCatalogue writes the catalogue, which now knows what was read.
func (a *attempt) writeCatalogue(ctx context.Context) error {
	a.catalogue.Tables = make([]Table, 0, len(a.sources))
	for _, s := range a.sources {
		a.catalogue.Tables = append(a.catalogue.Tables, s.table)
	}
	text, err := json.Marshal(a.catalogue)
	if err != nil {
		return fmt.Errorf("encode the catalogue: %w", err)
	}
	return a.putStream(ctx, PartCatalogue, bytes.NewReader(text))
}

// streamChunk is the size of a chunk that is no rows.
const streamChunk = 4 << 20

// putStream writes a part that is a stream of bytes.
func (a *attempt) putStream(ctx context.Context, part string, r io.Reader) error {
	buf := make([]byte, streamChunk)
	for ordinal := uint64(0); ; ordinal++ {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := a.put.Put(ctx, backup.Chunk{Part: part, Ordinal: ordinal, Data: buf[:n]}); err != nil {
				return &storing{what: part, err: err}
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
