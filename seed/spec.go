package seed

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/seed/fixture"
	"github.com/envdb/envdb/seed/generate"
)

// File is a file of fixtures. Its Name should be relative to the project: it is
// shown to people, stands in the digest, and is the seed of fake data.
type File = fixture.Source

// Spec names what a database is seeded with.
type Spec struct {
	// Migrations is a directory of goose migrations in SQL, MigrationsName its
	// name for people; or Command is run by the shell in CommandDir and ended
	// after CommandTimeout (0 is never). CommandPlace is where people can run it,
	// if not in CommandDir. CommandFiles are what the command is known to read;
	// they stand in the digest.
	Migrations     fs.FS
	MigrationsName string
	Command        string
	CommandDir     string
	CommandPlace   string
	CommandTimeout time.Duration
	CommandFiles   []File

	// Extensions are made before the migrations.
	Extensions []string
	// Fixtures are loaded in this order, as far as foreign keys let them.
	Fixtures []File

	// Clock is what templates take for now, Environment the name that they see.
	Clock       time.Time
	Environment string
	// Variables looks up what templates ask env for; nil knows none.
	Variables func(name string) (string, bool)
	// Values is the dot of templates, for fixtures that were written for
	// go-testfixtures with template data.
	Values map[string]any
	// ConfigDigest stands for whatever else the rows depend on.
	ConfigDigest string
}

// Set is everything a database is seeded with, read and checked as far as that
// is possible without the database.
type Set struct {
	spec       Spec
	migrations []namedHash
	items      []item
	inputs     fixture.Inputs
	usesTime   bool
}

// item is one file of fixtures.
type item struct {
	source File
	hash   [sha256.Size]byte
	form   form
	yaml   *fixture.File // of the form rows
	blocks []*generate.Block
}

// form says how a file is loaded.
type form int

const (
	rowsForm form = iota
	csvForm
	scriptForm
)

// forms are the endings of fixture files.
var forms = map[string]form{".yml": rowsForm, ".yaml": rowsForm, ".csv": csvForm, ".sql": scriptForm}

type namedHash struct {
	name string
	hash [sha256.Size]byte
}

// Read reads everything that a spec names. Errors are of the kind ErrPreflight
// and begin with the file and the line.
func Read(spec Spec) (*Set, error) {
	if spec.Migrations != nil && spec.Command != "" {
		return nil, envdb.Fail(envdb.ErrMisuse, "migrations are a directory or a command, not both")
	}
	s := &Set{spec: spec}
	if err := s.readMigrations(); err != nil {
		return nil, unchanged(err)
	}
	for _, f := range spec.Fixtures {
		it, err := s.readItem(f)
		if err != nil {
			return nil, unchanged(err)
		}
		s.items = append(s.items, it)
	}
	s.usesTime = s.usesTime || s.inputs.Time
	return s, nil
}

// unchanged adds the state to an error from before anything was done.
func unchanged(err error) error {
	if p := new(envdb.Problem); errors.As(err, &p) && p.State == "" {
		p.State = "nothing was changed"
	}
	return err
}

// UsesTime reports whether any fixture depends on the clock, which only then is
// part of the digest.
func (s *Set) UsesTime() bool { return s.usesTime }

// Complete reports whether the digest covers everything: what a command reads
// is known only as far as the spec says.
func (s *Set) Complete() bool { return s.spec.Command == "" || len(s.spec.CommandFiles) > 0 }

func (s *Set) readItem(f File) (item, error) {
	how, known := forms[strings.ToLower(path.Ext(f.Path))]
	if !known {
		return item{}, fixture.Position{File: f.Name}.Fail("is no fixture file: it ends in none of .yml, .yaml, .csv, .sql")
	}
	it := item{source: f, form: how}
	var err error
	if it.hash, err = hashOf(f); err != nil {
		return item{}, err
	}
	switch it.form {
	case rowsForm:
		err = it.readRows(s)
	case scriptForm:
		_, err = f.Text()
	}
	return it, err
}

// readRows reads a YAML file and the blocks in it.
func (it *item) readRows(s *Set) error {
	scope := fixture.Scope{Clock: s.spec.Clock, Environment: s.spec.Environment, Variables: s.spec.Variables, Values: s.spec.Values}
	var err error
	if it.yaml, err = fixture.Read(it.source, scope, &s.inputs); err != nil {
		return err
	}
	blocks, err := it.yaml.Blocks()
	if err != nil {
		return err
	}
	for _, b := range blocks {
		block, err := generate.Parse(b)
		if err != nil {
			return err
		}
		s.usesTime = s.usesTime || block.UsesTime()
		it.blocks = append(it.blocks, block)
	}
	// Either reading of the keys is fine; this one needs no catalogue.
	_, err = it.yaml.Tables(func(string) bool { return true })
	return err
}

// hashOf hashes the contents of a file, which may be larger than memory.
func hashOf(f File) (sum [sha256.Size]byte, err error) {
	in, err := f.FS.Open(f.Path)
	if err != nil {
		return sum, fixture.Position{File: f.Name}.Fail("%w", err)
	}
	defer in.Close()
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil {
		return sum, fixture.Position{File: f.Name}.Fail("%w", err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
