package manager_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// A version is named by its database, its id, or its state where that is one
// version's; a URL that nobody can use is not given.
func TestURLOfAVersion(t *testing.T) {
	t.Parallel()
	s := pgtest.StartTarget(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	qa := on(t, s, "qa", envdb.QA, "keep_previous: 2", "spares: 1")
	w := newWorld(t, prod, qa)
	w.mirror("prod", "qa")
	second := w.mirror("prod", "qa")
	database := func(version string) string {
		t.Helper()
		u, err := w.URL(t.Context(), "qa", version)
		if err != nil {
			t.Errorf("%s: %s", version, problem(err))
			return ""
		}
		parsed, err := url.Parse(u.URL)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(parsed.Path, "/")
	}
	same(t, "live", database("live"), qa.base)
	same(t, "previous", database("previous"), second.Previous)
	same(t, "its name", database(second.Previous), second.Previous)
	versions, err := w.Versions(t.Context(), "qa")
	if err != nil {
		t.Fatal(problem(err))
	}
	for _, v := range versions.Versions {
		if v.State == envdb.Baseline || v.State == envdb.Spare {
			for _, called := range []string{v.Name, string(v.State)} {
				_, err := w.URL(t.Context(), "qa", called)
				wants(t, err, envdb.ErrRefused, "is a "+string(v.State)+": it is sealed", "envdb reset qa")
			}
		}
	}
	_, err = w.URL(t.Context(), "qa", "dark")
	wants(t, err, envdb.ErrNotFound, `qa has no version "dark"`)
	w.mirror("prod", "qa")
	_, err = w.URL(t.Context(), "qa", "previous")
	wants(t, err, envdb.ErrMisuse, `qa has 2 versions "previous"`, second.Previous)
}

// What is live and takes no connections is not up, and who runs into it is told
// how to open it.
func TestLiveThatTakesNoConnections(t *testing.T) {
	t.Parallel()
	s := pgtest.StartTarget(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	qa := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, qa)
	w.mirror("prod", "qa")
	allow := func(connections string) {
		s.Exec(t, "postgres", "ALTER DATABASE "+postgres.Quote(qa.base)+" ALLOW_CONNECTIONS "+connections)
	}
	allow("false")
	open := "ALTER DATABASE " + postgres.Quote(qa.base) + " ALLOW_CONNECTIONS true"
	if line := w.status("qa"); line.State != "closed" || !strings.Contains(strings.Join(line.Notes, "; "), open) {
		t.Errorf("status: %+v", line)
	}
	_, err := w.Backup(t.Context(), manager.BackupRequest{Environment: "qa"})
	wants(t, err, envdb.ErrUnreachable, "not currently accepting connections", open)
	_, err = w.URL(t.Context(), "qa", "live")
	wants(t, err, envdb.ErrRefused, "does not allow connections", open)
	allow("true")
	same(t, "status", w.status("qa").State, "up")
}
