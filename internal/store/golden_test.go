package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/store/dir"
)

// goldens are the frozen repositories in testdata/golden, one per version of
// the format and mode. They are never made again: whatever envdb becomes, it
// reads them. A new version of the format gets new ones (see freeze_test.go).
var goldens = []string{"v1-none", "v1-sealed"}

const goldenDir = "testdata/golden"

// golden is what a frozen repository holds.
type golden struct {
	Project    string         `json:"project"`
	Repository string         `json:"repository"`
	Mode       backup.Mode    `json:"mode"`
	KeyID      string         `json:"key_id,omitempty"`
	Backups    []goldenBackup `json:"backups"`
	Identity   envdb.Identity `json:"identity"` // of prod
	Run        string         `json:"run"`
	RunError   string         `json:"run_error"`
	LogLine    string         `json:"log_line"`
}

type goldenBackup struct {
	ID        envdb.BackupID           `json:"id"`
	Base      envdb.BackupID           `json:"base,omitempty"`
	Point     time.Time                `json:"point"`
	GoodUntil time.Time                `json:"good_until"`
	Note      string                   `json:"note"`
	PinNote   string                   `json:"pin_note,omitempty"`
	New       int64                    `json:"new_chunks"`
	Parts     map[string][]goldenChunk `json:"parts"`
}

type goldenChunk struct {
	Ordinal     uint64 `json:"ordinal"`
	Rows        int64  `json:"rows"`
	Fingerprint string `json:"fingerprint"`
	Size        int64  `json:"size"`
	SHA256      string `json:"sha256"`
}

// rows counts those of all parts.
func (b goldenBackup) rows() (n int64) {
	for _, chunks := range b.Parts {
		for _, c := range chunks {
			n += c.Rows
		}
	}
	return n
}

