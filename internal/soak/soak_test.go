package soak_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres/cluster"
	"github.com/envdb/envdb/internal/programtest"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/schedule"
)

func TestMain(m *testing.M) { os.Exit(programtest.Wrap(s3test.Wrap(pgtest.Wrap(m))).Run()) }

// length is how long to soak.
func length(t *testing.T) time.Duration {
	given := os.Getenv("ENVDB_SOAK")
	if given == "" {
		return 30 * time.Second
	}
	d, err := time.ParseDuration(given)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The ladder of the soak. Backups take about a second here, and may take half of
// the time.
var ladder = schedule.Ladder{5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 3 * time.Minute}

const (
	maxDuty = 0.5
	grace   = 15 * time.Second
	// chores is how often expiry and leftovers are looked after.
	chores = 5 * time.Second
	// faulty is how many of a hundred answers of the store go wrong.
	faulty = 2
)

const configuration = `
project: soak
store: {url: %s, endpoint: %s}
jobs: 2
daemon: {listen: "127.0.0.1:0", housekeeping: %s}
environments:
  prod:
    tier: production
    url: %s
    backup: {ladder: %s, max_duty: %g, grace: %s}
  copy:
    tier: production-copy
    url: %s
    baseline: off
    mirror: {from: prod, schedule: {every: 1m, anchor: "2026-01-01"}}
  lab:
    tier: dev
    url: %s
drills:
  minutely: {from: prod, into: lab, at: latest, schedule: {every: 1m, anchor: "2026-01-01"}}
`

func TestSoak(t *testing.T) {
	t.Parallel()
	last := length(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %s", seed, last)

	server, lab := pgtest.StartOwn(t, pgtest.Options{}), pgtest.StartOwn(t, pgtest.Options{})
	prod := server.CreateDatabase(t)
	j := newJournal(t, server, prod)
	store := s3test.Start(t)
	bucket := store.Bucket(t)
	proxy := s3test.NewProxy(t, store)
	config := fmt.Sprintf(configuration, "s3://"+bucket+"/soak", proxy.URL(), envdb.FormatDuration(chores), server.URL(prod).Reveal(), ladder, maxDuty, envdb.FormatDuration(grace), server.URL(prod+"_copy").Reveal(), lab.URL("lab").Reveal())
	env := append([]string{"AWS_REGION=us-east-1"}, store.Env()...)
	hosts := []*host{newHost(t, "left", config, env), newHost(t, "right", config, env)}
	hosts[0].run(t, "init", "--no-encryption")

	writing, stopWriting := context.WithCancel(t.Context())
	var background sync.WaitGroup
	background.Go(func() { j.write(writing, t) })
	background.Go(func() { pgbench(writing, t, server, prod) })
	inject(proxy, seed)
	for _, h := range hosts {
		h.start(t)
	}
	began := time.Now()
	ever := history{}
	chaotic, calm := context.WithCancel(t.Context())
	background.Go(func() { chaos(chaotic, t, seed, hosts, max(8*time.Second, last/30)) })
	for time.Since(began) < last {
		ever.look(t, hosts[0])
		time.Sleep(2 * time.Second) // the soak is time that passes
	}
	calm()
	proxy.Rule(func(s3test.Call) s3test.Fault { return s3test.Pass })
	time.Sleep(grace + 2*ladder[0] + 3*chores) // what is due and what is dead is seen to
	ended := time.Now()
	stopWriting()
	for _, h := range hosts {
		h.stop(t)
	}
	background.Wait()
	ever.look(t, hosts[0])

	s := summary{last: ended.Sub(began), seed: seed, lives: hosts[0].lives + hosts[1].lives, kills: hosts[0].killed + hosts[1].killed, transactions: j.written(), faults: proxy.Counts()}
	left := backups(t, hosts[0])
	s.taken, s.left = len(ever), len(left)
	ever.nothingLost(t, left, ended)
	s.gap = everyRungServed(t, ever, began, ended)
	s.restored = everyBackupHolds(t, hosts[0], server, j, left)
	nothingLiesAbout(t, hosts[0])
	s.drilled = everyDrillHolds(t, hosts[0], last)
	s.runs = outcomes(t, hosts[0])
	s.log(t)
	if t.Failed() {
		for _, h := range hosts {
			t.Logf("%s:\n%s", h.name, h.lastWords())
		}
	}
}

// pgbench writes beside the journal: tables, indexes and WAL that are not ours.
func pgbench(ctx context.Context, t *testing.T, s *pgtest.Server, database string) {
	programs, err := cluster.Find(0)
	if err != nil {
		t.Error(err)
		return
	}
	path := filepath.Join(programs.Dir, "pgbench")
	url := s.URL(database).Reveal()
	if out, err := exec.CommandContext(ctx, path, "-i", "-q", "-s", "1", url).CombinedOutput(); err != nil {
		t.Errorf("pgbench -i: %v\n%s", err, out)
		return
	}
	out, err := exec.CommandContext(ctx, path, "-n", "-c", "2", "-R", "30", "-T", "86400", url).CombinedOutput()
	if err != nil && ctx.Err() == nil {
		t.Errorf("pgbench: %v\n%s", err, out)
	}
}

// inject has some of the store's answers go wrong, in ways that pass.
func inject(p *s3test.Proxy, seed uint64) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 2))
	kinds := []s3test.Fault{s3test.SlowDown, s3test.TooMany, s3test.Broken, s3test.Unanswered, s3test.Lost, s3test.ResetBody, s3test.ShortBody, s3test.Refuse200, s3test.Refuse200Done}
	p.Rule(func(s3test.Call) s3test.Fault {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(100) >= faulty {
			return s3test.Pass
		}
		return kinds[random.IntN(len(kinds))]
	})
}

