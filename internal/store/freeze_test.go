package store_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/store/dir"
)

// freeze names a golden repository to make. It is apart from -update, and makes
// none again that exists: what was frozen stays.
var freeze = flag.String("freeze", "", "make the golden repository of this `name` in testdata/golden; NAME-sealed is encrypted")

// TestFreeze makes a golden repository, of a new version of the format, if it
// is asked to; otherwise it checks that it could.
func TestFreeze(t *testing.T) {
	t.Parallel()
	if *freeze == "" {
		for _, name := range []string{"try-none", "try-sealed"} {
			makeGolden(t, t.TempDir(), name)
		}
		return
	}
	if _, err := os.Stat(filepath.Join(goldenDir, *freeze)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s is frozen already (%v)", *freeze, err)
	}
	makeGolden(t, goldenDir, *freeze)
}

func makeGolden(t *testing.T, into, name string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), name)
	st, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	opts := backup.InitOptions{}
	if strings.HasSuffix(name, "-sealed") {
		for _, kind := range []seal.Kind{seal.Machine, seal.Recovery} {
			identity := freshIdentity(t, filepath.Join(into, name+"."+string(kind)+".txt"))
			opts.Recipients = append(opts.Recipients, seal.Slot{Name: string(kind) + "-1", Kind: kind, Recipient: identity.Recipient()})
			opts.Access.Identities = append(opts.Access.Identities, identity)
		}
	}
	repo, err := backup.Init(t.Context(), st, "acme", opts)
	if err != nil {
		t.Fatal(err)
	}
	made := golden{
		Project: "acme", Repository: repo.ID(), Mode: repo.Encryption().Mode, KeyID: repo.Encryption().KeyID,
		Identity: envdb.Identity{SystemIdentifier: "7654321", PostmasterStart: goldenStart, DatabaseOID: 5, Database: "shop"},
	}
	for n := 1; n <= 2; n++ {
		made.Backups = append(made.Backups, makeGoldenBackup(t, repo, n))
	}
	made.Backups[0].PinNote, made.Backups[1].GoodUntil = "vor der Migration", goldenStart.Add(3*time.Hour)
	for _, err := range []error{
		repo.Pin(t.Context(), "prod", made.Backups[0].ID, made.Backups[0].PinNote),
		repo.MarkGoodUntil(t.Context(), "prod", made.Backups[1].ID, made.Backups[1].GoodUntil),
		repo.RecordIdentity(t.Context(), "prod", made.Identity),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	makeGoldenRun(t, st, repo, &made)
	makeGoldenVoid(t, st)
	if err := os.RemoveAll(filepath.Join(root, ".envdb")); err != nil { // the store's own, no object
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(into, name), os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(into, name+".json"), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

var goldenStart = time.Date(2026, 11, 20, 14, 5, 0, 0, time.UTC)

func freshIdentity(t *testing.T, path string) seal.Identity {
	t.Helper()
	identity, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	text := "# of a repository for tests; it protects nothing\n# public key: " + identity.Recipient().String() + "\n" + identity.Text() + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return identity
}

func makeGoldenBackup(t *testing.T, repo *backup.Repository, n int) goldenBackup {
	t.Helper()
	now := goldenStart.Add(time.Duration(n) * time.Hour)
	w, err := repo.Create(t.Context(), "prod", backup.CreateOptions{Method: backup.Logical, Now: now, Note: "generation", Writer: "golden", Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	made := goldenBackup{ID: w.ID(), Point: now, GoodUntil: now, Note: "generation", Parts: map[string][]goldenChunk{}}
	for _, c := range goldenContent(n) {
		if err := w.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		made.Parts[c.Part] = append(made.Parts[c.Part], describe(c))
	}
	m, err := w.Commit(t.Context(), goldenDescription(now, made.rows()))
	if err != nil {
		t.Fatal(err)
	}
	made.Base, made.New = m.Base, m.Totals.NewChunks
	return made
}

// goldenDescription is what a backup of makeGolden's says of itself.
func goldenDescription(point time.Time, rows int64) backup.Description {
	return backup.Description{
		Point: point, Finished: point.Add(time.Minute), Tier: envdb.Tier("production"), Tables: 5, Rows: rows,
		Source: backup.Source{SystemIdentifier: "7654321", ServerVersion: 150018, Database: "shop"},
		Roles:  []backup.Role{{Name: "shop", Login: true, ConnectionLimit: -1}},
	}
}

// makeGoldenRun records one run that failed.
func makeGoldenRun(t *testing.T, st envdb.Store, repo *backup.Repository, made *golden) {
	t.Helper()
	l := ledger.New(st, made.Project, ledger.Config{
		Version: "golden", Host: "db-1", User: "ann", Seal: atOnce(repo.Seal), Unseal: atOnce(repo.Unseal), Now: func() time.Time { return goldenStart },
	})
	r, err := l.Begin(t.Context(), ledger.Run{Operation: envdb.OpBackup, Environment: "prod", Backup: made.Backups[1].ID})
	if err != nil {
		t.Fatal(err)
	}
	made.Run, made.RunError, made.LogLine = r.ID(), `value "ann@example.com" is out of range`, "table=customers"
	slog.New(r.Tee(nil)).Info("copied", "table", "customers")
	if err := r.Finish(t.Context(), errors.New(made.RunError), nil); err != nil {
		t.Fatal(err)
	}
}

// makeGoldenVoid leaves the trace of a backup that was given up.
func makeGoldenVoid(t *testing.T, st envdb.Store) {
	t.Helper()
	const key = "acme/backups/prod/20261120-180000/manifest"
	if _, err := st.Put(t.Context(), key, strings.NewReader("envdbvd1"), envdb.IfAbsent()); err != nil {
		t.Fatal(err)
	}
}
