package backup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// Whatever is damaged, in whatever way: the error names the object and the
// backup, the list and the verification show it, other backups stay readable,
// and the next backup is whole again.
func TestDamage(t *testing.T) { inBothModes(t, testDamage) }

func testDamage(t *testing.T, in mode) {
	t.Parallel()
	hows := map[string]func([]byte) []byte{"flip": flip, "cut": cut, "empty": empty, "remove": remove, "garble": garble}
	for _, object := range []string{"packs/prod/20261120-140500/000001", "20261120-140501/index", "20261120-140501/manifest"} {
		for how, damage := range hows {
			t.Run(object+"/"+how, func(t *testing.T) {
				t.Parallel()
				damaged(t, in, object, damage, strings.HasSuffix(object, "manifest") && how == "remove")
			})
		}
	}
}

func damaged(t *testing.T, in mode, object string, damage func([]byte) []byte, invisible bool) {
	ctx := t.Context()
	st := newMemory()
	repo := in.repository(t, st)
	c := tables(2, 4, 3000)
	first := mustTake(t, repo, c)
	second := clone(c)
	second["table/1"][1] = noise(999, 500)
	hurt := mustTake(t, repo, second)
	key := st.keys(object)[0]
	st.change(key, damage)

	err := same(ctx, repo, hurt, second)
	if strings.HasSuffix(object, "manifest") {
		_, err = repo.Verify(ctx, "prod", hurt.ID, backup.VerifyOptions{})
		if invisible {
			if !errors.Is(err, envdb.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
		} else if err != nil {
			t.Error(err)
		}
		err = list(t, repo)[len(list(t, repo))-1].Err
	}
	var known *backup.DamagedError
	if !invisible && !errors.As(err, &known) {
		t.Fatalf("got %v, want a DamagedError", err)
	}
	if known != nil {
		if known.Object != key || known.Backup != hurt.ID || known.Environment != "prod" {
			t.Errorf("it names %s of backup %s of %s, want %s", known.Object, known.Backup, known.Environment, key)
		}
		if _, next := envdb.Advice(err); next == "" || !errors.Is(err, envdb.ErrVerification) {
			t.Errorf("it is no ErrVerification with advice: %v", err)
		}
	}

	backups := list(t, repo)
	if !invisible && backups[1].Usable() {
		t.Error("the list shows the backup as usable")
	}
	report, err := repo.Verify(ctx, "prod", "", backup.VerifyOptions{ReadData: true})
	if err != nil {
		t.Fatal(err)
	}
	if !invisible && (report.OK() || !errors.Is(report.Err(), envdb.ErrVerification) || !slices.Contains(report.Bad, key)) {
		t.Errorf("the verification found %+v", report)
	}
	if !strings.Contains(object, "packs") {
		if err := same(ctx, repo, first, c); err != nil {
			t.Errorf("the first backup: %v", err)
		}
	}

	healed := mustTake(t, repo, second)
	if err := same(ctx, repo, healed, second); err != nil {
		t.Errorf("the next backup: %v", err)
	}
	if got := list(t, repo); !got[len(got)-1].Usable() {
		t.Errorf("the next backup is not usable: %+v", got[len(got)-1])
	}
	if report, err := repo.Verify(ctx, "prod", healed.ID, backup.VerifyOptions{ReadData: true}); err != nil || !report.OK() {
		t.Errorf("the next backup: %+v, %v", report, err)
	}
}

// Verification without reading data finds what is missing or cut short, not
// what is flipped; with reading it finds that too, and tells which backups.
func TestVerifyFindsWhichBackups(t *testing.T) { inBothModes(t, testVerifyFindsWhichBackups) }

func testVerifyFindsWhichBackups(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := in.repository(t, st)
	first := mustTake(t, repo, content{"a": {[]byte("one")}})
	second := mustTake(t, repo, content{"b": {[]byte("two")}})
	st.change(st.keys("packs/prod/" + string(second.ID))[0], func(data []byte) []byte { data[len(data)-1]++; return data })
	report, err := repo.Verify(ctx, "prod", "", backup.VerifyOptions{})
	if err != nil || !report.OK() {
		t.Errorf("without data: %+v, %v", report, err)
	}
	var mu sync.Mutex
	var last envdb.Progress
	report, err = repo.Verify(ctx, "prod", "", backup.VerifyOptions{ReadData: true, Report: func(p envdb.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Unit == "bytes" && p.Done > last.Done {
			last = p
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if last.Total == 0 || last.Done != last.Total {
		t.Errorf("the last progress is %+v", last)
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Backups[0].Problems) != 0 || len(report.Backups[1].Problems) != 1 || report.Chunks != 1 {
		t.Errorf("got %s", text)
	}
	if backups := list(t, repo); !backups[0].Usable() || backups[1].Usable() || backups[0].ID() != first.ID {
		t.Errorf("the list shows %+v", backups)
	}
}

// An unreachable store says nothing about the data: no mark is made.
func TestUnreachableIsNoDamage(t *testing.T) { inBothModes(t, testUnreachableIsNoDamage) }

func testUnreachableIsNoDamage(t *testing.T, in mode) {
	t.Parallel()
	st := newMemory()
	repo := in.repository(t, st)
	m := mustTake(t, repo, content{"a": {[]byte("one")}})
	reader, err := repo.Open(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	ref := reader.Chunks("a")[0]
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := reader.Fetch(ctx, ref, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if got := st.keys("/marks/"); len(got) != 0 {
		t.Errorf("marked %q", got)
	}
}

// The first read of a chunk fails on the way, the second does not.
func TestReadOnceMore(t *testing.T) { inBothModes(t, testReadOnceMore) }

func testReadOnceMore(t *testing.T, in mode) {
	t.Parallel()
	st := &flaky{memory: newMemory()}
	repo := in.repository(t, st)
	m := mustTake(t, repo, content{"a": {noise(1, 100)}})
	reader, err := repo.Open(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	st.flips = 1
	if got, err := reader.Fetch(t.Context(), reader.Chunks("a")[0], nil); err != nil || !bytes.Equal(got, noise(1, 100)) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if got := st.keys("/marks/"); len(got) != 0 {
		t.Errorf("marked %q", got)
	}
}

// flaky damages the answers of the next Gets.
type flaky struct {
	*memory
	flips int
}

func (s *flaky) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	body, object, err := s.memory.Get(ctx, key, span)
	if err != nil || s.flips == 0 {
		return body, object, err
	}
	s.flips--
	data, err := io.ReadAll(body)
	return io.NopCloser(bytes.NewReader(flip(data))), object, err
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	set := func(text string) *memory {
		st := newMemory()
		st.objects["envdb.json"] = []byte(text)
		return st
	}
	for _, test := range []struct {
		name string
		st   *memory
		want error
	}{
		{"no repository", newMemory(), envdb.ErrNotFound},
		{"newer format", set(`{"format":2,"repository":"x","encryption":{"mode":"none"}}`), envdb.ErrRefused},
		{"newer mode", set(`{"format":1,"repository":"x","encryption":{"mode":"age"}}`), envdb.ErrRefused},
		{"no format", set(`{"repository":"00112233445566778899aabbccddeeff","encryption":{"mode":"none"}}`), envdb.ErrVerification},
		{"no id", set(`{"format":1,"encryption":{"mode":"none"}}`), envdb.ErrVerification},
		{"a strange id", set(`{"format":1,"repository":"\u001b[2J","encryption":{"mode":"none"}}`), envdb.ErrVerification},
		{"a strange key id", set(`{"format":1,"repository":"00112233445566778899aabbccddeeff","encryption":{"mode":"aes-256-gcm","key_id":"\u001b[2J"}}`), envdb.ErrVerification},
		{"cut short", set(`{"format":1,`), envdb.ErrVerification},
		{"empty", set(``), envdb.ErrVerification},
	} {
		_, err := backup.Open(ctx, test.st, "acme", backup.Access{})
		if _, next := envdb.Advice(err); !errors.Is(err, test.want) || next == "" || strings.Contains(told(err), "\x1b") {
			t.Errorf("%s: got %q, next %q; want %v", test.name, err, next, test.want)
		}
	}
	st := newMemory()
	mustTake(t, plain().repository(t, st), content{"a": {[]byte("x")}})
	again, err := backup.Init(ctx, st, "acme", backup.InitOptions{})
	if err != nil || again.ID() != plain().repository(t, st).ID() {
		t.Errorf("a second Init: %v", err)
	}
	st.change("envdb.json", remove)
	if _, err := backup.Init(ctx, st, "acme", backup.InitOptions{}); !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("with backups but without envdb.json: got %v, want ErrRefused", err)
	}
	for _, test := range []struct {
		name, keyID string
		st          *memory
		want        error
	}{
		{"backups without envdb.json", "", st, envdb.ErrRefused},
		{"a data key that is expected", strings.Repeat("0", 32), newMemory(), envdb.ErrRefused},
		{"an empty store", "", newMemory(), nil},
	} {
		if err := backup.CheckNew(ctx, test.st, "acme", test.keyID); !errors.Is(err, test.want) {
			t.Errorf("CheckNew of %s: got %v, want %v", test.name, err, test.want)
		}
	}
}

// A manifest that was copied from elsewhere is not taken for a backup.
func TestForeignManifest(t *testing.T) { inBothModes(t, testForeignManifest) }

func testForeignManifest(t *testing.T, in mode) {
	t.Parallel()
	st := newMemory()
	repo := in.repository(t, st)
	m := mustTake(t, repo, content{"a": {[]byte("x")}})
	st.objects["acme/backups/prod/20270101-000000/manifest"] = st.objects["acme/backups/prod/"+string(m.ID)+"/manifest"]
	backups := list(t, repo)
	if len(backups) != 2 || backups[0].Err != nil || backups[1].Err == nil {
		t.Errorf("got %+v", backups)
	}
}

func TestMarks(t *testing.T) { inBothModes(t, testMarks) }

func testMarks(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := in.repository(t, st)
	first, second := mustTake(t, repo, content{"a": {[]byte("x")}}), mustTake(t, repo, content{"a": {[]byte("y")}})
	until := start.Add(time.Hour)
	for i, err := range []error{
		repo.Pin(ctx, "prod", first.ID, "before the migration"),
		repo.MarkProven(ctx, "prod", first.ID),
		repo.MarkGoodUntil(ctx, "prod", first.ID, start.Add(time.Minute)),
		repo.MarkGoodUntil(ctx, "prod", first.ID, until),
		repo.MarkBad(ctx, "prod", second.ID, "wrong data"),
		repo.Mark(ctx, "prod", "of-another-version/x"),
	} {
		if err != nil {
			t.Errorf("mark %d: %v", i, err)
		}
	}
	if got := st.keys("good-until"); len(got) != 1 {
		t.Errorf("got %q, want one mark", got)
	}
	backups := list(t, repo)
	if b := backups[0]; !b.Pinned || b.PinNote != "before the migration" || !b.Proven || b.Bad || !b.GoodUntil.Equal(until) || !b.Usable() {
		t.Errorf("the first is %+v", b)
	}
	if b := backups[1]; b.Pinned || !b.Bad || !b.GoodUntil.Equal(start) || b.Usable() {
		t.Errorf("the second is %+v", b)
	}
	if m := mustTake(t, repo, content{"a": {[]byte("y")}}); m.Base != first.ID {
		t.Errorf("the base is %s, want the one that is not bad", m.Base)
	}
	if err := repo.Unpin(ctx, "prod", first.ID); err != nil || list(t, repo)[0].Pinned {
		t.Errorf("unpin: %v", err)
	}
	if err := repo.Pin(ctx, "prod", "20200101-000000", ""); !errors.Is(err, envdb.ErrNotFound) {
		t.Errorf("pin of a missing backup: got %v, want ErrNotFound", err)
	}
	if names, err := repo.Environments(ctx); err != nil || fmt.Sprint(names) != "[prod]" {
		t.Errorf("environments: got %v, %v", names, err)
	}
	if _, err := repo.Identity(ctx, "prod"); !errors.Is(err, envdb.ErrNotFound) {
		t.Errorf("identity: got %v, want ErrNotFound", err)
	}
	want := envdb.Identity{SystemIdentifier: "7", PostmasterStart: start, DatabaseOID: 5, Database: "shop"}
	if err := repo.RecordIdentity(ctx, "prod", want); err != nil {
		t.Error(err)
	}
	if got, err := repo.Identity(ctx, "prod"); err != nil || got != want {
		t.Errorf("identity: got %+v, %v", got, err)
	}
}
