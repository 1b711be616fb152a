package manager_test

import (
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// discardBaseline drops the environment's baseline.
func (w *world) discardBaseline(env string) {
	w.t.Helper()
	name := w.of(env, envdb.Baseline)
	if _, err := w.Discard(w.t.Context(), manager.DiscardRequest{Environment: env, Version: name, Confirm: name}); err != nil {
		w.t.Fatal(problem(err))
	}
}

// Without its baseline a seeded environment is reset to the rows that it had,
// also on another day, or not at all.
func TestResetOfASeedGivesWhatWasThere(t *testing.T) {
	t.Parallel()
	qa := on(t, pgtest.StartTarget(t), "qa", envdb.QA, shopSeed)
	w := newWorld(t, qa)
	w.plant()
	w.write("fixtures/books.yml", `- {id: 10, author_id: 2, title: 'of {{now.Format "2006-01-02"}}'}`)
	seeded := w.seed(manager.SeedRequest{Environment: "qa", Labels: map[string]string{"build": "7"}})
	books := qa.query(t, booksOf)

	w.discardBaseline("qa")
	qa.exec(t, "TRUNCATE books")
	tomorrow := w.later(2 * envdb.Day)
	reset, err := tomorrow.Reset(t.Context(), manager.ResetRequest{Environment: "qa"})
	if err != nil || reset.Way != manager.BySeed || reset.Bytes < 1<<20 || reset.Held <= 0 || reset.Elapsed < reset.Held {
		t.Fatalf("%+v, %s", reset, problem(err))
	}
	same(t, "the rows after a reset on another day", qa.query(t, booksOf), books)
	live := func() manager.VersionLine {
		list, err := w.Versions(t.Context(), "qa")
		if err != nil {
			t.Fatal(problem(err))
		}
		return list.Versions[0]
	}
	if v := live(); v.Digest != seeded.Digest || v.Labels["build"] != "7" {
		t.Errorf("after the reset: %+v", v)
	}
	if again, err := tomorrow.Seed(t.Context(), manager.SeedRequest{Environment: "qa"}); err != nil || again.Digest == seeded.Digest {
		t.Errorf("a seed on another day: %+v, %s", again, problem(err))
	}

	w.seed(manager.SeedRequest{Environment: "qa"})
	w.write("fixtures/books.yml", "- {id: 10, author_id: 2, title: Fiasco}\n")
	before := qa.state(t)
	again := manager.ResetRequest{Environment: "qa", NoCache: true}
	_, err = w.Reset(t.Context(), again)
	wants(t, err, envdb.ErrPreflight, "qa cannot be reset", "what it was seeded with has changed since", seeded.Digest[:12], "nothing was changed", "envdb seed qa takes")
	_, err = w.PlanReset(t.Context(), again)
	wants(t, err, envdb.ErrPreflight, "what it was seeded with has changed since")
	same(t, "after a refused reset", qa.state(t), before)
	w.discardBaseline("qa")
	before = qa.state(t)
	_, err = w.Reset(t.Context(), manager.ResetRequest{Environment: "qa"})
	wants(t, err, envdb.ErrPreflight, "somebody dropped it", "what it was seeded with has changed since")
	same(t, "after a refused reset", qa.state(t), before)
}

// A clone of the baseline is noted as what it was asked for, and stays so.
func TestResetKeepsWhatWasNotedOfASeed(t *testing.T) {
	t.Parallel()
	qa := on(t, pgtest.StartTarget(t), "qa", envdb.QA, shopSeed)
	w := newWorld(t, qa)
	w.plant()
	commit := w.commit()
	w.seed(manager.SeedRequest{Environment: "qa"})
	if r := w.seed(manager.SeedRequest{Environment: "qa", Ref: "main"}); r.Way != manager.Cloned {
		t.Fatalf("%+v", r)
	}
	w.reset("qa", manager.ByBaseline)
	list, err := w.Versions(t.Context(), "qa")
	if err != nil || list.Versions[0].Labels["commit"] != commit {
		t.Errorf("after a reset: %+v, %v", list, err)
	}
	// The work tree goes on; the commit is what it was.
	w.write("fixtures/books.yml", "- {id: 10, author_id: 2, title: Fiasco}\n")
	w.discardBaseline("qa")
	reset := w.reset("qa", manager.BySeed)
	if notes := strings.Join(reset.Notes, "\n"); !strings.Contains(notes, "commit "+commit) {
		t.Errorf("notes: %s", notes)
	}
	same(t, "rows", qa.query(t, booksOf), "Solaris by Stanisław, The Dispossessed by Ursula")

	// A commit that is gone is not replaced by another.
	w.discardBaseline("qa")
	w.git("checkout", "-q", "--orphan", "other")
	w.git("commit", "-q", "-m", "other")
	w.git("branch", "-q", "-D", "main")
	w.git("reflog", "expire", "--expire=now", "--all")
	w.git("gc", "-q", "--prune=now")
	before := qa.state(t)
	_, err = w.Reset(t.Context(), manager.ResetRequest{Environment: "qa"})
	wants(t, err, envdb.ErrNotFound, "the commit that it was seeded with is not there any more", commit, "nothing was changed", "envdb seed qa")
	same(t, "after a refused reset", qa.state(t), before)
}

// What nobody knows the contents of is not seeded over.
func TestResetOfWhatWasNotSeeded(t *testing.T) {
	t.Parallel()
	qa := on(t, pgtest.StartTarget(t), "qa", envdb.QA, shopSeed).have(t, small("by hand")...)
	w := newWorld(t, qa)
	w.plant()
	_, err := w.Reset(t.Context(), manager.ResetRequest{Environment: "qa"})
	wants(t, err, envdb.ErrPreflight, "does not say what envdb filled it from", "envdb seed qa")
	same(t, "live", qa.content(t), "1|by hand")
}

// Who may do what decides no rows, so a reset with another access than the seed
// had gives the same, and to a seed the baseline is of no use.
func TestResetOfASeedWithOtherAccess(t *testing.T) {
	t.Parallel()
	s := pgtest.StartTarget(t)
	role, _ := s.CreateRole(t, "")
	qa := on(t, s, "qa", envdb.QA, shopSeed)
	w := newWorld(t, qa)
	w.plant()
	seeded := w.seed(manager.SeedRequest{Environment: "qa"})
	limited := newWorldOf(t, w, withLines(qa, shopSeed, "access: {role: "+role+", mode: read}"))
	limited.plant()
	qa.exec(t, "TRUNCATE books")
	limited.reset("qa", manager.BySeed)
	same(t, "books, and who may change them", qa.query(t, "SELECT count(*), has_table_privilege('"+role+"', 'books', 'SELECT'), has_table_privilege('"+role+"', 'books', 'DELETE') FROM books"), "2|t|f")
	if r := w.seed(manager.SeedRequest{Environment: "qa"}); r.Way != manager.Replayed || r.Digest != seeded.Digest {
		t.Errorf("a seed without access: %+v", r)
	}
}