// backupLine is what is read of a backup in a list.
type backupLine struct {
	ID        envdb.BackupID
	Point     time.Time
	GoodUntil time.Time `json:"good_until"`
	Tombstone any       `json:"tombstone"`
}

func backups(t *testing.T, h *host) []backupLine {
	t.Helper()
	var list struct{ Backups []backupLine }
	if err := json.Unmarshal(h.run(t, "backups", "prod", "-o", "json"), &list); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list.Backups, func(b backupLine) bool { return b.Tombstone != nil })
}

// history is every backup that ever was.
type history map[envdb.BackupID]backupLine

// look takes in what is there now. The store may fail to say.
func (all history) look(t *testing.T, h *host) {
	t.Helper()
	out, err := h.try("backups", "prod", "-o", "json")
	var list struct{ Backups []backupLine }
	if err == nil && json.Unmarshal(out, &list) == nil {
		for _, b := range list.Backups {
			all[b.ID] = b
		}
	}
}

func (all history) points() []schedule.RestorePoint {
	var points []schedule.RestorePoint
	for _, b := range all {
		points = append(points, schedule.RestorePoint{ID: b.ID, State: schedule.Good, At: b.Point, GoodUntil: b.GoodUntil})
	}
	slices.SortFunc(points, func(a, b schedule.RestorePoint) int { return a.At.Compare(b.At) })
	return points
}

// nothingLost asserts that whatever the policy keeps of all that ever was is
// still there: no sequence of expiries may come to less than one look back.
func (all history) nothingLost(t *testing.T, left []backupLine, now time.Time) {
	t.Helper()
	policy, err := schedule.NewPolicy(ladder, schedule.Keep{}, maxDuty)
	if err != nil {
		t.Fatal(err)
	}
	there := map[envdb.BackupID]bool{}
	for _, b := range left {
		there[b.ID] = true
	}
	for _, d := range (schedule.Rules{Policy: policy}).Keep(now, all.points()) {
		if d.Kept() && !there[d.ID] {
			t.Errorf("backup %s is gone, and should be there: %v", d.ID, d.Reasons)
		}
	}
}

// everyRungServed asserts that no rung went without longer than a fault or a
// killed daemon accounts for, and returns the longest gap.
func everyRungServed(t *testing.T, all history, began, ended time.Time) time.Duration {
	t.Helper()
	points := all.points()
	if len(points) == 0 {
		t.Fatal("no backup was taken")
	}
	// Another daemon looks within an interval of the loop, and waits for a lease
	// at most for its TTL; retries of the store take their time, too.
	const longest = 75 * time.Second
	gap, last := time.Duration(0), began
	for _, p := range points {
		gap = max(gap, p.At.Sub(last))
		last = p.At
	}
	gap = max(gap, ended.Sub(last))
	if gap > longest {
		t.Errorf("for %s no backup was taken", gap)
	}
	policy, err := schedule.NewPolicy(ladder, schedule.Keep{}, maxDuty)
	if err != nil {
		t.Fatal(err)
	}
	for i, answer := range policy.Answers(ended, points) {
		rung := ladder[i]
		if ended.Sub(began) < 2*rung {
			continue
		}
		finer := ladder[max(0, i-1)]
		if answer.Point == "" || answer.Age > rung+finer+gap {
			t.Errorf("asked for %s ago one gets %q, %s old", rung, answer.Point, answer.Age)
		}
	}
	return gap
}

