package seed

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/envdb/envdb"
)

// Expand returns the fixture files that patterns name, in the order of the
// patterns: a file, a glob, or a directory, which stands for the fixture files
// in it, sorted by name. Each file comes once: where it is named itself, or else
// where the first glob or directory has it. A pattern that names nothing is an
// error (ErrPreflight).
func Expand(fsys fs.FS, patterns []string) ([]string, error) {
	named := make([][]string, len(patterns))
	itself := map[string]int{} // files that a pattern names, with its place
	for i, pattern := range patterns {
		cleaned := path.Clean(strings.TrimPrefix(pattern, "/"))
		var err error
		if named[i], err = expand(fsys, cleaned); err != nil {
			return nil, unchanged(envdb.Fail(envdb.ErrPreflight, "fixtures %s: %w", pattern, err))
		}
		if len(named[i]) == 0 {
			return nil, unchanged(envdb.Fail(envdb.ErrPreflight, "fixtures %s: there is no such file, or no fixture file in it", pattern).
				WithNext("fixture files end in .yml, .yaml, .csv or .sql"))
		}
		if _, before := itself[cleaned]; !before && named[i][0] == cleaned {
			itself[cleaned] = i
		}
	}
	var files []string
	for i := range named {
		for _, name := range named[i] {
			place, own := itself[name]
			if own && place != i || slices.Contains(files, name) {
				continue
			}
			files = append(files, name)
		}
	}
	return files, nil
}

// expand returns the files of one pattern.
func expand(fsys fs.FS, pattern string) ([]string, error) {
	matches := []string{pattern}
	if _, err := fs.Stat(fsys, pattern); err != nil {
		var malformed error
		if matches, malformed = fs.Glob(fsys, pattern); malformed != nil {
			return nil, malformed
		}
	}
	var files []string
	for _, match := range matches {
		info, err := fs.Stat(fsys, match)
		switch {
		case err != nil:
			return nil, err
		case !info.IsDir():
			files = append(files, match)
			continue
		}
		inside, err := inDirectory(fsys, match)
		if err != nil {
			return nil, err
		}
		files = append(files, inside...)
	}
	return files, nil
}

// inDirectory returns the fixture files of a directory, sorted by name.
func inDirectory(fsys fs.FS, dir string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if _, known := forms[strings.ToLower(path.Ext(e.Name()))]; known && !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, path.Join(dir, e.Name()))
		}
	}
	return files, nil
}
