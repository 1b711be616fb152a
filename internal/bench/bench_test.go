package main

import (
	"context"
	"errors"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []time.Duration
		want   time.Duration
	}{{nil, 0}, {[]time.Duration{7}, 7}, {[]time.Duration{9, 1, 5}, 5}, {[]time.Duration{9, 1, 5, 3}, 4}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestChooseRows(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": len(rows()), "none": 0, "backup,calls": 2} {
		if got, err := chooseRows(text); err != nil || len(got) != want {
			t.Errorf("%q: %d rows, %v, want %d", text, len(got), err, want)
		}
	}
	if _, err := chooseRows("backup,nothing"); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("got %v", err)
	}
	for _, r := range rows() {
		if titles()[r.name] == "" {
			t.Errorf("the row %s has no title in the report", r.name)
		}
	}
}

func TestOperation(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"PUT /bucket/a/b":                          "PutObject",
		"PUT /bucket/a?partNumber=3&uploadId=x":    "UploadPart",
		"POST /bucket/a?uploads=":                  "CreateMultipartUpload",
		"POST /bucket/a?uploadId=x":                "CompleteMultipartUpload",
		"DELETE /bucket/a?uploadId=x":              "AbortMultipartUpload",
		"DELETE /bucket/a":                         "DeleteObject",
		"POST /bucket?delete=":                     "DeleteObjects",
		"GET /bucket/a":                            "GetObject",
		"HEAD /bucket/a":                           "HeadObject",
		"GET /bucket?list-type=2&prefix=a%2Fb":     "ListObjectsV2",
		"GET /bucket/?list-type=2":                 "ListObjectsV2",
		"GET /bucket?uploads=&prefix=envdb%2Fpack": "ListMultipartUploads",
		"GET /bucket?versioning=":                  "GET of a bucket",
	} {
		method, target, _ := strings.Cut(request, " ")
		if got := operation(httptest.NewRequest(method, target, nil)); got != want {
			t.Errorf("%s is %s, want %s", request, got, want)
		}
	}
}

