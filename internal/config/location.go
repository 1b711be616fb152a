package config

import (
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/envdb/envdb"
)

const exampleStore = "write s3://bucket/prefix, or a directory: file:///var/lib/envdb/store, or its path"

// isS3 reports whether a store's URL means a bucket.
func isS3(raw string) bool { return strings.HasPrefix(raw, "s3://") }

// checkStoreURL returns what is wrong with a store's URL, and what to write
// instead; never the URL itself, which may hold a secret.
func checkStoreURL(raw string) (wrong, next string) {
	if isS3(raw) {
		return checkBucket(strings.TrimPrefix(raw, "s3://"))
	}
	_, wrong, next = directoryOf(raw)
	return wrong, next
}

// The names of buckets that the services in use accept, and of the prefixes
// that every one of them takes in a request as they are.
var (
	bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$`)
	keyPrefix  = regexp.MustCompile(`^[A-Za-z0-9!_.*'()=+,/-]*$`)
)

// checkBucket looks at what follows s3://.
func checkBucket(rest string) (wrong, next string) {
	const example = "write s3://bucket/prefix"
	bucket, prefix, _ := strings.Cut(rest, "/")
	switch {
	// A secret key may hold a slash, so an @ behind one may end credentials too.
	case strings.Contains(rest, "@"):
		return "holds credentials (or an @), which do not belong into it",
			"write s3://bucket/prefix, and give the credentials as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in ~/.aws/credentials"
	case bucket == "":
		return "names no bucket", example
	case strings.Contains(bucket, ":"):
		return "names a port or a host", "write s3://bucket/prefix, and the service's address as store.endpoint"
	case strings.ContainsAny(rest, "?#"):
		return "has a ? or a #", "write s3://bucket/prefix, and region and endpoint as keys of store"
	case !bucketName.MatchString(bucket):
		return "has a bucket that no service accepts", "a bucket's name has 3 to 63 letters, digits, dots and hyphens"
	case strings.Contains("/"+prefix, "//") && prefix != "" || !keyPrefix.MatchString(prefix):
		return "has a prefix that envdb does not use", "a prefix has letters, digits, and any of /!_.*'()=+,- with no slash doubled"
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "." || part == ".." {
			return "has a prefix with . or .. in it", example
		}
	}
	return "", ""
}

// directoryOf returns the directory that a store's URL names, or what is wrong
// with it and what to write instead.
func directoryOf(raw string) (path, wrong, next string) {
	scheme, rest, found := strings.Cut(raw, "://")
	switch {
	case raw == "":
		return "", "is missing", exampleStore
	case found && scheme != "file":
		return "", "has the unknown scheme " + scheme, exampleStore
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

const exampleEndpoint = "write https://s3.example.com, with a port if it is not the usual one"

// checkEndpoint returns what is wrong with the URL of a service.
func checkEndpoint(raw string) (wrong, next string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "is not the URL of a service", exampleEndpoint
	case u.User != nil || strings.Contains(raw, "@"):
		return "holds credentials, which do not belong into it", "give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in ~/.aws/credentials"
	case u.RawQuery != "" || u.Fragment != "":
		return "has a ? or a #", exampleEndpoint
	}
	return "", ""
}

// endpoint reads the URL of a service, and warns where it is not encrypted.
func (v value) endpoint() text {
	t := v.checked(checkEndpoint)
	if u, err := url.Parse(t.raw); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		v.doc.warn(v.at(), "%s is http: whoever is on the way can read and change what is sent; write https if the service has it", v.path)
	}
	return t
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

var regionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

func checkRegion(raw string) (wrong, next string) {
	if !regionName.MatchString(raw) {
		return "is not the name of a region", "write it as the service does: eu-central-1"
	}
	return "", ""
}

func checkWriter(raw string) (wrong, next string) {
	if envdb.CheckName(raw) != nil {
		return "is not a name", "write a name of this machine: letters, digits, dots and hyphens"
	}
	return "", ""
}
