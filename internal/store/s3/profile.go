package s3

import (
	"slices"
	"strings"

	"github.com/envdb/envdb"
)

// Profile is a kind of S3 endpoint.
type Profile string

// The kinds of endpoints that envdb knows something particular about.
const (
	AWS       Profile = "aws"
	R2        Profile = "r2"
	Ceph      Profile = "ceph"
	B2        Profile = "b2"
	MinIO     Profile = "minio"
	VersityGW Profile = "versitygw"
	Generic   Profile = "generic"
)

// traits are what differs between endpoints as far as envdb needs it. What can
// be found out, Probe finds out; what is here must be known beforehand.
type traits struct {
	name Profile
	// hosts are the ends of host names that tell the kind.
	hosts []string
	// region signs requests if nothing else names one.
	region string
	// pathStyle: the bucket goes into the path, not the host name.
	pathStyle bool
	// checksums: CRC32 may be sent with every body. Elsewhere bodies are
	// covered by the SHA-256 in their signature only, which the endpoint checks
	// as well.
	checksums bool
	// conditionalComplete: CompleteMultipartUpload honours conditions.
	conditionalComplete bool
	// parts is how many an upload may have.
	parts int64
}

// profiles are in the order in which hosts are compared.
var profiles = []traits{
	{name: AWS, hosts: []string{".amazonaws.com", ".amazonaws.com.cn"}, region: "us-east-1", checksums: true, conditionalComplete: true, parts: 10_000},
	{name: R2, hosts: []string{".r2.cloudflarestorage.com"}, region: "auto", pathStyle: true, parts: 10_000},
	{name: B2, hosts: []string{".backblazeb2.com"}, region: "us-east-1", pathStyle: true, parts: 10_000},
	{name: Ceph, region: "us-east-1", pathStyle: true, parts: 1_000},
	{name: MinIO, hosts: []string{".min.io"}, region: "us-east-1", pathStyle: true, conditionalComplete: true, parts: 10_000},
	{name: VersityGW, region: "us-east-1", pathStyle: true, checksums: true, conditionalComplete: true, parts: 10_000},
	{name: Generic, region: "us-east-1", pathStyle: true, parts: 1_000},
}

// Profiles returns the names that Config.Profile may have.
func Profiles() []Profile {
	names := make([]Profile, len(profiles))
	for i, t := range profiles {
		names[i] = t.name
	}
	return names
}

// traitsOf returns what is known of an endpoint: by its profile's name if
// there is one, or else by its host; no host is AWS.
func traitsOf(name Profile, host string) (traits, error) {
	if name == "" && host == "" {
		name = AWS
	}
	if name == "" {
		name = Generic
		for _, t := range profiles {
			if slices.ContainsFunc(t.hosts, func(end string) bool { return strings.HasSuffix("."+strings.ToLower(host), end) }) {
				name = t.name
				break
			}
		}
	}
	i := slices.IndexFunc(profiles, func(t traits) bool { return t.name == name })
	if i < 0 {
		return traits{}, envdb.Fail(envdb.ErrMisuse, "the S3 profile %q is unknown", name).WithNext("set store.profile to one of %v, or leave it out", Profiles())
	}
	return profiles[i], nil
}
