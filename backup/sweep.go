package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// SweepRequest says what a sweep may delete. Everything is required.
type SweepRequest struct {
	// Now decides whose time has come.
	Now time.Time
	// Go plans again just before anything is deleted: it returns which of the
	// backups that have a tombstone may still go.
	Go func(fresh *View) (map[envdb.BackupID]bool, error)
	// Held reports whether somebody reads the backup.
	Held func(ctx context.Context, id envdb.BackupID) (bool, error)
	// Dead decides whether a run is dead for certain; see Leftovers.
	Dead func(run string) (bool, error)
}

// Swept is what a sweep did.
type Swept struct {
	Environment string `json:"environment"`
	// Gone are the backups that were deleted, oldest first.
	Gone []envdb.BackupID `json:"gone,omitempty"`
	// Stays are those whose time has come, and that are not deleted yet.
	Stays []SweptLater `json:"stays,omitempty"`
	// Objects were deleted beside manifests and marks: packs and indexes.
	Objects int `json:"objects,omitempty"`
	// Abandoned counts the backups of dead writers that were removed.
	Abandoned int `json:"abandoned,omitempty"`
}

// SweptLater is a backup that is not deleted yet, and why.
type SweptLater struct {
	ID  envdb.BackupID `json:"id"`
	Why string         `json:"why"`
}

// sweep is one in progress.
type sweep struct {
	repo *Repository
	env  string
	req  SweepRequest
	out  *Swept

	going []*condemned
}

// condemned is a backup that goes.
type condemned struct {
	id    envdb.BackupID
	fate  fate
	whole bool // it has a manifest
}

// Sweep deletes the backups whose tombstones say that their time has come, with
// everything to which no other backup refers. docs/format.md has the steps, and
// why their order is what it is. Two sweeps at once do no harm, and one that
// was cut short is finished by the next.
//
// While something that is listed cannot be read or understood, nothing is
// deleted and the error is ErrRefused. What was deleted before an error is in
// the result, which is never nil.
func (r *Repository) Sweep(ctx context.Context, env string, req SweepRequest) (*Swept, error) {
	s := &sweep{repo: r, env: env, req: req, out: &Swept{Environment: env}}
	if err := checkName("environment", env); err != nil {
		return s.out, err
	}
	if err := s.run(ctx); err != nil {
		return s.out, fmt.Errorf("sweep %s: %w", env, err)
	}
	return s.out, nil
}

func (s *sweep) run(ctx context.Context) error {
	view, err := s.look(ctx)
	if err != nil {
		return err
	}
	for _, id := range view.undecided {
		if err := s.repo.removeMarks(ctx, s.env, markFate+"/"+string(id)); err != nil {
			return err
		}
	}
	if !s.anyDue(view) {
		return nil
	}
	if err := s.removeAbandoned(ctx, view); err != nil {
		return err
	}
	if err := s.choose(ctx, view); err != nil || len(s.going) == 0 {
		return err
	}
	if err := s.condemn(ctx); err != nil {
		return err
	}
	if err := s.spare(ctx); err != nil || len(s.going) == 0 {
		return err
	}
	if err := s.understood(view); err != nil {
		return err
	}
	defer s.repo.changed(ctx, s.env)
	if err := s.removeManifests(ctx); err != nil {
		return s.unfinished(err)
	}
	if err := s.removeData(ctx); err != nil {
		return s.unfinished(err)
	}
	return s.unfinished(s.removeMarks(ctx))
}

// unfinished says what an error amid the deletion means.
func (s *sweep) unfinished(err error) error {
	if err == nil {
		return nil
	}
	var ids []string
	for _, c := range s.going {
		ids = append(ids, string(c.id))
	}
	return envdb.Fail(nil, "the deletion of %s was cut short: %w", strings.Join(ids, ", "), err).
		WithState("what remains of them is deleted by the next sweep; all other backups are whole").
		WithNext("envdb expire %s", s.env)
}

// refuse is the error of what cannot be read or understood.
func (s *sweep) refuse(what string, cause error) error {
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	p := envdb.Fail(envdb.ErrRefused, "nothing is deleted: %s", what)
	p.Err = cause
	next := fmt.Sprintf("see what is wrong with it: `envdb verify %s`; an unreadable backup that is not needed any more goes with `envdb delete %s@ID`", s.env, s.env)
	if _, better := envdb.Advice(cause); better != "" {
		next = better
	}
	return p.WithState("no backup was deleted").WithNext("%s", next)
}

