package archive_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/everything"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed/statement"
)

// dumped returns pg_dump's archive of a database, and the programs.
func dumped(t *testing.T, url envdb.ConnString, major int) ([]byte, postgres.Tools) {
	t.Helper()
	tools, err := postgres.FindTools(t.Context(), major)
	if err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), tools.Dump, "--format=custom", "--schema-only", "--dbname="+url.Reveal())
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, &stderr)
	}
	return out.Bytes(), tools
}

// TestEverything reads the archive of a database that holds every kind of
// object.
func TestEverything(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	t.Cleanup(func() { s.Exec(t, "postgres", everything.DropRolesSQL("arch")) })
	db := s.CreateDatabase(t)
	s.Exec(t, db, everything.SQL("arch"))
	data, tools := dumped(t, s.URL(db), s.Major())
	t.Run("header", func(t *testing.T) { t.Parallel(); testHeader(t, data) })
	t.Run("damage", func(t *testing.T) { t.Parallel(); testDamage(t, data) })
	t.Run("statements", func(t *testing.T) { t.Parallel(); testStatements(t, data, tools) })
}

// scaffold are the statements that pg_restore adds around those of entries.
var scaffold = regexp.MustCompile(`^(set [a-z_]+ = .*|select pg_catalog \. set_config .*)$`)

// asTable is how pg_restore before 16 names what is like a table in ALTER … OWNER.
var asTable = regexp.MustCompile(`^alter (view|sequence|materialized view) (.*) owner to`)

// statements returns the statements of a script in a form that does not depend
// on quoting and spacing, sorted.
func statements(script string) []string {
	var out []string
	for _, sql := range statement.Texts(script) {
		var words []string
		for _, token := range statement.Tokens(sql) {
			if strings.HasPrefix(token.Text, "'") || strings.HasPrefix(token.Text, "$") {
				words = append(words, token.Text)
				continue
			}
			words = append(words, token.Name())
		}
		s := asTable.ReplaceAllString(strings.Join(words, " "), "alter table $2 owner to")
		if !scaffold.MatchString(s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// testStatements holds the entries against what pg_restore makes of the same
// archive.
func testStatements(t *testing.T, data []byte, tools postgres.Tools) {
	file := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := exec.CommandContext(t.Context(), tools.Restore, "--file=-", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := statements(regexp.MustCompile(`(?m)^\\(un)?restrict .*$`).ReplaceAllString(string(script), ""))

	a, err := archive.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var ours strings.Builder
	for _, e := range a.Entries {
		switch {
		case e.Type == "ENCODING", e.Type == "STDSTRINGS", e.Type == "SEARCHPATH",
			strings.HasPrefix(e.Type, "DATABASE"), strings.HasPrefix(e.Tag, "DATABASE "):
			continue // pg_restore leaves them out, too, unless it creates the database
		}
		ours.WriteString(e.SQL() + ";\n" + e.OwnerSQL(e.Owner) + ";\n")
	}
	got := statements(ours.String())
	for _, s := range got {
		if _, ok := slices.BinarySearch(want, s); !ok {
			t.Errorf("pg_restore has no statement\n%s", s)
		}
	}
	for _, s := range want {
		if _, ok := slices.BinarySearch(got, s); !ok {
			t.Errorf("the archive gave no statement\n%s", s)
		}
	}
	if len(got) != len(want) || len(got) < 300 {
		t.Errorf("got %d statements, pg_restore has %d", len(got), len(want))
	}
}

func testHeader(t *testing.T, data []byte) {
	a, err := archive.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if a.Version.Major != 1 || a.Version.Minor < 14 || a.Database == "" || a.ServerVersion == "" || a.DumpVersion == "" {
		t.Errorf("header is %+v", a)
	}
}

// testDamage cuts and changes an archive at many places: Read must
// return an error or another archive, and never panic.
func testDamage(t *testing.T, data []byte) {
	end := tableOfContents(t, data)
	for cut := 0; cut < end; cut += 1 + cut/40 {
		if _, err := archive.Read(bytes.NewReader(data[:cut])); !errors.Is(err, archive.ErrFormat) {
			t.Fatalf("cut at %d of %d: got %v", cut, end, err)
		}
	}
	for at := 0; at < end; at += 1 + at/100 {
		damaged := bytes.Clone(data)
		damaged[at] ^= 0xff
		if a, err := archive.Read(bytes.NewReader(damaged)); err == nil {
			for _, e := range a.Entries {
				_, _ = e.SQL(), e.OwnerSQL("owner")
			}
		} else if !errors.Is(err, archive.ErrFormat) {
			t.Fatalf("changed at %d: got %v", at, err)
		}
	}
}

// tableOfContents returns how many bytes Read needs.
func tableOfContents(t *testing.T, data []byte) int {
	t.Helper()
	low, high := 0, len(data)
	for low < high {
		mid := (low + high) / 2
		if _, err := archive.Read(bytes.NewReader(data[:mid])); err == nil {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	data, _ := dumped(t, s.URL(s.CreateDatabase(t)), s.Major())
	with := func(at int, b byte) []byte {
		damaged := bytes.Clone(data)
		damaged[at] = b
		return damaged
	}
	tests := []struct {
		name, want string
		data       []byte
	}{
		{"empty", "ends in the middle", nil},
		{"not an archive", "PGDMP", []byte("-- PostgreSQL database dump")},
		{"newer minor", "newer than this build knows", with(6, 17)},
		{"newer major", "newer than this build knows", with(5, 2)},
		{"older", "older than PostgreSQL 12", with(6, 13)},
		{"integers", "integers of 9 bytes", with(8, 9)},
		{"offsets", "offsets of 0 bytes", with(9, 0)},
		{"directory format", "not the custom format", with(10, 5)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := archive.Read(bytes.NewReader(test.data))
			if !errors.Is(err, archive.ErrFormat) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestReaderErrorsAreKept(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	r := io.MultiReader(strings.NewReader("PGDMP\x01\x0e"), failing{broken})
	if _, err := archive.Read(r); !errors.Is(err, broken) || errors.Is(err, archive.ErrFormat) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzRead(f *testing.F) {
	f.Add([]byte("PGDMP\x01\x0e\x00\x04\x08\x01"))
	f.Add([]byte("PGDMP\x01\x10\x00\x04\x08\x01\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := archive.Read(bytes.NewReader(data))
		if err == nil {
			for _, e := range a.Entries {
				_, _, _ = e.SQL(), e.OwnerSQL("o"), statement.Texts(e.Definition)
			}
		}
	})
}
