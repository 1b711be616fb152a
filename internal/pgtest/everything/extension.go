package everything

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed extension/*
var extensionFiles embed.FS

// ConfigTablesSQL returns statements that add, to a database that holds SQL's
// schema, an extension with configuration tables and rows in them: one table
// with a condition, one without, a sequence, and a table that is none. No
// extension of PostgreSQL's own has any, so the server must run from an
// Installation.
func ConfigTablesSQL() string {
	return `CREATE SCHEMA config;
CREATE EXTENSION envdb_test_config SCHEMA config;
INSERT INTO config.preferences (name, value) VALUES ('mine', 'x'), ('it''s "odd"', NULL);
INSERT INTO config.jobs (preference, command) SELECT CASE WHEN i % 2 = 0 THEN 'mine' ELSE 'limit' END, 'SELECT ' || i FROM generate_series(1, 20) AS i;
GRANT SELECT ON config.jobs TO PUBLIC;`
}

// Installation makes, in dir, an installation of PostgreSQL that differs from
// the one whose programs are in bin by the extension that ConfigTablesSQL
// needs, and returns the directory of its programs.
//
// PostgreSQL finds its files relative to its program, so a copy of initdb,
// postgres and pg_ctl in a tree of links is enough: nothing outside dir is
// written, and nobody needs to be root. dir must be readable for whom the
// server runs as.
func Installation(dir, bin string) (string, error) {
	places, err := compiledIn(bin)
	if err != nil {
		return "", fmt.Errorf("installation with the test extension: %w", err)
	}
	i := installation{root: dir, places: places}
	for _, step := range []func() error{i.programs, i.libraries, i.share, i.extensions} {
		if err := step(); err != nil {
			return "", fmt.Errorf("installation with the test extension: %w", err)
		}
	}
	return i.at(places.bin), nil
}

// places are the directories that were compiled into PostgreSQL's programs.
type places struct{ bin, lib, share string }

func compiledIn(bin string) (places, error) {
	out, err := exec.Command(filepath.Join(bin, "pg_config"), "--bindir", "--pkglibdir", "--sharedir").Output()
	if err != nil {
		return places{}, fmt.Errorf("pg_config: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 3 {
		return places{}, fmt.Errorf("pg_config: three directories expected, got %q", out)
	}
	return places{bin: lines[0], lib: lines[1], share: lines[2]}, nil
}

// installation is a copy of an installation under another root.
type installation struct {
	root   string
	places places
}

func (i installation) at(path string) string { return filepath.Join(i.root, path) }

// programs copies them: PostgreSQL follows links before it looks around.
func (i installation) programs() error {
	if err := os.MkdirAll(i.at(i.places.bin), 0o755); err != nil {
		return err
	}
	if err := i.link(i.places.bin, "initdb", "postgres", "pg_ctl"); err != nil {
		return err
	}
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		path := filepath.Join(i.places.bin, name)
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(i.at(path), content, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (i installation) libraries() error {
	if err := os.MkdirAll(filepath.Dir(i.at(i.places.lib)), 0o755); err != nil {
		return err
	}
	return os.Symlink(i.places.lib, i.at(i.places.lib))
}

func (i installation) share() error { return i.link(i.places.share, "extension") }

// extensions links those that are installed and writes the one of the tests.
func (i installation) extensions() error {
	dir := filepath.Join(i.places.share, "extension")
	if err := i.link(dir); err != nil {
		return err
	}
	return fs.WalkDir(extensionFiles, "extension", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := extensionFiles.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(i.at(dir), entry.Name()), content, 0o644)
	})
}

// link makes a directory with a link to each entry of the original but some.
func (i installation) link(dir string, except ...string) error {
	if err := os.MkdirAll(i.at(dir), 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	skip := map[string]bool{}
	for _, name := range except {
		skip[name] = true
	}
	for _, entry := range entries {
		if skip[entry.Name()] {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		if err := os.Symlink(path, i.at(path)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
