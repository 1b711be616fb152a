package store_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// plainReader reads a repository as docs/format.md says it is, with nothing of
// this module: it is the proof that the document is enough. It stops the test
// at whatever it does not expect.
type plainReader struct {
	t          *testing.T
	root       string
	repository string
	aead       cipher.AEAD // nil in the mode none
	zstd       *zstd.Decoder
}

// The document alone is enough to read every frozen repository, and one that
// is written today: what older versions cannot read is another format.
func TestTheFormatIsDocumented(t *testing.T) {
	t.Parallel()
	for _, name := range goldens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readPlainly(t, goldenDir, name)
		})
	}
	for _, name := range []string{"try-none", "try-sealed"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			into := t.TempDir()
			makeGolden(t, into, name)
			readPlainly(t, into, name)
		})
	}
}

// readPlainly reads a repository of makeGolden's, in a folder, by the document.
func readPlainly(t *testing.T, in, name string) {
	t.Helper()
	want, root := readGolden(t, in, name), filepath.Join(in, name)
	r := openPlainly(t, root, filepath.Join(in, name+".recovery.txt"))
	dirs, err := filepath.Glob(filepath.Join(root, "acme/backups/prod/*"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, dir := range dirs {
		id := filepath.Base(dir)
		parts := r.backup(id)
		if parts == nil {
			continue // a void
		}
		ids = append(ids, id)
		wanted := want.Backups[len(ids)-1]
		if string(wanted.ID) != id || !maps.EqualFunc(parts, wanted.Parts, slices.Equal) {
			t.Errorf("backup %s: got %+v", id, parts)
		}
	}
	if len(ids) != len(want.Backups) {
		t.Errorf("got the backups %q", ids)
	}
	r.sealedObjects(want)
}

func (r *plainReader) check(ok bool, format string, args ...any) {
	r.t.Helper()
	if !ok {
		r.t.Fatalf(format, args...)
	}
}

func (r *plainReader) object(key string) []byte {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.root, filepath.FromSlash(key)))
	r.check(err == nil, "%v", err)
	return data
}

// openPlainly reads envdb.json and unwraps the data key.
func openPlainly(t *testing.T, root, identityFile string) *plainReader {
	t.Helper()
	r := &plainReader{t: t, root: root}
	var err error
	r.zstd, err = zstd.NewReader(nil)
	r.check(err == nil, "%v", err)
	var d struct {
		Format     int
		Repository string
		Encryption struct {
			Mode  string
			KeyID string `json:"key_id"`
			Slots []struct{ Wrapped []byte }
		}
	}
	err = json.Unmarshal(r.object("envdb.json"), &d)
	r.check(err == nil && d.Format == 1 && len(d.Repository) == 32, "envdb.json: %+v, %v", d, err)
	r.repository = d.Repository
	if d.Encryption.Mode == "none" {
		return r
	}
	r.check(d.Encryption.Mode == "aes-256-gcm", "mode %s", d.Encryption.Mode)
	file, err := os.Open(identityFile)
	r.check(err == nil, "%v", err)
	identities, err := age.ParseIdentities(file)
	r.check(err == nil, "%v", err)
	for _, slot := range d.Encryption.Slots {
		plain, err := age.Decrypt(bytes.NewReader(slot.Wrapped), identities...)
		if err != nil {
			continue
		}
		key, err := io.ReadAll(plain)
		r.check(err == nil && len(key) == 32, "a data key of %d bytes, %v", len(key), err)
		id, err := hkdf.Key(sha256.New, key, nil, "envdb1 key id", 16)
		r.check(err == nil && hex.EncodeToString(id) == d.Encryption.KeyID, "key id %x", id)
		block, err := aes.NewCipher(key)
		r.check(err == nil, "%v", err)
		r.aead, err = cipher.NewGCM(block)
		r.check(err == nil, "%v", err)
	}
	r.check(r.aead != nil, "no slot opens")
	return r
}

// plain opens a stored frame.
func (r *plainReader) plain(stored []byte, object string, ordinal uint64) []byte {
	r.t.Helper()
	frame := stored
	if r.aead != nil {
		ad := binary.BigEndian.AppendUint64([]byte("envdb1\x00"+r.repository+"\x00"+object+"\x00"), ordinal)
		var err error
		frame, err = r.aead.Open(nil, stored[:12], stored[12:], ad)
		r.check(err == nil, "%s, %d: %v", object, ordinal, err)
	}
	if frame[0] == 0 {
		return frame[1:]
	}
	r.check(frame[0] == 1, "%s: kind %d", object, frame[0])
	plain, err := r.zstd.DecodeAll(frame[1:], nil)
	r.check(err == nil, "%s: %v", object, err)
	return plain
}

