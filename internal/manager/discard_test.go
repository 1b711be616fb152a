package manager_test

import (
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// A dark version can be dropped by a person who types its name; nothing else
// can be dropped that way.
func TestDiscard(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	w := newWorld(t, prod)
	w.backup("prod")
	dark, err := w.Restore(t.Context(), manager.RestoreRequest{Environment: "prod"})
	if err != nil {
		t.Fatal(problem(err))
	}

	before := prod.state(t)
	_, err = w.Discard(t.Context(), manager.DiscardRequest{Environment: "prod", Version: dark.Database})
	wants(t, err, envdb.ErrRefused, "typed again", "nothing was changed", "--confirm")
	_, err = w.Discard(t.Context(), manager.DiscardRequest{Environment: "prod", Version: prod.base, Confirm: prod.base})
	wants(t, err, envdb.ErrRefused, "live")
	_, err = w.Discard(t.Context(), manager.DiscardRequest{Environment: "prod", Version: "nothing", Confirm: "nothing"})
	wants(t, err, envdb.ErrNotFound)
	if plan, err := w.PlanDiscard(t.Context(), manager.DiscardRequest{Environment: "prod", Version: dark.Database}); err != nil || len(plan.Steps) == 0 {
		t.Errorf("plan: %+v, %v", plan, err)
	}
	same(t, "production", prod.state(t), before)

	if _, err := w.Discard(t.Context(), manager.DiscardRequest{Environment: "prod", Version: dark.Database, Confirm: dark.Database}); err != nil {
		t.Fatal(problem(err))
	}
	same(t, "databases", strings.Join(prod.databases(t), " "), prod.base)
	same(t, "live", prod.content(t), "1|prod")
}
