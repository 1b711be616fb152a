package backup_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
)

const (
	firstID, secondID = "20261120-140500", "20261120-140501"
	chunkSize         = 1000
)

// two returns a store with two backups of the same shape: the pack and the
// index of the one have the size of the other's, so that only what they are
// sealed for tells them apart.
func two(t *testing.T, in mode) (*memory, *backup.Repository, content) {
	t.Helper()
	shaped := func(from int) content {
		c := content{}
		for i := range 4 {
			c["table/1"] = append(c["table/1"], noise(from+i, chunkSize))
		}
		return c
	}
	for from := 10; from < 1000; from += 10 {
		st := newMemory()
		repo := in.repository(t, st)
		mustTake(t, repo, shaped(0))
		c := shaped(from)
		m := mustTake(t, repo, c)
		if m.ID != secondID || len(m.Packs) != 1 {
			t.Fatalf("got %+v", m)
		}
		if len(st.objects[object(firstID, "index")]) == len(st.objects[object(secondID, "index")]) {
			return st, repo, c
		}
	}
	t.Fatal("no two indexes have the same size")
	return nil, nil, nil
}

func object(id, name string) string { return "acme/backups/prod/" + id + "/" + name }
func pack(id string) string         { return "acme/packs/prod/" + id + "/000001" }

// Whoever writes to the store but has no key cannot make a backup pass for what
// it is not: what was swapped, replayed, cut short or flipped is detected, and
// the error names the environment, the backup, the object and the chunk.
func TestTamperingIsNamed(t *testing.T) {
	t.Parallel()
	const frame = chunkSize + 1 + seal.Overhead
	at := func(i int) int { return 8 + i*frame } // of a chunk in its pack
	for _, test := range []struct {
		name, object string
		tamper       func(st *memory) []byte // the new content of the object
		says         []string
	}{
		{"pack of another backup", pack(secondID), func(st *memory) []byte { return st.objects[pack(firstID)] }, []string{"chunk 0 of part \"table/1\" at byte 8"}},
		{"two chunks of a pack swapped", pack(secondID), func(st *memory) []byte {
			b := st.objects[pack(secondID)]
			return slices.Concat(b[:at(1)], b[at(2):at(3)], b[at(1):at(2)], b[at(3):])
		}, []string{"chunk 1 of part"}},
		{"chunk of another pack", pack(secondID), func(st *memory) []byte {
			b := bytes.Clone(st.objects[pack(secondID)])
			copy(b[at(2):at(3)], st.objects[pack(firstID)][at(2):])
			return b
		}, []string{"chunk 2 of part"}},
		{"chunk repeated", pack(secondID), func(st *memory) []byte {
			b := bytes.Clone(st.objects[pack(secondID)])
			copy(b[at(3):], b[at(0):at(1)])
			return b
		}, []string{"chunk 3 of part"}},
		{"pack cut short", pack(secondID), func(st *memory) []byte { return st.objects[pack(secondID)][:at(3)+5] }, []string{"chunk 3 of part", "cut short"}},
		{"chunk flipped", pack(secondID), func(st *memory) []byte {
			b := bytes.Clone(st.objects[pack(secondID)])
			b[at(1)+seal.NonceSize+20] ^= 1
			return b
		}, []string{"chunk 1 of part"}},
		{"nonce flipped", pack(secondID), func(st *memory) []byte {
			b := bytes.Clone(st.objects[pack(secondID)])
			b[at(1)] ^= 1
			return b
		}, []string{"chunk 1 of part"}},
		{"index of another backup", object(secondID, "index"), func(st *memory) []byte { return st.objects[object(firstID, "index")] }, []string{"block at byte 8"}},
		{"index flipped", object(secondID, "index"), func(st *memory) []byte { return flip(bytes.Clone(st.objects[object(secondID, "index")])) }, []string{"block at byte 8"}},
		{"index cut short", object(secondID, "index"), func(st *memory) []byte { return cut(st.objects[object(secondID, "index")]) }, []string{"block at byte 8", "cut short"}},
		{"manifest of another backup", object(secondID, "manifest"), func(st *memory) []byte { return st.objects[object(firstID, "manifest")] }, []string{"put here from elsewhere"}},
		{"manifest flipped", object(secondID, "manifest"), func(st *memory) []byte { return flip(bytes.Clone(st.objects[object(secondID, "manifest")])) }, []string{"SHA-256"}},
		{"manifest cut short", object(secondID, "manifest"), func(st *memory) []byte { return cut(st.objects[object(secondID, "manifest")]) }, []string{"SHA-256"}},
		{"manifest in clear", object(secondID, "manifest"), func(*memory) []byte { return []byte("envdbmf1" + strings.Repeat("x", 32) + "\x00{}") }, []string{"SHA-256"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st, repo, c := two(t, encrypted(t))
			m := list(t, repo)[1].Manifest
			tampered := test.tamper(st)
			if strings.Contains(test.name, "of another") && !strings.HasPrefix(test.name, "manifest") && len(tampered) != len(st.objects[test.object]) {
				t.Fatalf("it has %d bytes instead of %d: that alone would tell", len(tampered), len(st.objects[test.object]))
			}
			st.change(test.object, func([]byte) []byte { return tampered })
			err := same(t.Context(), repo, m, c)
			if strings.HasSuffix(test.object, "manifest") {
				err = list(t, repo)[1].Err
			}
			var damaged *backup.DamagedError
			if !errors.As(err, &damaged) {
				t.Fatalf("got %v, want a DamagedError", err)
			}
			if damaged.Environment != "prod" || damaged.Backup != secondID || damaged.Object != test.object {
				t.Errorf("it names %q of backup %s of %s", damaged.Object, damaged.Backup, damaged.Environment)
			}
			for _, says := range append(test.says, "prod", secondID, test.object) {
				if !strings.Contains(told(err), says) {
					t.Errorf("it does not say %q:\n%s", says, told(err))
				}
			}
			hash := strings.Contains(test.name, "manifest") && !strings.Contains(test.name, "another")
			if !hash && !strings.Contains(test.name, "cut short") && !errors.Is(err, seal.ErrAuthentication) {
				t.Errorf("only its hash tells: %v", err)
			}
			report, err := repo.Verify(t.Context(), "prod", "", backup.VerifyOptions{ReadData: true})
			if err != nil || !slices.Contains(report.Bad, test.object) {
				t.Errorf("the verification found %+v, %v", report, err)
			}
		})
	}
}

