package s3_test

import (
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store/s3"
	"github.com/envdb/envdb/internal/store/storetest"
)

func TestMain(m *testing.M) {
	s3test.Main(m)
}

// open returns a store in a new bucket, for the owner of the server.
func open(t testing.TB, c s3.Config) *s3.Store {
	t.Helper()
	st, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestContract(t *testing.T) {
	storetest.RunShared(t, func(tb testing.TB) func() envdb.Store {
		server := s3test.Start(tb)
		c := s3.Config{Bucket: server.Bucket(tb), Prefix: "deep/folder", Endpoint: server.URL()}
		return func() envdb.Store { return open(tb, c) }
	})
}
