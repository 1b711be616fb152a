// Package store opens a store by its URL.
//
// The one idea: everything else speaks to an envdb.Store and cannot tell a
// directory from a bucket; storetest holds every implementation to the same
// contract.
package store

import (
	"context"
	"log/slog"
	"net/url"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/store/dir"
	"github.com/envdb/envdb/internal/store/s3"
)

// Config says where a store is. What follows the URL is of S3 only, and ignored
// for a directory.
type Config struct {
	// URL is s3://bucket/prefix, file:///path, or a path.
	URL string
	// Endpoint is the URL of an S3 service that is not AWS's.
	Endpoint string
	// Region is empty where AWS's own configuration says it.
	Region string
	// Profile is one of s3.Profiles, or empty to tell it by the endpoint.
	Profile string
	// PathStyle puts the bucket into the path of requests, not the host's name;
	// nil does as the profile says.
	PathStyle *bool
	// SingleWriter names the one writer to a service without conditional writes.
	SingleWriter string
	// Log gets retries and other surprises; nil is silence.
	Log *slog.Logger
	// Patience bounds waiting for S3; its zero fields are the defaults.
	Patience s3.Patience
}

// Open returns the store. It creates nothing, and does not speak to S3 yet.
func Open(ctx context.Context, c Config) (envdb.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if strings.HasPrefix(c.URL, "s3://") {
		bucket, prefix, err := bucketOf(c.URL)
		if err != nil {
			return nil, err
		}
		return s3.Open(ctx, s3.Config{
			Bucket: bucket, Prefix: prefix, Endpoint: c.Endpoint, Region: c.Region, Profile: s3.Profile(c.Profile),
			PathStyle: c.PathStyle, SingleWriter: c.SingleWriter, Log: c.Log, Patience: c.Patience,
		})
	}
	path, err := directory(c.URL)
	if err != nil {
		return nil, err
	}
	return dir.Open(path)
}

// bucketOf returns the bucket and the folder that an s3:// URL names.
func bucketOf(location string) (bucket, prefix string, err error) {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" || u.User != nil || u.Port() != "" || u.RawQuery != "" || u.Fragment != "" {
		// The URL is not repeated: who writes keys into it does not want them printed.
		return "", "", envdb.Fail(envdb.ErrMisuse, "the store's URL is not of the form s3://bucket/prefix").
			WithNext("set store.url, e.g. s3://my-bucket/envdb; endpoint and region have keys of their own, and credentials come from AWS's default chain")
	}
	return u.Host, strings.Trim(u.Path, "/"), nil
}

// directory returns the path that a location names.
func directory(location string) (string, error) {
	const example = "use a directory, file:///var/lib/envdb/store, or a bucket, s3://my-bucket/envdb"
	scheme, _, hasScheme := strings.Cut(location, "://")
	switch {
	case location == "":
		return "", envdb.Fail(envdb.ErrMisuse, "no store is configured").WithNext("set store.url: %s", example)
	case strings.HasPrefix(location, "~"):
		return "", envdb.Fail(envdb.ErrMisuse, "store %q: ~ is not expanded here", location).WithNext("write the whole path")
	case !hasScheme:
		return location, nil
	case scheme != "file":
		return "", envdb.Fail(envdb.ErrMisuse, "store %q: unknown scheme %q", location, scheme).WithNext(example)
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
