package logical_test

import (
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
)

// TestLoadSortsInMemory gives the sessions half of the server's shared buffers
// together to sort in, unless the server or the caller says otherwise.
func TestLoadSortsInMemory(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	m, cat := takenFrom(t, s, loadSource(t, s, small))
	seen := &logical.Neutralisation{SQLFiles: []logical.SQLFile{{
		Name: "seen.sql", SQL: "CREATE TABLE public.seen AS SELECT current_setting('maintenance_work_mem') AS room",
	}}}
	little := pgtest.StartOwn(t, pgtest.Options{Side: pgtest.Target, Settings: map[string]string{"maintenance_work_mem": "2MB", "shared_buffers": "64MB"}})
	for name, tt := range map[string]struct {
		server *pgtest.Server
		load   logical.Loading
		want   string
	}{
		"one session":   {little, logical.Loading{Jobs: 1}, "32MB"},
		"four sessions": {little, logical.Loading{Jobs: 4}, "8MB"},
		"many sessions": {little, logical.Loading{Jobs: 20}, "2MB"},
		"as asked":      {little, logical.Loading{Jobs: 1, MaintenanceWorkMem: "3MB"}, "3MB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.load.Neutralise = seen
			to, _ := loadInto(t, tt.server, m, cat, tt.load)
			if got := tt.server.QueryText(t, to, "SELECT room FROM public.seen"); got != tt.want {
				t.Errorf("maintenance_work_mem is %s; want %s", got, tt.want)
			}
		})
	}
}
