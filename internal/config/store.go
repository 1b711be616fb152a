package config

import (
	"path/filepath"
	"strings"

	"github.com/envdb/envdb"
)

// Store is where backups, runs and leases live, and how it is reached.
type Store struct {
	// URL is s3://bucket/prefix, or the absolute path of a directory. What
	// follows is of S3 only, and empty for a directory.
	URL string `json:"url"`
	// Endpoint is the URL of an S3 service that is not AWS's.
	Endpoint string `json:"endpoint,omitempty"`
	// Region is empty where AWS's own configuration says it.
	Region string `json:"region,omitempty"`
	// Profile is the kind of service, or empty to find it out: one of Profiles.
	Profile string `json:"profile,omitempty"`
	// PathStyle says whether the bucket stands in the path of requests, not in
	// the host's name; nil leaves it to the profile.
	PathStyle *bool `json:"path_style,omitempty"`
	// SingleWriter names the one machine that writes to a service without
	// conditional writes; empty where conditions hold.
	SingleWriter string `json:"single_writer,omitempty"`
}

// S3 reports whether the store is a bucket.
func (s Store) S3() bool { return isS3(s.URL) }

// Profiles returns the kinds of S3 service that store.profile may name.
func Profiles() []string { return []string{"aws", "r2", "ceph", "b2", "minio", "versitygw", "generic"} }

// storeDeclaration is the section "store" before its references are resolved.
type storeDeclaration struct {
	url, endpoint, region, singleWriter text
	profile                             string
	pathStyle                           *bool

	identity text
	keyID    string

	dir string // a relative path in url starts here
	// moved is set when the url was given by a variable or a flag: then what
	// the file says of S3 may be of another store.
	moved bool
}

// s3Keys are the keys of the section that a directory does not have.
var s3Keys = []string{"endpoint", "region", "profile", "path_style", "single_writer"}

// readStore reads the section of that name.
func (c *Config) readStore(v value) {
	s := &c.store
	seen := v.object(fields{
		"url":           func(v value) { s.url = v.checked(checkStoreURL) },
		"endpoint":      func(v value) { s.endpoint = v.endpoint() },
		"region":        func(v value) { s.region = v.checked(checkRegion) },
		"profile":       func(v value) { s.profile = v.choice("profile", Profiles()...) },
		"path_style":    func(v value) { b := v.boolean(); s.pathStyle = &b },
		"single_writer": func(v value) { s.singleWriter = v.checked(checkWriter) },
		"encryption":    c.readEncryption,
	})
	if s.url.empty() || s.url.refers() || isS3(s.url.raw) {
		return // with references it is looked at when they are resolved
	}
	for _, key := range s3Keys {
		if e, found := seen[key]; found {
			v.doc.fault(e.at, "remove it, or write url: s3://bucket/prefix", "%s: is for S3, and the store is a directory", e.path)
		}
	}
}

// checked reads a scalar that may hold references. One that holds none is
// checked here, the others when they are resolved.
func (v value) checked(check func(string) (wrong, next string)) text {
	t := v.references()
	if t.empty() || len(t.variables()) > 0 {
		return t
	}
	if wrong, next := check(t.raw); wrong != "" {
		v.hint(next, "%s", wrong)
	}
	return t
}

// Store returns the store with its references resolved. Only what needs the
// store asks for it: a rollback works without.
func (c *Config) Store() (Store, error) {
	d := &c.store
	s := Store{Profile: d.profile, PathStyle: d.pathStyle}
	for _, f := range []struct {
		from  text
		key   string
		check func(string) (wrong, next string)
		to    *string
	}{
		{d.url, "url", checkStoreURL, &s.URL},
		{d.endpoint, "endpoint", checkEndpoint, &s.Endpoint},
		{d.region, "region", checkRegion, &s.Region},
		{d.singleWriter, "single_writer", checkWriter, &s.SingleWriter},
	} {
		if f.from.empty() {
			continue
		}
		held, err := f.from.resolveStore(c.get)
		if err != nil {
			return Store{}, err
		}
		if wrong, next := f.check(held); wrong != "" {
			return Store{}, envdb.Fail(envdb.ErrMisuse, "store.%s %s", f.key, wrong).WithState("nothing was changed").WithNext("%s", next)
		}
		*f.to = held
	}
	if s.S3() {
		s.URL = strings.TrimRight(s.URL, "/")
		return s, nil
	}
	return d.directory(s)
}

// directory returns the store s, whose URL names a directory.
func (d *storeDeclaration) directory(s Store) (Store, error) {
	given := s
	given.URL = ""
	if given != (Store{}) && !d.moved {
		return Store{}, envdb.Fail(envdb.ErrMisuse, "store: %s are for S3, and store.url leads to a directory", strings.Join(s3Keys, ", ")).
			WithState("nothing was changed").WithNext("remove them from the configuration, or let store.url be s3://bucket/prefix")
	}
	path, _, _ := directoryOf(s.URL)
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.dir, path)
	}
	return Store{URL: filepath.Clean(path)}, nil
}

// resolveStore resolves references; here file: begins a URL, not a reference.
// What a variable or a flag gave has none.
func (t text) resolveStore(get lookup) (string, error) {
	if t.doc == nil {
		return t.raw, nil
	}
	if name, whole := strings.CutPrefix(t.raw, "env:"); whole {
		return t.variable(name, get)
	}
	return t.expand(get)
}