// look lists what there is. What is due and cannot be read stands in nobody's
// way: it goes.
func (s *sweep) look(ctx context.Context) (*View, error) {
	view, err := s.repo.View(ctx, s.env)
	if err != nil {
		return nil, s.refuse(err.Error(), err)
	}
	if len(view.Incomplete) == 0 {
		return view, nil
	}
	unreadable := 0
	for _, b := range view.Backups {
		if b.Err != nil && s.due(b) {
			unreadable++
		}
	}
	if unreadable < len(view.Incomplete) {
		return nil, s.refuse(strings.Join(view.Incomplete, "; "), nil)
	}
	return view, nil
}

// understood refuses unless what cannot be read is among what goes.
func (s *sweep) understood(view *View) error {
	for _, b := range view.Backups {
		goes := slices.ContainsFunc(s.going, func(c *condemned) bool { return c.id == b.ID })
		if b.Err != nil && !goes {
			return s.refuse(b.Err.Error(), b.Err)
		}
	}
	return nil
}

func (s *sweep) anyDue(view *View) bool {
	return len(view.Swept) > 0 || slices.ContainsFunc(view.Backups, s.due)
}

// due reports whether a backup has a tombstone whose time has come.
func (s *sweep) due(b Summary) bool {
	return b.Tombstone != nil && !b.Tombstone.SweepAfter.After(s.req.Now)
}

// removeAbandoned removes what dead writers left. Afterwards every intent is a
// live writer's: a dead one that was only slow finds a void in its place, and
// never refers to what is deleted now.
func (s *sweep) removeAbandoned(ctx context.Context, view *View) error {
	for _, intent := range view.Running {
		if intent.Run == "" {
			continue
		}
		gone, err := s.req.Dead(intent.Run)
		if err != nil {
			return fmt.Errorf("does the run %s live, which takes backup %s: %w", intent.Run, intent.ID, err)
		}
		if !gone {
			continue
		}
		left, err := s.repo.Leftovers(ctx, s.env, s.req.Dead)
		if err != nil {
			return err
		}
		for _, l := range left {
			if l.Run == "" {
				continue // of no intent, so in nobody's way
			}
			if err := s.repo.RemoveLeftover(ctx, s.env, l); err != nil {
				return err
			}
			s.out.Abandoned++
		}
		return nil
	}
	return nil
}

// choose asks the caller which of the backups whose time has come may go. What
// has lost its manifest to an earlier sweep goes in any case.
func (s *sweep) choose(ctx context.Context, view *View) error {
	may, err := s.req.Go(view)
	if err != nil {
		return err
	}
	bases, err := s.bases(ctx)
	if err != nil {
		return err
	}
	for _, b := range view.Backups {
		if !s.due(b) {
			continue
		}
		why := ""
		if !may[b.ID] {
			why = "it is needed after all"
		} else if why, err = s.inUse(ctx, b.ID, b.Pinned, bases); err != nil {
			return err
		}
		if why != "" {
			s.stays(b.ID, why)
			continue
		}
		s.going = append(s.going, &condemned{id: b.ID, whole: true})
	}
	for _, id := range view.Swept {
		s.going = append(s.going, &condemned{id: id})
	}
	return nil
}

func (s *sweep) stays(id envdb.BackupID, why string) {
	s.out.Stays = append(s.out.Stays, SweptLater{ID: id, Why: why})
}

// bases lists the write intents, and returns the backups that new ones refer
// to, with the one that does.
func (s *sweep) bases(ctx context.Context) (map[envdb.BackupID]envdb.BackupID, error) {
	intents, err := s.repo.Intents(ctx, s.env)
	if err != nil {
		return nil, s.refuse(err.Error(), err)
	}
	bases := map[envdb.BackupID]envdb.BackupID{}
	for _, intent := range intents {
		if intent.Base != "" {
			bases[intent.Base] = intent.ID
		}
	}
	return bases, nil
}