// A backup copied as a whole to another name, environment or project does not
// open there, though every object of it is whole.
func TestBackupsDoNotOpenElsewhere(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, project, env, id string }{
		{"later", "acme", "prod", "20270101-000000"},
		{"another environment", "acme", "qa", firstID},
		{"another project", "globex", "prod", firstID},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := encrypted(t)
			st, _, _ := two(t, in)
			for _, kind := range []string{"backups", "packs"} {
				from := fmt.Sprintf("acme/%s/prod/%s/", kind, firstID)
				for _, key := range st.keys(from) {
					to := fmt.Sprintf("%s/%s/%s/%s/", test.project, kind, test.env, test.id) + strings.TrimPrefix(key, from)
					st.set(to, st.objects[key])
				}
			}
			repo, err := backup.Open(t.Context(), st, test.project, in.access)
			if err != nil {
				t.Fatal(err)
			}
			b, err := repo.Find(t.Context(), test.env, envdb.BackupID(test.id))
			if err != nil || !errors.Is(b.Err, seal.ErrAuthentication) || !errors.Is(b.Err, envdb.ErrVerification) {
				t.Errorf("got %+v, %v", b, err)
			}
		})
	}
}

// Who can write to the store replaces envdb.json by one with a data key of
// theirs, wrapped for our recipients, to read the next backups.
func TestReplacedKey(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	in := encrypted(t)
	st, repo, _ := two(t, in)
	foreign := newMemory()
	evil := newIdentity(t)
	_, err := backup.Init(ctx, foreign, "acme", backup.InitOptions{
		Recipients: append([]seal.Slot{{Name: "there", Kind: seal.Machine, Recipient: evil.Recipient()}}, in.recipients...),
		Access:     backup.Access{Identities: []seal.Identity{evil}},
	})
	if err != nil {
		t.Fatal(err)
	}
	// They even keep the repository's id.
	st.change("envdb.json", func([]byte) []byte {
		var d map[string]any
		if err := json.Unmarshal(foreign.objects["envdb.json"], &d); err != nil {
			t.Fatal(err)
		}
		d["repository"] = repo.ID()
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return text
	})

	pinned := in.access
	pinned.KeyID = repo.Encryption().KeyID
	if _, err := backup.Open(ctx, st, "acme", pinned); !errors.Is(err, envdb.ErrRefused) || !strings.Contains(told(err), "replaced") {
		t.Errorf("pinned: got %s", told(err))
	}

	unpinned := in.open(t, st)
	before := len(st.objects)
	if _, err := unpinned.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start}); !errors.Is(err, envdb.ErrRefused) || !strings.Contains(told(err), "replaced") {
		t.Errorf("unpinned: a backup was begun: %s", told(err))
	}
	if len(st.objects) != before {
		t.Errorf("it stored something: %q", st.keys("acme"))
	}
	for _, b := range list(t, unpinned) {
		if !errors.Is(b.Err, seal.ErrAuthentication) {
			t.Errorf("backup %s: got %v", b.ID(), b.Err)
		}
	}

	// If it was meant, it is said.
	meant := in.access
	meant.KeyID = unpinned.Encryption().KeyID
	known, err := backup.Open(ctx, st, "acme", meant)
	if err != nil {
		t.Fatal(err)
	}
	m := mustTake(t, known, content{"a": {[]byte("x")}})
	if m.Base != "" {
		t.Errorf("it refers to %s, which it cannot read", m.Base)
	}
}