// backup reads all parts of a backup, nil if it is a void.
func (r *plainReader) backup(id string) map[string][]goldenChunk {
	r.t.Helper()
	key := "acme/backups/prod/" + id + "/manifest"
	object := r.object(key)
	if string(object) == "envdbvd1" {
		return nil
	}
	r.check(string(object[:8]) == "envdbmf1", "%s: %q", key, object[:8])
	plain := r.plain(object[40:], key, 0)
	hashed := plain
	if r.aead != nil {
		hashed = object[40:]
	}
	r.check(hexSum(hashed) == hex.EncodeToString(object[8:40]), "%s: hash", key)
	var m struct {
		Format                               int
		Repository, Project, Environment, ID string
		Packs                                []struct {
			Backup string
			Number int
			Size   int
		}
		Index []struct {
			SHA256, Backup string
			Offset, Length uint64
			Chunks         int
		}
	}
	err := json.Unmarshal(plain, &m)
	r.check(err == nil && m.Format == 1 && m.Repository == r.repository && m.Project == "acme" && m.Environment == "prod" && m.ID == id, "%s: %+v, %v", key, m, err)
	for _, p := range m.Packs {
		pack := r.object(packKey(p.Backup, p.Number))
		r.check(len(pack) == p.Size && string(pack[:8]) == "envdbpk1", "pack %+v has %d bytes", p, len(pack))
	}
	parts := map[string][]goldenChunk{}
	for _, b := range m.Index {
		key := "acme/backups/prod/" + b.Backup + "/index"
		object := r.object(key)
		r.check(string(object[:8]) == "envdbix1", "%s: %q", key, object[:8])
		block := r.plain(object[b.Offset:b.Offset+b.Length], key, b.Offset)
		r.check(hexSum(block) == b.SHA256, "%s: hash of the block at %d", key, b.Offset)
		r.check(r.block(block, parts) == b.Chunks, "%s: entries of the block at %d", key, b.Offset)
	}
	return parts
}

func packKey(backup string, number int) string {
	return fmt.Sprintf("acme/packs/prod/%s/%06d", backup, number)
}

// block reads the chunks that a block of the index names.
func (r *plainReader) block(plain []byte, parts map[string][]goldenChunk) int {
	r.t.Helper()
	in := bytes.NewReader(plain)
	number := func() uint64 {
		n, err := binary.ReadUvarint(in)
		r.check(err == nil, "index: %v", err)
		return n
	}
	text := func(n uint64) string {
		b := make([]byte, n)
		_, err := io.ReadFull(in, b)
		r.check(err == nil, "index: %v", err)
		return string(b)
	}
	packs := make([]string, number())
	for i := range packs {
		id := text(15)
		packs[i] = packKey(id, int(number()))
	}
	entries := number()
	part := ""
	for range entries {
		if n := number(); n > 0 {
			part = text(n)
		}
		c := goldenChunk{Ordinal: number(), Rows: int64(number())}
		c.Fingerprint = hex.EncodeToString([]byte(text(16)))
		c.Size, c.SHA256 = int64(number()), hex.EncodeToString([]byte(text(32)))
		key, ordinal, offset, length := packs[number()], number(), number(), number()
		data := r.plain(r.object(key)[offset:offset+length], key, ordinal)
		r.check(int64(len(data)) == c.Size && hexSum(data) == c.SHA256, "part %q, chunk %d", part, c.Ordinal)
		parts[part] = append(parts[part], c)
	}
	r.check(in.Len() == 0, "index: %d bytes too many", in.Len())
	return int(entries)
}

// sealedObjects reads what is sealed as a whole.
func (r *plainReader) sealedObjects(want golden) {
	r.t.Helper()
	run := "acme/runs/" + want.Run[:8] + "/" + want.Run
	for key, holds := range map[string]string{
		"acme/marks/prod/identity":                             want.Identity.SystemIdentifier,
		"acme/marks/prod/pinned/" + string(want.Backups[0].ID): want.Backups[0].PinNote,
		run + ".log":                want.LogLine,
		run + ".prod.backup.failed": `"id": "` + want.Run + `"`,
	} {
		plain := r.object(key)
		if r.aead != nil {
			plain = r.plain(plain, key, 0)
		}
		r.check(bytes.Contains(plain, []byte(holds)), "%s: got %q, want %q", key, plain, holds)
	}
}