func describe(c backup.Chunk) goldenChunk {
	return goldenChunk{
		Ordinal: c.Ordinal, Rows: c.Rows, Size: int64(len(c.Data)), SHA256: hexSum(c.Data),
		Fingerprint: fmt.Sprintf("%016x%016x", c.Fingerprint.Hi, c.Fingerprint.Lo),
	}
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// loadGolden returns what a frozen repository holds, and a copy of it that may
// be written to.
func loadGolden(t *testing.T, name string) (golden, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(root, os.DirFS(filepath.Join(goldenDir, name))); err != nil {
		t.Fatal(err)
	}
	return readGolden(t, goldenDir, name), root
}

// readGolden returns what a repository of makeGolden's, in a folder, holds.
func readGolden(t *testing.T, in, name string) (want golden) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(in, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

// goldenAccess opens a frozen repository with one of its two identities.
func goldenAccess(t *testing.T, want golden, name, identity string) backup.Access {
	t.Helper()
	if want.Mode == backup.NotEncrypted {
		return backup.Access{}
	}
	text, err := os.ReadFile(filepath.Join(goldenDir, name+"."+identity+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := seal.ParseIdentity(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return backup.Access{Identities: []seal.Identity{parsed}, KeyID: want.KeyID, Required: true}
}

// Every frozen repository is opened, listed and read, chunk by chunk, and is
// the base of a new backup.
func TestGoldenRepositories(t *testing.T) {
	t.Parallel()
	for _, name := range goldens {
		for _, identity := range []string{"machine", "recovery"} {
			t.Run(name+"/"+identity, func(t *testing.T) {
				t.Parallel()
				want, root := loadGolden(t, name)
				st, err := dir.Open(root)
				if err != nil {
					t.Fatal(err)
				}
				repo, err := backup.Open(t.Context(), st, want.Project, goldenAccess(t, want, name, identity))
				if err != nil {
					t.Fatal(err)
				}
				if got := repo.Encryption(); repo.ID() != want.Repository || got.Mode != want.Mode || got.KeyID != want.KeyID {
					t.Errorf("repository %s, %+v", repo.ID(), got)
				}
				if got, err := repo.Identity(t.Context(), "prod"); err != nil || got != want.Identity {
					t.Errorf("identity: got %+v, %v", got, err)
				}
				goldenBackups(t, repo, want)
				goldenRun(t, st, repo, want)
				goldenIsABase(t, repo, want)
			})
		}
	}
}

func goldenBackups(t *testing.T, repo *backup.Repository, want golden) {
	t.Helper()
	backups, err := repo.List(t.Context(), "prod")
	if err != nil || len(backups) != len(want.Backups) {
		t.Fatalf("got %d backups, %v, want %d", len(backups), err, len(want.Backups))
	}
	for i, b := range backups {
		w := want.Backups[i]
		if b.ID() != w.ID || !b.Usable() || !b.Manifest.Point.Equal(w.Point) || !b.GoodUntil.Equal(w.GoodUntil) ||
			b.Manifest.Base != w.Base || b.Manifest.Note != w.Note || b.PinNote != w.PinNote || b.Manifest.Totals.NewChunks != w.New {
			t.Errorf("got %+v of %+v, want %+v", b, b.Manifest, w)
		}
		if got, d := b.Manifest, goldenDescription(w.Point, w.rows()); got.Tier != d.Tier || !reflect.DeepEqual(got.Source, d.Source) ||
			!reflect.DeepEqual(got.Roles, d.Roles) || !got.Finished.Equal(d.Finished) || got.Totals.Tables != d.Tables || got.Totals.Rows != d.Rows || got.Writer != "golden" {
			t.Errorf("got %+v, want what %+v says", got, d)
		}
		reader, err := repo.Open(t.Context(), b.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		if got := reader.Parts(); !slices.Equal(got, slices.Sorted(maps.Keys(w.Parts))) {
			t.Errorf("backup %s has the parts %q", b.ID(), got)
		}
		for part, chunks := range w.Parts {
			goldenPart(t, reader, part, chunks)
		}
	}
	report, err := repo.Verify(t.Context(), "prod", "", backup.VerifyOptions{ReadData: true})
	if err != nil || !report.OK() {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

func goldenPart(t *testing.T, reader *backup.Reader, part string, want []goldenChunk) {
	t.Helper()
	refs := reader.Chunks(part)
	if len(refs) != len(want) {
		t.Errorf("part %q has %d chunks, want %d", part, len(refs), len(want))
		return
	}
	for i, ref := range refs {
		data, err := reader.Fetch(t.Context(), ref, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := describe(backup.Chunk{Ordinal: ref.Ordinal, Rows: ref.Rows, Fingerprint: ref.Fingerprint, Data: data})
		if got != want[i] {
			t.Errorf("part %q: got %+v, want %+v", part, got, want[i])
		}
	}
}

// atOnce adapts what seals without waiting for anything.
func atOnce(f func(string, []byte) ([]byte, error)) func(context.Context, string, []byte) ([]byte, error) {
	return func(_ context.Context, key string, b []byte) ([]byte, error) { return f(key, b) }
}

// goldenRun reads the one run of a frozen repository.
func goldenRun(t *testing.T, st envdb.Store, repo *backup.Repository, want golden) {
	t.Helper()
	l := ledger.New(st, want.Project, ledger.Config{Seal: atOnce(repo.Seal), Unseal: atOnce(repo.Unseal)})
	run, err := l.Run(t.Context(), want.Run)
	if err != nil || run.Outcome != ledger.Failed || run.Error != want.RunError || run.Environment != "prod" {
		t.Errorf("got the run %+v, %v", run, err)
	}
	log, err := l.Log(t.Context(), want.Run)
	if err != nil || !strings.Contains(string(log), want.LogLine) {
		t.Errorf("got the log %q, %v", log, err)
	}
}

// goldenIsABase takes a backup with one chunk more than the newest has.
func goldenIsABase(t *testing.T, repo *backup.Repository, want golden) {
	t.Helper()
	newest := want.Backups[len(want.Backups)-1]
	w, err := repo.Create(t.Context(), "prod", backup.CreateOptions{Method: backup.Logical})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(goldenContent(len(want.Backups)), backup.Chunk{Part: "table/new", Data: []byte("one more")}) {
		if err := w.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Commit(t.Context(), backup.Description{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Base != newest.ID || m.Totals.NewChunks != 1 {
		t.Errorf("a new backup has the base %s and stored %d chunks, want %s and 1", m.Base, m.Totals.NewChunks, newest.ID)
	}
}

// goldenContent is the chunks of generation n, from 1: rows that compress and
// noise that does not, an empty chunk, far ordinals, and four blocks of the
// index, of which the second generation changes two.
func goldenContent(n int) []backup.Chunk {
	var chunks []backup.Chunk
	add := func(part string, ordinal uint64, rows int64, data []byte) {
		sum := sha256.Sum256(data)
		fingerprint := envdb.Fingerprint{Hi: uint64(sum[0])<<56 | uint64(rows), Lo: uint64(sum[1])}
		chunks = append(chunks, backup.Chunk{Part: part, Ordinal: ordinal, Rows: rows, Fingerprint: fingerprint, Data: data})
	}
	add("catalogue", 0, 0, fmt.Appendf(nil, `{"generation":%d}`, n))
	add("table/empty", 0, 0, nil)
	add("table/größe", 1<<63, 3, []byte("1\tgroß\n2\tklein\n3\t\\N\n"))
	for i := range 4 {
		add("table/noise", uint64(i)<<32, 1, goldenNoise(i, 3000))
		add("table/rows", uint64(i)<<32|7, 500, []byte(strings.Repeat(fmt.Sprintf("%d\tann@example.com\t2026-11-20\n", i*n), 500)))
	}
	for i := uint64(2400); i < 2560; i++ { // blocks of the index begin at 2410, 2520 and 2551
		generation := 1
		if i == 2530 {
			generation = n
		}
		add("table/small", i, 1, fmt.Appendf(nil, "row %d of generation %d\n", i, generation))
	}
	return chunks
}

// goldenNoise returns bytes that do not compress, the same on every machine.
func goldenNoise(seed, n int) []byte {
	var noise []byte
	for i := 0; len(noise) < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", seed, i))
		noise = append(noise, sum[:]...)
	}
	return noise[:n]
}

// The frozen repositories are small enough to carry along.
func TestGoldenRepositoriesAreSmall(t *testing.T) {
	t.Parallel()
	for _, name := range goldens {
		var size int64
		err := fs.WalkDir(os.DirFS(goldenDir), name, func(_ string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			size += info.Size()
			return err
		})
		if err != nil || size == 0 || size > 200<<10 {
			t.Errorf("%s has %d bytes, %v", name, size, err)
		}
	}
}
