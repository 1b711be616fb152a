// Package store opens a store by its URL.
//
// The one idea: everything else speaks to an envdb.Store and cannot tell a
// directory from a bucket; storetest holds every implementation to the same
// contract.
package store

import (
	"context"
	"net/url"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/store/dir"
)

// Open returns the store at a file:// URL or a path. It creates nothing.
func Open(ctx context.Context, location string) (envdb.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := directory(location)
	if err != nil {
		return nil, err
	}
	return dir.Open(path)
}

// directory returns the path that a location names.
func directory(location string) (string, error) {
	scheme, _, hasScheme := strings.Cut(location, "://")
	switch {
	case location == "":
		return "", envdb.Fail(envdb.ErrMisuse, "no store is configured").WithNext("set store.url, e.g. file:///var/lib/envdb/store")
	case strings.HasPrefix(location, "~"):
		return "", envdb.Fail(envdb.ErrMisuse, "store %q: ~ is not expanded here", location).WithNext("write the whole path")
	case !hasScheme:
		return location, nil
	case scheme == "s3":
		return "", envdb.Fail(envdb.ErrMisuse, "store %q: this build of envdb has no S3 store", location).
			WithNext("use a directory: file:///var/lib/envdb/store")
	case scheme != "file":
		return "", envdb.Fail(envdb.ErrMisuse, "store %q: unknown scheme %q", location, scheme).
			WithNext("use a directory: file:///var/lib/envdb/store")
	}
	u, err := url.Parse(location)
	if err != nil {
		return "", envdb.Fail(envdb.ErrMisuse, "store %q: %w", location, err)
	}
	if (u.Host != "" && u.Host != "localhost") || u.Path == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", envdb.Fail(envdb.ErrMisuse, "store %q: not the URL of a directory", location).
			WithNext("write three slashes and the whole path: file:///var/lib/envdb/store")
	}
	return u.Path, nil
}
