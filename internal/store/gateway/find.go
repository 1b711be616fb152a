package gateway

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/envdb/envdb"
)

// Find returns the versitygw binary of this machine: what ENVDB_VERSITYGW
// names, what is in PATH, or what .ci/versitygw/build put into the cache.
func Find() (string, error) {
	if named := os.Getenv("ENVDB_VERSITYGW"); named != "" {
		return named, nil
	}
	if found, err := exec.LookPath("versitygw"); err == nil {
		return found, nil
	}
	if cache, err := os.UserCacheDir(); err == nil {
		built, _ := filepath.Glob(filepath.Join(cache, "envdb", "versitygw-*[0-9]")) // fails on a malformed pattern only
		if len(built) > 0 {
			return slices.Max(built), nil
		}
	}
	return "", envdb.Fail(envdb.ErrPreflight, "there is no versitygw, the S3 server to try things on, on this machine").
		WithState("nothing was changed").
		WithNext("in envdb's source: make demo ARGS=--s3, which builds it; or install versitygw and put it into PATH")
}
