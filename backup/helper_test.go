package backup_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
)

var start = time.Date(2026, 11, 20, 14, 5, 0, 0, time.UTC)

// content is the parts of a backup and their chunks.
type content map[string][][]byte

// mode is how the repositories of a test are encrypted.
type mode struct {
	backup.Mode
	access     backup.Access
	recipients []seal.Slot
}

// inBothModes runs a test on repositories that are not encrypted, and on ones
// that are: what holds for one holds for the other.
func inBothModes(t *testing.T, test func(*testing.T, mode)) {
	t.Parallel()
	for _, m := range []mode{plain(), encrypted(t)} {
		t.Run(string(m.Mode), func(t *testing.T) { test(t, m) })
	}
}

func plain() mode { return mode{Mode: backup.NotEncrypted} }

func encrypted(t testing.TB) mode {
	t.Helper()
	identity := newIdentity(t)
	return mode{
		Mode:       backup.AES256GCM,
		access:     backup.Access{Identities: []seal.Identity{identity}, Required: true},
		recipients: []seal.Slot{{Name: "here", Kind: seal.Machine, Recipient: identity.Recipient()}},
	}
}

func newIdentity(t testing.TB) seal.Identity {
	t.Helper()
	identity, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// repository makes a repository in st, or opens the one that is there.
func (m mode) repository(t testing.TB, st envdb.Store) *backup.Repository {
	t.Helper()
	repo, err := backup.Init(context.Background(), st, "acme", backup.InitOptions{Recipients: m.recipients, Access: m.access})
	if err != nil {
		t.Fatal(err)
	}
	if got := repo.Encryption().Mode; got != m.Mode {
		t.Fatalf("the repository has the mode %q, want %q", got, m.Mode)
	}
	return repo
}

// open opens the repository in st.
func (m mode) open(t testing.TB, st envdb.Store) *backup.Repository {
	t.Helper()
	repo, err := backup.Open(context.Background(), st, "acme", m.access)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// take stores the content as a backup of prod; it gives up on an error, as
// callers do.
func take(ctx context.Context, repo *backup.Repository, c content) (*backup.Manifest, error) {
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start, Run: "run", Note: "a note"})
	if err != nil {
		return nil, err
	}
	for part, chunks := range c {
		for i, data := range chunks {
			if err := w.Put(ctx, chunk(part, i, data)); err != nil {
				_ = w.Abort(ctx) // the store fails on purpose
				return nil, err
			}
		}
	}
	m, err := w.Commit(ctx, backup.Description{Point: start, Finished: start.Add(time.Minute), Tables: len(c), Rows: 7})
	if err != nil {
		_ = w.Abort(ctx)
	}
	return m, err
}

func chunk(part string, ordinal int, data []byte) backup.Chunk {
	return backup.Chunk{
		Part: part, Ordinal: uint64(ordinal), Rows: int64(len(data)),
		Fingerprint: envdb.Fingerprint{Hi: uint64(ordinal), Lo: uint64(len(data))}, Data: data,
	}
}

func mustTake(t testing.TB, repo *backup.Repository, c content) *backup.Manifest {
	t.Helper()
	m, err := take(context.Background(), repo, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// same returns an error unless the backup has exactly the content.
func same(ctx context.Context, repo *backup.Repository, m *backup.Manifest, want content) error {
	reader, err := repo.Open(ctx, m)
	if err != nil {
		return err
	}
	parts := 0
	for part, chunks := range want {
		refs := reader.Chunks(part)
		if len(refs) != len(chunks) {
			return fmt.Errorf("part %q has %d chunks, want %d", part, len(refs), len(chunks))
		}
		if len(chunks) > 0 {
			parts++
		}
		var buf []byte
		for i, ref := range refs {
			if buf, err = reader.Fetch(ctx, ref, buf); err != nil {
				return err
			}
			put := chunk(part, i, chunks[i])
			if !bytes.Equal(buf, chunks[i]) || ref.Ordinal != put.Ordinal || ref.Rows != put.Rows || ref.Fingerprint != put.Fingerprint || ref.Size != int64(len(chunks[i])) {
				return fmt.Errorf("part %q, chunk %d differs: %+v", part, i, ref)
			}
		}
		stream := reader.Stream(ctx, part)
		whole, err := io.ReadAll(stream)
		if err != nil || !bytes.Equal(whole, bytes.Join(chunks, nil)) {
			return fmt.Errorf("the stream of part %q differs, %w", part, err)
		}
		if err := stream.Close(); err != nil {
			return err
		}
	}
	if got := len(reader.Parts()); got != parts {
		return fmt.Errorf("it has %d parts, want %d", got, parts)
	}
	return nil
}

// noise returns bytes that do not compress, the same for the same seed.
func noise(seed, n int) []byte {
	block, err := aes.NewCipher(fmt.Appendf(nil, "%016d", seed))
	if err != nil {
		panic(err)
	}
	data := make([]byte, n)
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(data, data)
	return data
}

func tables(n, chunks, size int) content {
	c := content{"catalogue": {[]byte(`{"version":1}`)}}
	for i := range n {
		part := fmt.Sprintf("table/%d", i)
		for j := range chunks {
			c[part] = append(c[part], noise(i*chunks+j, size))
		}
	}
	return c
}

func list(t testing.TB, repo *backup.Repository) []backup.Backup {
	t.Helper()
	backups, err := repo.List(context.Background(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	return backups
}

func flip(data []byte) []byte   { data[len(data)/2] ^= 0x10; return data }
func cut(data []byte) []byte    { return data[:len(data)-1] }
func empty([]byte) []byte       { return []byte{} }
func remove([]byte) []byte      { return nil }
func garble(data []byte) []byte { copy(data, "what is this?"); return data }
