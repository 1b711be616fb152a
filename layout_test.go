package envdb_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/envdb/envdb"

// sourcePackage is one directory of Go files.
type sourcePackage struct {
	dir     string // "." for the root
	name    string
	doc     bool
	imports map[string]string // of files that are no tests, with a file that has it
	files   map[string]int    // lines
}

// public are the packages that other programs may import.
var public = []string{".", "backup", "backup/seal", "restore", "seed", "seed/fixture", "seed/statement", "seed/generate", "seed/fake", "schedule", "fixtures"}

// onlyIn says which packages alone may import what, by prefix of the path.
// A "/" at the end of an importer lets in the packages below it.
var onlyIn = map[string][]string{
	"github.com/spf13/viper":     {"internal/config"},
	"github.com/goccy/go-yaml":   {"internal/config", "seed", "seed/"},
	"github.com/pressly/goose":   {"seed", "seed/"},
	"github.com/brianvoe/":       {"seed", "seed/"},
	"github.com/robfig/cron":     {"schedule"},
	"github.com/aws/":            {"internal/store/s3"},
	"filippo.io/":                {"backup/seal"},
	"github.com/wneessen/":       {"internal/notify"},
	"github.com/spf13/cobra":     {"cmd/envdb"},
	module + "/internal/config":  {"internal/manager", "cmd/envdb"},
	module + "/internal/manager": {"internal/daemon", "cmd/envdb"},
	module + "/internal/console": {"internal/demo", "cmd/envdb"},
	module + "/internal/notify":  {"internal/daemon", "cmd/envdb"},
	module + "/internal/demo":    {"cmd/envdb"},
	module + "/internal/store":   {"internal/store/", "cmd/envdb"},
	module + "/internal/pgtest":  {},
	module + "/internal/s3test":  {},
	module + "/cmd/":             {},
}

// noNames are what a package is called that does not know what it is for.
var noNames = []string{"util", "utils", "common", "helper", "helpers", "model", "models", "type", "types", "misc", "shared", "lib"}

func TestDependencyDirections(t *testing.T) {
	t.Parallel()
	for _, p := range sourcePackages(t) {
		for imported, file := range p.imports {
			if why := forbidden(p.dir, imported); why != "" {
				t.Errorf("%s imports %s: %s", file, imported, why)
			}
		}
	}
}

// forbidden says why the package in dir may not import something, or "".
func forbidden(dir, imported string) string {
	inModule := imported == module || strings.HasPrefix(imported, module+"/")
	switch {
	case dir == "." && inModule:
		return "the root package imports nothing of the module"
	case dir == "." && strings.Contains(strings.Split(imported, "/")[0], "."):
		return "the root package imports the standard library only"
	case slices.Contains(public, dir) && strings.HasPrefix(imported, module+"/internal/"):
		return "a public package never imports internal/"
	case dir == "schedule" && inModule && imported != module:
		return "schedule knows no database"
	}
	for prefix, importers := range onlyIn {
		if within(imported, prefix) && !slices.ContainsFunc(importers, func(i string) bool { return within(dir, i) }) &&
			module+"/"+dir != strings.TrimSuffix(prefix, "/") {
			return "only " + strings.Join(importers, ", ") + " may"
		}
	}
	return ""
}

// within reports whether p is prefix; one that ends in "/" lets in what is
// below it, and so does the path of a foreign module.
func within(p, prefix string) bool {
	if p == strings.TrimSuffix(prefix, "/") {
		return true
	}
	below := strings.HasSuffix(prefix, "/") || strings.Contains(prefix, ".") && !strings.HasPrefix(prefix, module)
	return below && strings.HasPrefix(p, strings.TrimSuffix(prefix, "/")+"/")
}

func TestForbiddenFindsWhatItShould(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dir, imported string
		forbidden     bool
	}{
		{".", module + "/backup", true},
		{".", "github.com/jackc/pgx/v5", true},
		{".", "net/url", false},
		{"backup", module, false},
		{"backup", module + "/internal/store/dir", true},
		{"internal/manager", "github.com/spf13/viper", true},
		{"internal/config", "github.com/spf13/viper", false},
		{"internal/config", "github.com/goccy/go-yaml/parser", false},
		{"internal/store/s3", "github.com/aws/aws-sdk-go-v2/service/s3", false},
		{"internal/store/dir", "github.com/aws/aws-sdk-go-v2/service/s3", true},
		{"backup/seal", "filippo.io/age", false},
		{"backup/seal", module + "/internal/store/dir", true},
		{"backup", "filippo.io/age", true},
		{"internal/logical", "github.com/robfig/cron/v3", true},
		{"internal/logical", module + "/internal/manager", true},
		{"internal/manager", module + "/internal/store", true},
		{"internal/store", module + "/internal/store/dir", false},
		{"cmd/envdb", module + "/internal/manager", false},
		{"schedule", module + "/backup", true},
	} {
		if why := forbidden(c.dir, c.imported); (why != "") != c.forbidden {
			t.Errorf("%s imports %s: %q", c.dir, c.imported, why)
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	for _, p := range sourcePackages(t) {
		if !p.doc {
			t.Errorf("package %s in %s has no doc comment", p.name, p.dir)
		}
		for _, part := range append(strings.Split(p.dir, "/"), p.name) {
			if slices.Contains(noNames, part) {
				t.Errorf("package %s in %s: %q does not say what it provides", p.name, p.dir, part)
			}
		}
	}
}

// mostLines is where a file stops being about one noun.
const mostLines = 600

func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	for _, p := range sourcePackages(t) {
		for file, lines := range p.files {
			if lines > mostLines && !strings.HasSuffix(file, "_test.go") {
				t.Errorf("%s has %d lines; %d is the most", file, lines, mostLines)
			}
		}
	}
}

// sourcePackages reads every package of the module, but not of modules below.
func sourcePackages(t *testing.T) []*sourcePackage {
	t.Helper()
	packages := map[string]*sourcePackage{}
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || hasFile(file, "go.mod")):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(file, ".go"):
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		if packages[dir] == nil {
			packages[dir] = &sourcePackage{dir: dir, imports: map[string]string{}, files: map[string]int{}}
		}
		return packages[dir].read(file)
	})
	if err != nil {
		t.Fatal(err)
	}
	var list []*sourcePackage
	for _, p := range packages {
		// A directory of tests alone is no package.
		if p.name != "" {
			list = append(list, p)
		}
	}
	if len(list) < 3 {
		t.Fatalf("found %d packages; the test reads the wrong directory", len(list))
	}
	return list
}

func hasFile(dir, name string) bool {
	found, err := filepath.Glob(path.Join(dir, name))
	return err == nil && len(found) > 0
}

// read adds a file to the package.
func (p *sourcePackage) read(file string) error {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	p.files[file] = files.File(parsed.Pos()).LineCount()
	if strings.HasSuffix(file, "_test.go") {
		return nil
	}
	p.name = parsed.Name.Name
	p.doc = p.doc || describes(parsed)
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		p.imports[imported] = file
	}
	return nil
}

// describes reports whether a file has the comment of its package.
func describes(f *ast.File) bool {
	return f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != ""
}