// The memory and the time of a process are its own and those of its children.
func TestRunMeasures(t *testing.T) {
	t.Parallel()
	const much = 80 << 20
	// tail keeps what has no newline until it ends; then it waits to be seen.
	began := time.Now()
	s, err := run(t.Context(), command{program: "sh", args: []string{"-c", "head -c 83886080 /dev/zero | tail -n 1 | { wc -c; sleep 0.2; }"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(s.Output)); got != "83886080" {
		t.Errorf("output %q", got)
	}
	if took := time.Since(began); s.Told < time.Millisecond || s.Told > took-150*time.Millisecond {
		t.Errorf("the result stood there after %s of %s", s.Told, took)
	}
	if s.Largest < much || s.Together < much || s.Own > much/4 || s.CPU <= 0 {
		t.Errorf("the largest process has %d MiB, all %d, the first %d; CPU %s", s.Largest>>20, s.Together>>20, s.Own>>20, s.CPU)
	}
	_, err = run(t.Context(), command{program: "sh", args: []string{"-c", "echo what happened >&2; exit 3", "postgres://me:secret@host/db"}})
	if err == nil || !strings.Contains(err.Error(), "what happened") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a process that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run(ctx, command{program: "sleep", args: []string{"60"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a benchmark that is interrupted: %v", err)
	}
}

// Reading the processor time of a server sees what its sessions do.
func TestServerCPU(t *testing.T) {
	t.Parallel()
	server := pgtest.StartOwn(t, pgtest.Options{})
	b := &bench{source: server.Cluster}
	before, err := b.serverCPU()
	if err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "postgres", "SELECT sum(hashint8(i)) FROM generate_series(1, 3000000) i")
	after, err := b.serverCPU()
	if err != nil || after-before < 50*time.Millisecond {
		t.Errorf("three million hashes took %s, %v", after-before, err)
	}
}

func TestSameNoticesWhatIsMissing(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	db := server.CreateDatabase(t)
	server.Exec(t, db, "CREATE TABLE a (id int PRIMARY KEY, word text)", "INSERT INTO a VALUES (1, 'one'), (2, 'two')",
		"CREATE TABLE b (a int REFERENCES a)", "CREATE INDEX b_a ON b (a)", "ANALYZE")
	want, err := readContent(t.Context(), server.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	if err := (&check{want: want}).same(t.Context(), server.URL(db)); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{
		"DELETE FROM a WHERE id = 2", "UPDATE a SET word = 'three' WHERE id = 1", "DROP INDEX b_a", "DROP TABLE b",
		"ALTER TABLE b DROP CONSTRAINT b_a_fkey", "CREATE TABLE more ()", "DELETE FROM pg_statistic WHERE starelid = 'a'::regclass",
	} {
		copied := server.CreateDatabase(t)
		server.Exec(t, "postgres", "DROP DATABASE "+copied, "CREATE DATABASE "+copied+" TEMPLATE "+db)
		server.Exec(t, copied, damage)
		if err := (&check{want: want}).same(t.Context(), server.URL(copied)); err == nil {
			t.Errorf("nobody noticed: %s", damage)
		}
		again := &check{want: want, done: true}
		if err := again.same(t.Context(), server.URL(copied)); (err == nil) != strings.HasPrefix(damage, "UPDATE") {
			t.Errorf("the second look at: %s: %v", damage, err)
		}
	}
}

// A crowd whose sessions are ended says so, and comes back.
func TestCrowd(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	db := server.CreateDatabase(t)
	c, err := gather(t.Context(), server.URL(db), 8, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer c.leave()
	c.watch()
	quiet, err := c.result(t.Context())
	if err != nil || len(quiet.errors) > 0 || quiet.failing > 0 || quiet.served < 8 {
		t.Errorf("before: %+v, %v", quiet, err)
	}
	c.watch()
	server.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+db+"'")
	seen, err := c.result(t.Context())
	if err != nil || seen.errors["57P01 admin_shutdown"] < 8 || seen.failing <= 0 || seen.longest < seen.failing {
		t.Errorf("after the end of every session: %+v, %v", seen, err)
	}
	if _, err := gather(t.Context(), server.URLAs("nobody", "wrong", db), 1, 0); err == nil {
		t.Error("clients who cannot log in were gathered")
	}
}

func TestReportKeepsWhatIsWrittenByHand(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "report.md")
	r := exampleReport()
	write(t, file, r.markdown())
	kept, err := readByHand(file)
	if err != nil || kept != r.byHand {
		t.Errorf("kept %q, %v, want %q", kept, err, r.byHand)
	}
	write(t, file, "# Somebody's page\n")
	if _, err := readByHand(file); !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("another page: %v", err)
	}
	if kept, err := readByHand(filepath.Join(t.TempDir(), "none.md")); err != nil || kept != "" {
		t.Errorf("no page: %q, %v", kept, err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// exampleReport has one of everything.
func exampleReport() report {
	sample := func(wall time.Duration, mib int64) Sample {
		return Sample{Wall: wall, CPU: wall / 2, Server: wall / 4, Largest: mib << 20, Own: mib << 20, Together: 2 * mib << 20}
	}
	mine := series{who: "envdb", command: "envdb backup prod", samples: []Sample{sample(2*time.Second, 100), sample(time.Second, 120), sample(3*time.Second, 90)}}
	plain := series{who: "envdb, not encrypted", command: "envdb backup prod", samples: []Sample{sample(time.Second, 80)}}
	theirs := series{who: "pg_dump", command: "pg_dump -Fd", samples: []Sample{sample(5*time.Second, 10)}}
	swaps := []outage{
		{served: 10, errors: map[string]int{"57P01 admin_shutdown": 2}, longest: 90e6, failing: 80e6, held: 50e6, first: time.Unix(0, 0), last: time.Unix(0, 3e6)},
		{served: 10, errors: map[string]int{"57P01 admin_shutdown": 1, "3D000 invalid_catalog_name": 1}, longest: 70e6, failing: 70e6, held: 40e6},
	}
	results := []result{
		{row: "backup", work: "backup", on: "one table", series: []series{mine, plain, theirs}, facts: []fact{{"stored by envdb", "7 MiB in 3 files"}}, verdict: atLeast(mine.faster(theirs), 1.5)},
		{row: "promote", work: "promote", on: "50 clients", facts: outageFacts(swaps), verdict: verdict{"250 ms or less", "80 ms at worst", true}},
		{row: "calls", work: "first backup", on: "whole database", series: []series{plain}, facts: callFacts(map[string]int{"PutObject": 3, "GetObject": 1}, 2e9)},
	}
	most, _ := peak(results)
	return report{
		began: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), took: 61 * time.Second, byHand: "What a person wrote.",
		place:   place{command: "make bench", jobs: 2, facts: []fact{{"machine", "2 processors"}}},
		results: append(results, most),
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "report.golden")
	got := exampleReport().markdown()
	if *update {
		write(t, golden, got)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the report is not %s; look, and run: go test ./internal/bench -update\n%s", golden, got)
	}
}

// The whole program, from its command line to the page that it writes.
func TestBenchmark(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "envdb-bench-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	page := filepath.Join(dir, "page.md")
	args := []string{"-dir", dir, "-scale", "tiny", "-rounds", "1", "-fsync=false", "-rows", "backup,restore", "-report", page}
	if err := start(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not a whole run", "| backup | whole database |", "| restore | one table |", "stored by pg_dump", "steps of envdb: analyze", "| peak memory |", "fsync = off"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page says nothing of %q:\n%s", want, text)
		}
	}
	for _, secret := range []string{"postgres://", dir} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the page has %q in it:\n%s", secret, text)
		}
	}
	for path, stays := range map[string]bool{"tiny/source": true, "tiny/source.json": true, "tiny/work": false} {
		if _, err := os.Stat(filepath.Join(dir, path)); (err == nil) != stays {
			t.Errorf("%s afterwards: %v", path, err)
		}
	}
	another, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer another.Close()
	if err := syscall.Flock(int(another.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if err := start(t.Context(), args); !errors.Is(err, envdb.ErrBusy) {
		t.Errorf("two benchmarks in one directory: %v", err)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-scale", "huge", "-rows", "none"}, {"-rows", "no-such-row"}, {"-no-such-flag"}, {"too", "many"}} {
		if err := start(t.Context(), args); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}