// Whatever one object is replaced by, cut to or spliced with: a backup reads as
// it was written, or not at all, and the error names an object of the store.
func TestNoTamperingPasses(t *testing.T) { inBothModes(t, testNoTamperingPasses) }

func testNoTamperingPasses(t *testing.T, in mode) {
	t.Parallel()
	original := newMemory()
	repo := in.repository(t, original)
	contents := []content{tables(2, 3, 200), tables(3, 2, 300)}
	var manifests []*backup.Manifest
	for _, c := range contents {
		manifests = append(manifests, mustTake(t, repo, c))
	}
	keys := append(original.keys("/backups/"), original.keys("/packs/")...)
	rapid.Check(t, func(rt *rapid.T) {
		st := &memory{objects: maps.Clone(original.objects)}
		key := rapid.SampledFrom(keys).Draw(rt, "object")
		other := original.objects[rapid.SampledFrom(keys).Draw(rt, "other")]
		st.change(key, func(data []byte) []byte { return mutilate(rt, data, other) })
		repo := in.open(t, st)
		for _, b := range list(t, repo) {
			if b.Err != nil && !errors.Is(b.Err, envdb.ErrVerification) {
				rt.Fatalf("backup %s: %v", b.ID(), b.Err)
			}
		}
		for i, m := range manifests {
			err := same(t.Context(), repo, m, contents[i])
			var damaged *backup.DamagedError
			if err != nil && (!errors.As(err, &damaged) || damaged.Object != key) {
				rt.Fatalf("backup %s with a changed %s: %v", m.ID, key, err)
			}
			b, err := repo.Find(t.Context(), "prod", m.ID)
			if err == nil && b.Err == nil && !reflect.DeepEqual(b.Manifest, m) {
				rt.Fatalf("backup %s with a changed %s has another manifest: %+v", m.ID, key, b.Manifest)
			}
		}
	})
}

// mutilate changes an object in one of the ways in which that can be done
// without a key. The result may be what it was.
func mutilate(t *rapid.T, data, other []byte) []byte {
	at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
	switch rapid.IntRange(0, 4).Draw(t, "how") {
	case 0:
		data[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
	case 1:
		data = data[:at]
	case 2:
		data = bytes.Clone(other)
	case 3: // a piece of another object in its place
		copy(data[at:], other[min(at, len(other)):])
	case 4: // two pieces of the same object swapped
		n := rapid.IntRange(0, min(at, len(data)-at)).Draw(t, "length")
		for i := range n {
			data[i], data[at+i] = data[at+i], data[i]
		}
	}
	return data
}
