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
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	m, cat := takenFrom(t, s, loadSource(t, s, `
		CREATE EXTENSION citext; CREATE EXTENSION hstore VERSION '1.7'; COMMENT ON EXTENSION citext IS 'skipped';
		GRANT EXECUTE ON FUNCTION citext_eq(citext, citext) TO CURRENT_USER; REVOKE EXECUTE ON FUNCTION citext_eq(citext, citext) FROM PUBLIC;
		CREATE TABLE t (h hstore)`))
	skip := []string{"citext"}
	database, loaded := loadInto(t, target, m, cat, logical.Loading{SkipExtensions: skip})
	want := "hstore1.7" // the source's version, but on a newer server the one that is made for it
	if target.Major() != s.Major() {
		want = "hstore" + target.QueryText(t, "postgres", "SELECT default_version FROM pg_available_extensions WHERE name = 'hstore'")
	}
	if got := target.QueryText(t, database, "SELECT string_agg(extname || extversion, ',' ORDER BY 1) FROM pg_extension WHERE extname <> 'plpgsql'"); got != want {
		t.Errorf("extensions are %s; want %s of what is not skipped", got, want)
	}
	if _, err := checkCopy(t, target, database, cat, logical.Expect{Loaded: loaded, SkippedExtensions: skip}); err != nil {
		t.Error(err)
	}
	if _, err := checkCopy(t, target, database, cat, logical.Expect{Loaded: loaded}); !errors.Is(err, envdb.ErrVerification) {
		t.Errorf("a missing extension passes: %v", err)
	}

	_, err := logical.Load(t.Context(), logical.Loading{URL: target.URL(target.CreateDatabase(t)), SkipExtensions: []string{"hstore"}}, m, cat)
	if !errors.Is(err, envdb.ErrPreflight) || !strings.Contains(err.Error(), "TABLE public.t") {
		t.Errorf("skipping what a table needs: %v", err)
	}
}
