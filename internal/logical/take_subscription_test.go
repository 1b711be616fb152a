package logical_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
)

// A role that may not read where subscriptions connect to takes backups
// without them, says so, and what it took can be loaded and checked.
func TestBackupByAnOrdinaryRoleLeavesSubscriptionsOut(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE t (id int)",
		"CREATE SUBSCRIPTION feed CONNECTION 'dbname=nowhere password=s3cret' PUBLICATION p WITH (connect = false)",
		"COMMENT ON SUBSCRIPTION feed IS 'from elsewhere'")
	role, password := s.CreateRole(t, "BYPASSRLS")
	s.Exec(t, db, "GRANT pg_read_all_data TO "+role)

	for _, c := range []struct {
		name string
		src  logical.Source
		want bool
	}{
		{"superuser", logical.Source{URL: s.URL(db)}, true},
		{"ordinary", logical.Source{URL: s.URLAs(role, password, db)}, false},
	} {
		cat, err := logical.Take(t.Context(), c.src, newMemory())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		has := slices.ContainsFunc(cat.Objects, func(o logical.Object) bool { return strings.Contains(o.Class+o.Identity, "subscription") })
		if (len(cat.Subscriptions) == 1) != c.want || has != c.want {
			t.Errorf("%s: subscriptions %q, in the inventory %t, want %t", c.name, cat.Subscriptions, has, c.want)
		}
		noted := slices.ContainsFunc(cat.Notes, func(n string) bool { return strings.Contains(n, "subscription feed is not in the backup") })
		if noted == c.want {
			t.Errorf("%s: notes %q", c.name, cat.Notes)
		}
	}
}
