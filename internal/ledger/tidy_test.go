package ledger_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

// A day that is over holds no run that is said to run and is dead: it would stay
// for ever. One that lives stays as it is.
func TestTidySettlesTheDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		east, west := on("east", st), on("west", st)
		backup := ledger.Run{Operation: envdb.OpBackup, Environment: "prod"}
		dead := begin(t, east, backup) // holds no lease, as if another had taken its place
		alive := backup
		alive.ID = east.NewRunID()
		lease, err := east.Share(t.Context(), "prod", ledger.Claim{Run: alive.ID, Operation: envdb.OpBackup})
		if err != nil {
			t.Fatal(err)
		}
		living := begin(t, east, alive)
		outcomes := func() (found []string) {
			for object, err := range st.List(t.Context(), "acme/runs/") {
				if err != nil {
					t.Fatal(err)
				}
				for id, name := range map[string]string{dead.ID(): "dead", living.ID(): "living"} {
					if strings.Contains(object.Key, id) && !strings.HasSuffix(object.Key, ".log") {
						found = append(found, name+object.Key[strings.LastIndexByte(object.Key, '.'):])
					}
				}
			}
			slices.Sort(found)
			return found
		}
		tidy := func() {
			t.Helper()
			if _, err := west.Tidy(t.Context(), 90*envdb.Day); err != nil {
				t.Fatal(err)
			}
		}
		tidy()
		if got, want := outcomes(), []string{"dead.running", "living.running"}; !slices.Equal(got, want) {
			t.Errorf("on the same day there are %q, want %q", got, want)
		}
		time.Sleep(envdb.Day)
		tidy()
		if got, want := outcomes(), []string{"dead.interrupted", "living.running"}; !slices.Equal(got, want) {
			t.Errorf("a day later there are %q, want %q", got, want)
		}
		finish(t, living, nil)
		finish(t, dead, nil) // its own word counts, however late
		if got, want := outcomes(), []string{"dead.succeeded", "living.succeeded"}; !slices.Equal(got, want) {
			t.Errorf("in the end there are %q, want %q", got, want)
		}
		release(t, lease)
	})
}
