package logical_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical"
)

// memory is a backup in memory, both ways. It refuses what a repository would:
// a chunk that is put twice.
type memory struct {
	mu       sync.Mutex
	chunks   map[string]map[uint64]backup.Chunk
	restarts int
	// onPut is called with each chunk before it is kept.
	onPut func(backup.Chunk) error
}

func newMemory() *memory { return &memory{chunks: make(map[string]map[uint64]backup.Chunk)} }

func (m *memory) Put(ctx context.Context, c backup.Chunk) error {
	if m.onPut != nil {
		if err := m.onPut(c); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.chunks[c.Part] == nil {
		m.chunks[c.Part] = make(map[uint64]backup.Chunk)
	}
	if _, twice := m.chunks[c.Part][c.Ordinal]; twice {
		return fmt.Errorf("chunk %d of %s was put twice", c.Ordinal, c.Part)
	}
	c.Data = bytes.Clone(c.Data)
	m.chunks[c.Part][c.Ordinal] = c
	return ctx.Err()
}

func (m *memory) Restart(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.chunks = make(map[string]map[uint64]backup.Chunk)
	m.restarts++
	return nil
}

func (m *memory) String() string { return "prod@20261120-140500" }

func (m *memory) Chunks(part string) []backup.Ref {
	m.mu.Lock()
	defer m.mu.Unlock()
	var refs []backup.Ref
	for _, c := range m.chunks[part] {
		refs = append(refs, backup.Ref{
			Part: c.Part, Ordinal: c.Ordinal, Rows: c.Rows, Fingerprint: c.Fingerprint,
			Size: int64(len(c.Data)), SHA256: sha256.Sum256(c.Data),
		})
	}
	slices.SortFunc(refs, func(a, b backup.Ref) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	return refs
}

func (m *memory) Fetch(_ context.Context, ref backup.Ref, _ []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.chunks[ref.Part][ref.Ordinal].Data, nil
}

func (m *memory) FetchRun(ctx context.Context, run []backup.Ref, _ []byte) ([]byte, error) {
	return joined(ctx, m.Fetch, run)
}

// joined fetches chunk after chunk.
func joined(ctx context.Context, fetch func(context.Context, backup.Ref, []byte) ([]byte, error), run []backup.Ref) ([]byte, error) {
	var all []byte
	for _, ref := range run {
		data, err := fetch(ctx, ref, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, data...)
	}
	return all, nil
}

// content returns a part from its first byte to its last.
func (m *memory) content(t *testing.T, part string) []byte {
	t.Helper()
	var all []byte
	for _, ref := range m.Chunks(part) {
		data, err := m.Fetch(t.Context(), ref, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	return all
}

// table returns a table of the catalogue by its name.
func table(t *testing.T, c *logical.Catalogue, name string) logical.Table {
	t.Helper()
	for _, table := range c.Tables {
		if table.Schema+"."+table.Name == name {
			return table
		}
	}
	var names []string
	for _, table := range c.Tables {
		names = append(names, table.Schema+"."+table.Name)
	}
	t.Fatalf("the catalogue has no table %s, but %s", name, strings.Join(names, ", "))
	return logical.Table{}
}
