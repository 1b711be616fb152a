package manager

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/revision"
	"github.com/envdb/envdb/seed"
)

// inputs are everything that an environment is seeded with, read.
type inputs struct {
	set    *seed.Set
	checks []config.Script
	clock  time.Time
	tree   *revision.Tree // nil for the work tree
	ref    string         // of the tree, as it was asked for
}

// close removes the files of a revision.
func (in inputs) close() error {
	if in.tree == nil {
		return nil
	}
	return in.tree.Close()
}

// commit returns the name of the revision's commit, or "".
func (in inputs) commit() string {
	if in.tree == nil {
		return ""
	}
	return in.tree.Commit
}

// at returns where a path of the configuration is read.
func (in inputs) at(path string) string {
	if in.tree == nil || path == "" {
		return path
	}
	return in.tree.At(path)
}

// place says where people find a directory of the inputs: that of a revision is
// gone when the run is over.
func (in inputs) place(dir string) string {
	if in.tree == nil {
		return dir
	}
	return fmt.Sprintf("%s, with revision %s (commit %.12s) checked out,", dir, in.ref, in.tree.Commit)
}

// readInputs reads what the environment is seeded with, from the work tree or
// from a git revision, under a clock. The caller closes what it gets.
func readInputs(ctx context.Context, env config.Environment, ref string, clock time.Time) (in inputs, err error) {
	if in.ref = ref; ref != "" {
		if in.tree, err = revision.Open(ctx, env.Seed.Dir, ref); err != nil {
			return in, err
		}
	}
	in.clock = clock
	in.checks, err = config.ReadScriptsAt(env.Seed.Checks, in.at)
	var spec seed.Spec
	if err == nil {
		spec, err = in.spec(env)
	}
	if err == nil {
		in.set, err = seed.Read(spec)
	}
	if err != nil && in.tree != nil {
		err = fmt.Errorf("%w (at revision %s, commit %.12s)", err, ref, in.tree.Commit)
	}
	if err != nil {
		return in, joinCleanup(err, ctx, func(context.Context) error { return in.close() })
	}
	return in, nil
}

// spec names the inputs for package seed.
func (in inputs) spec(env config.Environment) (seed.Spec, error) {
	s := env.Seed
	spec := seed.Spec{
		Command: s.MigrationCommand, CommandDir: in.at(s.Dir), CommandPlace: in.place(s.Dir), CommandTimeout: s.MigrationTimeout,
		Extensions: s.Extensions, Clock: in.clock, Environment: env.Name, Variables: os.LookupEnv, ConfigDigest: digestOf(s.Extensions, in.checkTexts()),
	}
	var err error
	if spec.CommandFiles, err = in.files(s.Dir, s.MigrationInputs); err != nil {
		return spec, err
	}
	if s.Migrations != "" {
		dir := in.at(s.Migrations)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return spec, envdb.Fail(envdb.ErrPreflight, "%s has no directory of migrations at %s", env.Name, shown(s.Dir, s.Migrations)).
				WithState("nothing was changed").WithNext("correct seed.migrations; paths are relative to the configuration's directory")
		}
		spec.Migrations, spec.MigrationsName = os.DirFS(dir), shown(s.Dir, s.Migrations)
	}
	spec.Fixtures, err = in.files(s.Dir, s.Fixtures)
	return spec, err
}

// checkTexts are what the checks say: rows that other checks passed have to pass
// these, too.
func (in inputs) checkTexts() []string {
	var texts []string
	for _, s := range in.checks {
		texts = append(texts, s.SQL)
	}
	return texts
}

// files returns the files that absolute patterns name.
func (in inputs) files(base string, patterns []string) ([]seed.File, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	paths, err := seed.Expand(in, patterns)
	if err != nil {
		return nil, err
	}
	files := make([]seed.File, len(paths))
	for i, path := range paths {
		files[i] = seed.File{FS: in, Path: path, Name: shown(base, "/"+path)}
	}
	return files, nil
}

// Open implements fs.FS: names are the paths of the work tree, without the slash
// before them, wherever the files of the revision lie.
func (in inputs) Open(name string) (fs.File, error) {
	file, err := os.Open(in.at("/" + name))
	if pathErr := new(fs.PathError); errors.As(err, &pathErr) {
		return nil, &fs.PathError{Op: pathErr.Op, Path: "/" + name, Err: pathErr.Err}
	}
	return file, err
}

// shown is a path as people know it: relative to the configuration.
func shown(base, path string) string {
	if relative, err := filepath.Rel(base, path); err == nil {
		return filepath.ToSlash(relative)
	}
	return path
}

// digestOf stands for what of the configuration the rows depend on.
func digestOf(parts ...any) string {
	text, err := json.Marshal(parts)
	if err != nil {
		text = []byte(err.Error()) // texts and lists of them always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// shortDigest is what people compare.
func shortDigest(digest string) string {
	return strings.ToLower(digest[:min(len(digest), 12)])
}