// inUse says why a backup stays for now, or "".
func (s *sweep) inUse(ctx context.Context, id envdb.BackupID, pinned bool, bases map[envdb.BackupID]envdb.BackupID) (string, error) {
	if pinned {
		return "it is pinned", nil
	}
	if of, is := bases[id]; is {
		_, err := s.repo.readManifest(ctx, s.env, of)
		switch {
		case err == nil: // it is whole, and only its intent was left
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Sprintf("backup %s, which is being taken, refers to it", of), nil
		default:
			return fmt.Sprintf("backup %s, which cannot be read, refers to it", of), nil
		}
	}
	held, err := s.req.Held(ctx, id)
	if err != nil {
		return "", fmt.Errorf("is backup %s being read: %w", id, err)
	}
	if held {
		return "it is being read", nil
	}
	return "", nil
}

// condemn decides the fates, so that nothing is brought back from now on.
func (s *sweep) condemn(ctx context.Context) error {
	for _, c := range s.going {
		if err := s.condemnOne(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (s *sweep) condemnOne(ctx context.Context, c *condemned) error {
	m, err := s.repo.readManifest(ctx, s.env, c.id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.whole = false
	case err != nil && !isDamage(err):
		return err
	}
	wanted := fate{Fate: fateGoes, Indexes: []envdb.BackupID{c.id}}
	if err == nil {
		wanted = fateOf(m)
	}
	// What it wrote and nobody refers to is its own; of one that cannot be read
	// that is all that is known.
	own, err := s.repo.packSizes(ctx, s.env, map[envdb.BackupID]bool{c.id: true})
	if err != nil {
		return err
	}
	for p := range own {
		wanted.add(p)
	}
	c.fate, err = s.repo.decide(ctx, s.env, c.id, wanted)
	return err
}

func comparePacks(a, b PackID) int {
	return cmp.Or(cmp.Compare(a.Backup, b.Backup), cmp.Compare(a.Number, b.Number))
}

// fateOf is the fate of a backup that goes: what it refers to.
func fateOf(m *Manifest) fate {
	f := fate{Fate: fateGoes, Indexes: []envdb.BackupID{m.ID}}
	for _, p := range m.Packs {
		f.add(p.ID())
	}
	for _, b := range m.Index {
		if !slices.Contains(f.Indexes, b.Backup) {
			f.Indexes = append(f.Indexes, b.Backup)
		}
	}
	return f
}

// spare looks once more, now that nothing can be brought back: in the order
// marks, intents, readers. A backup that is begun from now on sees the
// tombstone, and one that is begun already is seen.
func (s *sweep) spare(ctx context.Context) error {
	marks, err := s.repo.readMarks(ctx, s.env)
	if err != nil {
		return s.refuse(err.Error(), err)
	}
	bases, err := s.bases(ctx)
	if err != nil {
		return err
	}
	if err := s.haveBases(ctx, bases); err != nil {
		return err
	}
	var going []*condemned
	for _, c := range s.going {
		goes, err := s.stillGoes(ctx, c, marks, bases)
		if err != nil {
			return err
		}
		if goes {
			going = append(going, c)
		}
	}
	s.going = going
	return nil
}

// haveBases refuses while a backup is being taken whose base has no manifest:
// nobody knows what that one refers to. It does not happen, unless somebody
// deletes objects by hand.
func (s *sweep) haveBases(ctx context.Context, bases map[envdb.BackupID]envdb.BackupID) error {
	for base, of := range bases {
		_, err := s.repo.readManifest(ctx, s.env, base)
		if !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := s.repo.readManifest(ctx, s.env, of); err == nil {
			continue // it is whole, and only its intent was left
		}
		return envdb.Fail(envdb.ErrBusy, "backup %s is being taken, and its base %s has no manifest", of, base).
			WithState("nothing was deleted").WithNext("try again when the backup has ended")
	}
	return nil
}

func (s *sweep) stillGoes(ctx context.Context, c *condemned, marks *marks, bases map[envdb.BackupID]envdb.BackupID) (bool, error) {
	after, buried := marks.tombstones[c.id]
	switch {
	case c.fate.Fate == fateStays:
		s.stays(c.id, "it was undeleted")
		return false, s.repo.letStay(ctx, s.env, c.id)
	case !buried: // undeleted, or another sweep was faster
		return false, s.repo.removeMarks(ctx, s.env, markFate+"/"+string(c.id))
	case !c.whole: // there is nothing to spare
		return true, nil
	case after.After(s.req.Now):
		s.stays(c.id, "it was deleted anew")
		return false, nil
	}
	why, err := s.inUse(ctx, c.id, marks.pinned[c.id], bases)
	if err == nil && why != "" {
		s.stays(c.id, why)
	}
	return why == "", err
}
