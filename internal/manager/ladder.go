package manager

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/schedule"
)

// Ladder is what the ladder of an environment gives.
type Ladder struct {
	At          time.Time       `json:"at"`
	Environment string          `json:"environment"`
	Ladder      schedule.Ladder `json:"ladder"`
	MaxDuty     float64         `json:"max_duty"`
	Rungs       []LadderRung    `json:"rungs"`
	// Took is the median duration of the last Of backups, at most five.
	Took time.Duration `json:"took_ns"`
	Of   int           `json:"of"`
	// RPO is what is lost at most while all goes well, Says the same for people.
	RPO  time.Duration `json:"rpo_ns"`
	Says string        `json:"says"`
	// Points are the restore points that are good, Newest the age of the newest.
	Points int           `json:"points"`
	Newest time.Duration `json:"newest_ns,omitempty"`
	// Due are the rungs that want a backup now; NextDue is when next one does.
	Due     schedule.Ladder `json:"due"`
	NextDue time.Time       `json:"next_due,omitzero"`
	// Bursts are the due times of bursts that are still to come.
	Bursts []time.Time `json:"bursts,omitempty"`
	// Replaced are until when policies still count that were replaced.
	Replaced []time.Time `json:"replaced,omitempty"`
}

// LadderRung is what one rung gives.
type LadderRung struct {
	Rung time.Duration `json:"rung_ns"`
	// Slots is how many occupied slots it keeps, Reach how far they go back at
	// least when each was filled.
	Slots int           `json:"slots"`
	Reach time.Duration `json:"reach_ns"`
	// Held is how many restore points represent a slot of it now.
	Held      int  `json:"held"`
	Suspended bool `json:"suspended,omitempty"`
	// Point is what one gets now who asks for the state of one rung ago, and Age
	// how old that state is; empty if no restore point is old enough.
	Point envdb.BackupID `json:"point,omitempty"`
	Age   time.Duration  `json:"age_ns,omitempty"`
	// Worst is how old it is at the worst moment in fair weather, with backups
	// that take as long as they do; 0 if that was not computed.
	Worst time.Duration `json:"worst_ns,omitempty"`
}

// Ladder returns what the ladder of an environment gives, and what there is of
// it.
func (m *Manager) Ladder(ctx context.Context, name string) (*Ladder, error) {
	env, err := m.environment(ctx, name)
	if err != nil && !errors.Is(err, config.ErrUnset) {
		return nil, err
	}
	policy, err := policyOf(env)
	if err != nil {
		return nil, err
	}
	if policy.IsZero() {
		return nil, envdb.Fail(envdb.ErrNotFound, "%s has no ladder: backups are taken when somebody asks, and nothing expires", env.Name).
			WithNext("write environments.%s.backup.ladder, e.g. %s (docs/ladder.md)", env.Name, schedule.DefaultLadder())
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	view, err := m.viewer(repository).View(ctx, env.Name)
	if err != nil {
		return nil, err
	}
	if view, err = m.withoutDead(ctx, view); err != nil {
		return nil, err
	}
	policies, err := m.oldPolicies(ctx, repository, view)
	if err != nil {
		return nil, err
	}
	rules, points, err := m.rulesOf(env, view, policies)
	if err != nil {
		return nil, err
	}
	return ladderOf(env.Name, rules, m.now().UTC(), points), nil
}

// ladderOf says what the rules give with the points that there are.
func ladderOf(name string, rules schedule.Rules, now time.Time, points []schedule.RestorePoint) *Ladder {
	policy, due := rules.Policy, rules.Due(now, points)
	l := &Ladder{
		At: now, Environment: name, Ladder: policy.Ladder(), MaxDuty: policy.MaxDuty(),
		Took: due.Duty.Took, Of: due.Duty.Of, RPO: due.Duty.RPO(), Says: due.Duty.String(),
		Due: schedule.Ladder{}, NextDue: due.Next,
	}
	l.Due = append(l.Due, due.Rungs...)
	for _, p := range points {
		if p.State != schedule.Good {
			continue
		}
		l.Points++
		if age := now.Sub(p.At); l.Points == 1 || age < l.Newest {
			l.Newest = age
		}
	}
	held := heldBy(rules, now, points)
	worst := map[time.Duration]time.Duration{}
	for _, f := range policy.Forecast(l.Took).Rungs {
		worst[f.Rung] = f.Worst
	}
	slots, answers := policy.Slots(), policy.Answers(now, points)
	for i, rung := range policy.Ladder() {
		l.Rungs = append(l.Rungs, LadderRung{
			Rung: rung, Slots: slots[i], Reach: time.Duration(slots[i]-1) * rung, Held: held[rung],
			Suspended: slices.Contains(due.Duty.Suspended, rung),
			Point:     answers[i].Point, Age: answers[i].Age, Worst: worst[rung],
		})
		if answers[i].Point == "" {
			l.Rungs[i].Age = 0
		}
	}
	for _, b := range rules.Bursts {
		for _, at := range b.Due {
			if at.After(now) {
				l.Bursts = append(l.Bursts, at)
			}
		}
	}
	for _, old := range rules.Before {
		if until := old.KeepsUntil(); until.After(now) {
			l.Replaced = append(l.Replaced, until)
		}
	}
	return l
}

// heldBy counts the points that represent a slot of each rung.
func heldBy(rules schedule.Rules, now time.Time, points []schedule.RestorePoint) map[time.Duration]int {
	held := map[time.Duration]int{}
	for _, d := range rules.Keep(now, points) {
		for _, why := range d.Reasons {
			if why.Why == schedule.Represents {
				held[why.Rung]++
			}
		}
	}
	return held
}
