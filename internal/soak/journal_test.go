package soak_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/pgtest"
)

// journal is a table to which clients append, and what they know of it. Each
// writes 1, 2, 3, … in transactions of its own, so a moment of the database is a
// number for each client: the last one that was committed.
type journal struct {
	server   *pgtest.Server
	database string

	mu      sync.Mutex
	entries [][]entry // by client
}

// entry is when a transaction may have been committed, by the clock that the
// server has, too.
type entry struct{ after, before time.Time }

const journalClients = 3

func newJournal(t *testing.T, s *pgtest.Server, database string) *journal {
	t.Helper()
	s.Exec(t, database, "CREATE TABLE journal (client int, n bigint, at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (client, n))",
		"CREATE TABLE balance (client int PRIMARY KEY, n bigint NOT NULL)",
		fmt.Sprintf("INSERT INTO balance SELECT i, 0 FROM generate_series(0, %d) AS i", journalClients-1))
	return &journal{server: s, database: database, entries: make([][]entry, journalClients)}
}

// write appends until ctx ends.
func (j *journal) write(ctx context.Context, t *testing.T) {
	var all sync.WaitGroup
	for client := range journalClients {
		conn := j.server.Connect(t, j.database)
		all.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				e := entry{after: time.Now()}
				// One statement is one transaction: both tables or neither.
				_, err := conn.Exec(context.Background(), "WITH b AS (UPDATE balance SET n = $2 WHERE client = $1) INSERT INTO journal (client, n) VALUES ($1, $2)", client, n)
				e.before = time.Now()
				if err != nil {
					t.Errorf("client %d: %v", client, err)
					return
				}
				j.mu.Lock()
				j.entries[client] = append(j.entries[client], e)
				j.mu.Unlock()
				_ = wait(ctx, time.Duration(20+10*client)*time.Millisecond)
			}
		})
	}
	all.Wait()
}

// around is by how much the moment of a backup's snapshot may lie before its
// point: the server's clock is read behind the snapshot.
const around = time.Second

// holds returns an error unless a database is the journal as it was at one
// moment, just before a backup's point: for every client all that was committed
// until then, and nothing that was begun later.
func (j *journal) holds(t *testing.T, database string, point time.Time) error {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	earliest, latest := point.Add(-around), point
	for client, entries := range j.entries {
		var last, rows, balance int
		text := j.server.QueryText(t, database, fmt.Sprintf("SELECT format('%%s %%s %%s', coalesce(max(n), 0), count(*), (SELECT n FROM balance WHERE client = %[1]d)) FROM journal WHERE client = %[1]d", client))
		if _, err := fmt.Sscan(text, &last, &rows, &balance); err != nil {
			return fmt.Errorf("client %d: %q: %w", client, text, err)
		}
		switch {
		case rows != last:
			return fmt.Errorf("client %d: %d rows up to number %d: some are missing", client, rows, last)
		case balance != last:
			return fmt.Errorf("client %d: the balance is of %d and the journal of %d: half a transaction", client, balance, last)
		case last > len(entries):
			return fmt.Errorf("client %d: number %d was never written", client, last)
		}
		if last > 0 && entries[last-1].after.After(earliest) {
			earliest = entries[last-1].after
		}
		if last < len(entries) && entries[last].before.Before(latest) {
			latest = entries[last].before
		}
		if earliest.After(latest) {
			return fmt.Errorf("client %d: with number %d as its last it is of no moment in the second before %s", client, last, point.Format(time.RFC3339Nano))
		}
	}
	return nil
}

// written returns how many transactions were committed.
func (j *journal) written() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	sum := 0
	for _, entries := range j.entries {
		sum += len(entries)
	}
	return sum
}

// wait returns after d, or with an error when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.New("it is over")
	}
}
