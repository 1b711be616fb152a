package manager_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
)

const (
	moneyRounds = 8
	moneyRows   = 50
	moneySum    = 2 * moneyRows * 1000
)

// While writers move money between rows, tables and partitions, every mirror
// holds the sum to the cent.
func TestMoneyIsNeitherMadeNorLost(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t,
		"CREATE TABLE current_account (id integer PRIMARY KEY, cents bigint NOT NULL)",
		"CREATE TABLE savings (id integer NOT NULL, region integer NOT NULL, cents bigint NOT NULL) PARTITION BY LIST (region)",
		"CREATE TABLE savings_0 PARTITION OF savings FOR VALUES IN (0)",
		"CREATE TABLE savings_1 PARTITION OF savings FOR VALUES IN (1)",
		fmt.Sprintf("INSERT INTO current_account SELECT i, 1000 FROM generate_series(1, %d) AS i", moneyRows),
		fmt.Sprintf("INSERT INTO savings SELECT i, i %% 2, 1000 FROM generate_series(1, %d) AS i", moneyRows))
	target := on(t, s, "prod-copy", envdb.ProductionCopy)
	w := newWorld(t, prod, target)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers errgroup.Group
	moved := make([]int, 3)
	for i := range moved {
		conn := s.Connect(t, prod.base)
		writers.Go(func() (err error) {
			pace := time.NewTicker(3 * time.Millisecond) // or they leave no processor for anything else
			defer pace.Stop()
			for ctx.Err() == nil && err == nil {
				<-pace.C
				err = moveMoney(ctx, conn)
				moved[i]++
			}
			if ctx.Err() != nil {
				return nil
			}
			return err
		})
	}
	const sum = "SELECT (SELECT sum(cents) FROM current_account) + (SELECT sum(cents) FROM savings)"
	states := map[string]bool{}
	for round := range moneyRounds {
		taken := w.backup("prod")
		if r := w.mirror("prod", "prod-copy"); r.Backup != taken.ID {
			t.Errorf("round %d: the mirror took %s, not the latest backup %s", round, r.Backup, taken.ID)
		}
		if got := target.query(t, sum); got != fmt.Sprint(moneySum) {
			t.Errorf("round %d: the sum is %s, want %d", round, got, moneySum)
		}
		states[target.query(t, "SELECT md5(string_agg(id || ' ' || cents, ',' ORDER BY id)) FROM current_account")] = true
	}
	stop()
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(states) != moneyRounds {
		t.Errorf("%d of %d mirrors differ: the writers moved nothing in between", len(states), moneyRounds)
	}
	t.Logf("%v moves during %d backups and mirrors", moved, moneyRounds)
}

// moveMoney moves an amount between two rows of each table and the other, and
// a row to another partition. Everyone takes locks in one order.
func moveMoney(ctx context.Context, conn *pgx.Conn) error {
	low, cents := 1+rand.IntN(moneyRows-1), rand.IntN(201)-100
	high := low + 1 + rand.IntN(moneyRows-low)
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue("UPDATE current_account SET cents = cents - $2 WHERE id = $1", low, 2*cents)
	batch.Queue("UPDATE current_account SET cents = cents + $2 WHERE id = $1", high, cents)
	batch.Queue("UPDATE savings SET region = 1 - region WHERE id = $1", low)
	batch.Queue("UPDATE savings SET cents = cents + $2 WHERE id = $1", high, cents)
	batch.Queue("COMMIT")
	err := conn.SendBatch(ctx, batch).Close()
	var failed *pgconn.PgError
	if errors.As(err, &failed) && (failed.Code == "40P01" || failed.Code == "40001") { // a deadlock, or a row that moved away
		_, err = conn.Exec(ctx, "ROLLBACK")
	}
	return err
}
