package logical_test

import (
	"context"
	"testing"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// loadable is a backup in memory whose fetches can fail.
type loadable struct {
	*memory
	fetch func(backup.Ref) error
}

func (l *loadable) Fetch(ctx context.Context, ref backup.Ref, buf []byte) ([]byte, error) {
	if l.fetch != nil {
		if err := l.fetch(ref); err != nil {
			return nil, err
		}
	}
	return l.memory.Fetch(ctx, ref, buf)
}

func (l *loadable) FetchRun(ctx context.Context, run []backup.Ref, _ []byte) ([]byte, error) {
	return joined(ctx, l.Fetch, run)
}

// takenFrom backs a database up into loadable.
func takenFrom(t *testing.T, s *pgtest.Server, database string) (*loadable, *logical.Catalogue) {
	t.Helper()
	m := &loadable{memory: newMemory()}
	cat, err := logical.Take(t.Context(), logical.Source{URL: s.URL(database), App: "envdb/test", Jobs: 2}, m)
	if err != nil {
		t.Fatalf("take: %v", err)
	}
	return m, cat
}

// loadSource makes a database with the statements run in it.
func loadSource(t *testing.T, s *pgtest.Server, sql ...string) string {
	t.Helper()
	name := s.CreateDatabase(t)
	s.Exec(t, name, sql...)
	return name
}

// loadInto loads a backup into a new database as the superuser.
func loadInto(t *testing.T, s *pgtest.Server, m *loadable, cat *logical.Catalogue, l logical.Loading) (database string, loaded *logical.Loaded) {
	t.Helper()
	database = s.CreateDatabase(t)
	l.URL, l.App = s.URL(database), "envdb/test"
	loaded, err := logical.Load(t.Context(), l, m, cat)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return database, loaded
}

// loadAs loads a backup into a new database that belongs to a role, over a
// session of the role.
func loadAs(t *testing.T, s *pgtest.Server, role, password string, m *loadable, cat *logical.Catalogue, l logical.Loading) (database string, loaded *logical.Loaded, err error) {
	t.Helper()
	database = s.CreateDatabase(t)
	s.Exec(t, "postgres", "ALTER DATABASE "+postgres.Quote(database)+" OWNER TO "+postgres.Quote(role))
	l.URL, l.App = s.URLAs(role, password, database), "envdb/test"
	loaded, err = logical.Load(t.Context(), l, m, cat)
	return database, loaded, err
}
