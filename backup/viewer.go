package backup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// viewAge is how long a listing is used while the head says that nothing
// changed: a writer may have died between its change and the head.
const viewAge = 5 * time.Minute

// Viewer shows what environments hold, and remembers it: manifests never
// change, so each is read once, and while the head of an environment stays the
// same nothing is listed. It is safe for concurrent use.
//
// It holds some 500 bytes for every backup, whatever the size of its manifest.
type Viewer struct {
	repo *Repository

	mu   sync.Mutex
	seen map[string]*remembered
}

// remembered is what is known of one environment.
type remembered struct {
	turn chan struct{} // holds a token while nobody looks

	view    *View
	listed  time.Time
	tag     envdb.Tag
	changes uint64

	summaries  map[envdb.BackupID]knownManifest
	tombstones map[envdb.BackupID]Tombstone
	bad        string // the bad packs and indexes that Damaged was found by
	texts      map[string]string
}

// knownManifest is a manifest that was read; one that was given up has no
// summary.
type knownManifest struct {
	state   objectState
	summary *Summary
}

// Viewer returns a new one, which remembers nothing yet.
func (r *Repository) Viewer() *Viewer { return &Viewer{repo: r, seen: map[string]*remembered{}} }

// View returns what an environment holds, by a listing that [Viewer] does not
// remember.
func (r *Repository) View(ctx context.Context, env string) (*View, error) {
	return r.Viewer().Fresh(ctx, env)
}

// View returns what an environment holds. While its head is as it was, that is
// what was listed in the last five minutes. It is good to plan by; what deletes
// asks for a fresh one.
func (v *Viewer) View(ctx context.Context, env string) (*View, error) {
	return v.look(ctx, env, false)
}

// Fresh returns what an environment holds now.
func (v *Viewer) Fresh(ctx context.Context, env string) (*View, error) {
	return v.look(ctx, env, true)
}

func (v *Viewer) look(ctx context.Context, env string, fresh bool) (*View, error) {
	if err := checkName("environment", env); err != nil {
		return nil, err
	}
	known := v.of(env)
	select {
	case <-known.turn:
		defer func() { known.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	// Before the listing: what happens during it is seen in the next one.
	changes := v.repo.changes.count(env)
	// What this repository changed since is counted.
	seen := oneLookOf(ctx)
	tag, read := seen.tag(known)
	if !read || fresh {
		var err error
		if tag, err = v.repo.headTag(ctx, env); err != nil {
			return nil, fmt.Errorf("look whether %s changed: %w", env, err)
		}
		seen.set(known, tag)
	}
	current := known.view != nil && known.tag == tag && known.changes == changes && time.Since(known.listed) < viewAge
	if current && !fresh {
		return known.view, nil
	}
	listed := time.Now()
	view, err := v.list(ctx, env, known)
	if err != nil {
		return nil, err
	}
	view.Listed = listed.UTC()
	known.view, known.listed, known.tag, known.changes = view, listed, tag, changes
	return view, nil
}

// of returns what is remembered of an environment.
func (v *Viewer) of(env string) *remembered {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.seen[env]
	if known == nil {
		known = &remembered{
			turn: make(chan struct{}, 1), summaries: map[envdb.BackupID]knownManifest{},
			tombstones: map[envdb.BackupID]Tombstone{}, texts: map[string]string{},
		}
		known.turn <- struct{}{}
		v.seen[env] = known
	}
	return known
}

// list lists the marks, the manifests and the intents. The intents come before
// the manifests, so that a backup which is committed meanwhile is seen twice
// rather than not at all.
func (v *Viewer) list(ctx context.Context, env string, known *remembered) (*View, error) {
	marks, err := v.repo.readMarks(ctx, env)
	if err != nil {
		return nil, err
	}
	view := &View{
		Environment: env, Bursts: marks.bursts, Policies: marks.policyMarks(), Calendars: marks.calendarMarks(),
		Turns: marks.turns, Incomplete: marks.strange,
	}
	if err := v.repo.viewIntents(ctx, view); err != nil {
		return nil, err
	}
	objects, err := v.repo.viewManifests(ctx, view)
	if err != nil {
		return nil, err
	}
	if err := v.read(ctx, env, known, objects, marks); err != nil {
		return nil, err
	}
	for _, object := range objects {
		if b := known.summaries[object.id]; b.summary != nil {
			view.Backups = append(view.Backups, *b.summary)
		}
	}
	if err := v.mark(ctx, view, known, marks); err != nil {
		return nil, err
	}
	view.Running = slices.DeleteFunc(view.Running, func(i Intent) bool { return view.Find(i.ID) != nil })
	for _, id := range slices.Sorted(maps.Keys(marks.tombstones)) {
		if view.Find(id) == nil {
			view.Swept = append(view.Swept, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(marks.fates)) {
		if _, buried := marks.tombstones[id]; !buried {
			view.undecided = append(view.undecided, id)
		}
	}
	return view, nil
}