// everyBackupHolds restores every backup that is left, and compares it with what
// its moment held.
func everyBackupHolds(t *testing.T, h *host, s *pgtest.Server, j *journal, left []backupLine) int {
	t.Helper()
	for _, b := range left {
		h.run(t, "mirror", "prod@"+string(b.ID), "copy")
		if err := j.holds(t, j.database+"_copy", b.Point); err != nil {
			t.Errorf("backup %s: %v", b.ID, err)
		}
	}
	return len(left)
}

// nothingLiesAbout asserts that the daemons tidied up after those that died.
func nothingLiesAbout(t *testing.T, h *host) {
	t.Helper()
	out, err := h.try("doctor", "-o", "json")
	var found struct {
		Findings []struct{ About, Level, Text string }
	}
	if jsonErr := json.Unmarshal(out, &found); jsonErr != nil {
		t.Fatalf("%v\n%v", jsonErr, err)
	}
	for _, f := range found.Findings {
		if strings.HasPrefix(f.About, "drill ") {
			continue // its last run may have met a fault; see everyDrillHolds
		}
		if strings.Contains(f.Text, "interrupted") || f.Level == "problem" {
			t.Errorf("the doctor says: %s: %s", f.Level, f.Text)
		}
	}
}

// everyDrillHolds asserts that drills were run and passed, that what failed was
// the store or a server and never a check, and that their reports are one chain.
func everyDrillHolds(t *testing.T, h *host, last time.Duration) (passed int) {
	t.Helper()
	var list struct {
		Reports []struct {
			Number           int
			Outcome, Summary string
		}
	}
	if err := json.Unmarshal(h.run(t, "drills", "--limit", "0", "-o", "json"), &list); err != nil {
		t.Fatal(err)
	}
	for _, r := range list.Reports {
		if r.Outcome == "pass" {
			passed++
			continue
		}
		var report struct {
			Checks []struct{ Name, Outcome string }
		}
		if err := json.Unmarshal(h.run(t, "drills", "show", fmt.Sprint(r.Number), "-o", "json"), &report); err != nil {
			t.Fatal(err)
		}
		for _, c := range report.Checks {
			if c.Outcome == "fail" {
				t.Errorf("drill %d: the check %s fails: %s", r.Number, c.Name, r.Summary)
			}
		}
	}
	if want := int(last / (3 * time.Minute)); passed < want {
		t.Errorf("%d drills passed in %s; at least %d should", passed, last, want)
	}
	h.run(t, "drills", "verify")
	return passed
}

// outcomes counts the runs.
func outcomes(t *testing.T, h *host) map[string]int {
	t.Helper()
	var list struct {
		Runs []struct{ Operation, Outcome string }
	}
	if err := json.Unmarshal(h.run(t, "runs", "--limit", "0", "-o", "json"), &list); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, r := range list.Runs {
		counts[r.Operation+" "+r.Outcome]++
		if r.Outcome == "running" {
			t.Errorf("a %s is said to run, and nobody is there", r.Operation)
		}
	}
	return counts
}

// summary is what the closing lines say.
type summary struct {
	last                  time.Duration
	seed                  uint64
	lives, kills          int
	transactions          int
	taken, left, restored int
	drilled               int
	gap                   time.Duration
	faults, runs          map[string]int
}

func (s summary) log(t *testing.T) {
	calls := 0
	for _, n := range s.faults {
		calls += n
	}
	t.Logf("soak: %s (seed %d): %d lives of two daemons, %d kills; %d transactions of the journal; about %d calls of the store, %d %% faulty; %d backups taken, longest gap %s; %d left, each restored (%d) and equal to its moment; %d drills passed; runs %v",
		s.last.Round(time.Second), s.seed, s.lives, s.kills, s.transactions, calls, faulty, s.taken, s.gap.Round(time.Millisecond), s.left, s.restored, s.drilled, s.runs)
}
