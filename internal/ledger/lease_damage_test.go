package ledger_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/envdb/envdb"
)

// A lease object that is not one is named, with what to do; nobody waits for it.
func TestDamagedLeaseIsNamed(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "{}", "not JSON", `{"environment": "another"}`} {
		synctest.Test(t, func(t *testing.T) {
			st := &memory{}
			lease, err := on("east", st).Exclude(t.Context(), "prod", claim("run"))
			if err != nil {
				t.Fatal(err)
			}
			release(t, lease)
			var key string
			for _, k := range st.keys("") {
				if strings.Contains(k, "/leases/") {
					key = k
				}
			}
			if _, err := st.Put(t.Context(), key, strings.NewReader(content), envdb.Condition{}); err != nil {
				t.Fatal(err)
			}
			_, err = on("west", st).Exclude(t.Context(), "prod", claim("other"))
			if err == nil || !strings.Contains(err.Error(), "unreadable") {
				t.Fatalf("%q: got %v", content, err)
			}
			if _, next := envdb.Advice(err); !strings.Contains(next, key) {
				t.Errorf("%q: the next step is %q", content, next)
			}
		})
	}
}
