package config

import (
	"net/url"
	"path/filepath"
	"strings"

	"github.com/envdb/envdb"
)

// storeURL reads where the store is.
func (v value) storeURL() text {
	t := v.references()
	if t.empty() || len(t.variables()) > 0 {
		return t
	}
	if _, wrong, next := directoryOf(t.raw); wrong != "" {
		v.hint(next, "%s", wrong)
	}
	return t
}

// StoreURL returns the store's directory as an absolute path. Only what needs
// the store asks for it: a rollback works without.
func (c *Config) StoreURL() (string, error) {
	held := c.store.raw
	var err error
	if c.store.doc != nil && len(c.store.variables()) > 0 {
		if held, err = c.store.resolveStore(c.get); err != nil {
			return "", err
		}
	}
	path, wrong, next := directoryOf(held)
	if wrong != "" {
		return "", envdb.Fail(envdb.ErrMisuse, "store.url %s", wrong).WithState("nothing was changed").WithNext("%s", next)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.storeDir, path)
	}
	return filepath.Clean(path), nil
}

// resolveStore resolves references; here file: begins a URL, not a reference.
func (t text) resolveStore(get lookup) (string, error) {
	if name, whole := strings.CutPrefix(t.raw, "env:"); whole {
		return t.variable(name, get)
	}
	return t.expand(get)
}

// directoryOf returns the directory that a store's URL names, or what is wrong
// with it and what to write instead.
func directoryOf(raw string) (path, wrong, next string) {
	const example = "write a directory: file:///var/lib/envdb/store, or its path"
	scheme, rest, found := strings.Cut(raw, "://")
	switch {
	case raw == "":
		return "", "is missing", example
	case found && scheme == "s3":
		return "", "is an S3 URL, and this version of envdb has no S3 store", example
	case found && scheme != "file":
		return "", "has the unknown scheme " + scheme, example
	case strings.HasPrefix(raw, "~"):
		return "", "begins with ~, which is not expanded", "write the whole path, or ${HOME}/…"
	case !found:
		return strings.TrimPrefix(raw, "file:"), "", ""
	}
	host, path, _ := strings.Cut(rest, "/")
	if host != "" && host != "localhost" {
		return "", "names the host " + host, "file:// takes three slashes before an absolute path"
	}
	path, err := url.PathUnescape("/" + path)
	if err != nil {
		return "", "has a % that is not followed by two hexadecimal digits", "percent-encode % as %25"
	}
	return path, "", ""
}
