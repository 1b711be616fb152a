package logical_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
)

func TestSkipExtensions(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	m, cat := takenFrom(t, s, loadSource(t, s, `
		CREATE EXTENSION citext; CREATE EXTENSION hstore VERSION '1.7'; COMMENT ON EXTENSION citext IS 'skipped';
		GRANT EXECUTE ON FUNCTION citext_eq(citext, citext) TO CURRENT_USER; REVOKE EXECUTE ON FUNCTION citext_eq(citext, citext) FROM PUBLIC;
		CREATE TABLE t (h hstore)`))
	skip := []string{"citext"}
	database, loaded := loadInto(t, s, m, cat, logical.Loading{SkipExtensions: skip})
	if got := s.QueryText(t, database, "SELECT string_agg(extname || extversion, ',' ORDER BY 1) FROM pg_extension WHERE extname <> 'plpgsql'"); got != "hstore1.7" {
		t.Errorf("extensions are %s; want the source's version of what is not skipped", got)
	}
	if _, err := checkCopy(t, s, database, cat, logical.Expect{Loaded: loaded, SkippedExtensions: skip}); err != nil {
		t.Error(err)
	}
	if _, err := checkCopy(t, s, database, cat, logical.Expect{Loaded: loaded}); !errors.Is(err, envdb.ErrVerification) {
		t.Errorf("a missing extension passes: %v", err)
	}

	_, err := logical.Load(t.Context(), logical.Loading{URL: s.URL(s.CreateDatabase(t)), SkipExtensions: []string{"hstore"}}, m, cat)
	if !errors.Is(err, envdb.ErrPreflight) || !strings.Contains(err.Error(), "TABLE public.t") {
		t.Errorf("skipping what a table needs: %v", err)
	}
}
