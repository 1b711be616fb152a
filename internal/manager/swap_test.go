package manager_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// Sessions that reconnect in tight loops do not stop a swap; each sees one
// version or the other, whole.
func TestReconnectingSessionsDuringTheSwap(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	prod.exec(t, "UPDATE t SET who = 'two'")
	w.backup("prod")
	w.mirror("prod", "qa")

	ctx, stop := context.WithCancel(t.Context())
	var clients errgroup.Group
	seen := make([]map[string]int, 4)
	for i := range seen {
		seen[i] = map[string]int{}
		clients.Go(func() error { return insist(ctx, target, seen[i]) })
	}
	eventually(t, "a client is in", func() bool {
		return target.query(t, "SELECT count(*) > 1 FROM pg_stat_activity WHERE datname = current_database()") == "t"
	})
	swaps := 0
	for range 6 {
		r, err := w.Rollback(t.Context(), manager.RollbackRequest{Environment: "qa"})
		if err != nil {
			t.Errorf("swap %d: %s", swaps, problem(err))
			continue
		}
		swaps++
		if r.Held > 3*time.Second {
			t.Errorf("logins were held for %s", r.Held)
		}
	}
	stop()
	if err := clients.Wait(); err != nil {
		t.Error(err)
	}
	total := map[string]int{}
	for _, m := range seen {
		for what, n := range m {
			total[what] += n
		}
	}
	if total["one"] == 0 || total["two"] == 0 || len(total) != 3 && total["refused or ended"] > 0 {
		t.Errorf("the clients saw %v", total)
	}
	t.Logf("%d swaps; the clients saw %v", swaps, total)
}

// insist connects, asks and goes, as fast as it can. That it is ended or
// refused is what a swap does; an answer that belongs to neither version is an
// error.
func insist(ctx context.Context, p place, seen map[string]int) error {
	for ctx.Err() == nil {
		who, err := ask(p)
		if err != nil {
			seen["refused or ended"]++
			continue
		}
		seen[who]++
	}
	return nil
}

func ask(p place) (who string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.url.Reveal())
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	return who, conn.QueryRow(ctx, "SELECT who FROM t").Scan(&who)
}
