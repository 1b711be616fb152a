package manager_test

import (
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/fixtures"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// The main job: production is backed up twice, and its copy shows it as of
// either point, equal in everything.
func TestShopAsOfEitherPoint(t *testing.T) {
	t.Parallel()
	a, b := pgtest.Start(t), pgtest.StartOwn(t, pgtest.Options{Side: pgtest.Target})
	var build []string
	for _, step := range fixtures.Shop() {
		build = append(build, step.SQL)
	}
	prod := on(t, a, "prod", envdb.Production).have(t, build...)
	prodCopy := on(t, b, "prod-copy", envdb.ProductionCopy)
	w := newWorld(t, prod, prodCopy)

	before := prod.query(t, fixtures.ShopTotals())
	first := w.backup("prod")
	if first.Totals.StoredBytes == 0 || first.Totals.LogicalBytes < 10<<20 {
		t.Errorf("the first backup: %+v", first.Totals)
	}
	prod.exec(t, fixtures.ShopChanges())
	after := prod.query(t, fixtures.ShopTotals())
	if before == after {
		t.Fatal("the changes change no total")
	}
	second := w.backup("prod")
	if share := float64(second.Totals.StoredBytes) / float64(first.Totals.StoredBytes); share > 0.35 {
		t.Errorf("the second backup stored %.0f%% of the first: %d of %d bytes", 100*share, second.Totals.StoredBytes, first.Totals.StoredBytes)
	}

	old := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "prod-copy", Point: envdb.At(second.Point.Add(-1))})
	if old.Backup != first.ID || !old.Point.Equal(first.Point) {
		t.Errorf("the point before the second backup gave %s as of %s, want %s", old.Backup, old.Point, first.ID)
	}
	same(t, "totals as of the first point", prodCopy.query(t, fixtures.ShopTotals()), before)

	latest := w.mirror("prod", "prod-copy")
	if latest.Backup != second.ID {
		t.Errorf("the latest point gave %s, want %s", latest.Backup, second.ID)
	}
	same(t, "totals as of the latest point", prodCopy.query(t, fixtures.ShopTotals()), after)
	exactly(t, differences(t, prod, prodCopy), nil) // the shop holds nothing that is not harmless

	prodCopy.exec(t, fixtures.ShopDamage())
	w.rollback("prod-copy")
	same(t, "totals after the rollback", prodCopy.query(t, fixtures.ShopTotals()), before)
	same(t, "versions", w.versions("prod-copy"), "live prod, previous prod, baseline prod")
}
