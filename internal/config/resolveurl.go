package config

import (
	"path/filepath"

	"github.com/envdb/envdb"
)

// ResolveURL returns the connection string that a person gave on a command
// line: as it is, as env:NAME or as file:PATH. The errors never quote it.
func (l Loader) ResolveURL(given string) (envdb.ConnString, error) {
	t := text{value: value{doc: &document{name: "the command line", dir: filepath.Clean(l.WorkDir)}, path: "url"}, raw: given}
	held, err := t.resolve(l.lookup)
	if err != nil {
		_, next := envdb.Advice(err)
		return "", envdb.Fail(envdb.ErrMisuse, "%s: %w", given, ErrUnset).WithNext("%s", next)
	}
	if wrong, next := checkConnection(held); wrong != "" {
		return "", envdb.Fail(envdb.ErrMisuse, "the URL %s", wrong).WithNext("%s", next)
	}
	return envdb.ConnString(held), nil
}
