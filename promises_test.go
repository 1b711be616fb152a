package envdb_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testName is how docs/promises.md names a test: `internal/manager TestDiscard`.
var testName = regexp.MustCompile("`([a-z0-9/]+|\\.) (Test[A-Za-z0-9_]+)`")

// TestEveryPromiseHasItsTest holds docs/promises.md to the tests that exist: a
// promise without one, or with one that is gone, fails.
func TestEveryPromiseHasItsTest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/promises.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]map[string]bool{}
	promises := 0
	for row := range strings.Lines(string(text)) {
		if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| promise") {
			continue
		}
		promises++
		named := testName.FindAllStringSubmatch(row, -1)
		if len(named) == 0 {
			t.Errorf("no test holds this promise: %s", row)
		}
		for _, n := range named {
			dir, name := n[1], n[2]
			if tests[dir] == nil {
				tests[dir] = testsOf(t, dir)
			}
			if !tests[dir][name] {
				t.Errorf("%s has no %s, which should hold: %s", dir, name, row)
			}
		}
	}
	if promises < 20 {
		t.Errorf("found %d promises; is the table still one?", promises)
	}
}

// testsOf returns the names of the test functions in a directory.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}
