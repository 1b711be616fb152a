package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/schedule"
)

// policyRenewal is how old the mark of the policy in force becomes before it is
// renewed: a policy keeps what it kept for a day after it was last seen, so an
// hour less is no harm.
const policyRenewal = time.Hour

// policyOf returns the policy that the configuration gives an environment.
func policyOf(env config.Environment) (schedule.Policy, error) {
	if len(env.Backup.Ladder) == 0 {
		return schedule.Policy{}, nil
	}
	policy, err := schedule.NewPolicy(env.Backup.Ladder, env.Backup.Keep, env.Backup.MaxDuty)
	if err != nil {
		return policy, fmt.Errorf("the ladder of %s: %w", env.Name, err)
	}
	return policy, nil
}

// policyText returns how a policy is marked, and the hash of that.
func policyText(policy schedule.Policy) (body []byte, hash string, err error) {
	if body, err = json.Marshal(policy); err != nil {
		return nil, "", fmt.Errorf("encode the policy: %w", err)
	}
	return body, backup.PolicyHash(body), nil
}

// oldPolicies reads the policies that are marked, by their hashes. One that
// cannot be read is the zero policy, which keeps everything for as long as it
// counts: nobody knows what it kept. It is not read again until its mark is
// renewed.
func (m *Manager) oldPolicies(ctx context.Context, repository *backup.Repository, v *backup.View) (map[string]schedule.Policy, error) {
	policies := make(map[string]schedule.Policy, len(v.Policies))
	for _, mark := range v.Policies {
		broken := brokenPolicy{v.Environment, mark}
		if _, found := m.policies.Load(broken); found {
			policies[mark.Hash] = schedule.Policy{}
			continue
		}
		if known, found := m.policies.Load(mark.Hash); found {
			policies[mark.Hash], _ = known.(schedule.Policy)
			continue
		}
		var policy schedule.Policy
		body, err := repository.PolicyBody(ctx, v.Environment, mark.Hash)
		if err == nil {
			err = json.Unmarshal(body, &policy)
		} else if !errors.Is(err, envdb.ErrVerification) && !isNotFound(err) {
			return nil, err
		}
		if err != nil {
			m.log.Warn("a policy that was in force cannot be read: for a day after it was last seen nothing expires", "env", v.Environment, "policy", mark.Hash, "reason", err)
			policy = schedule.Policy{}
			m.policies.Store(broken, policy)
		} else {
			m.policies.Store(mark.Hash, policy) // its content is its name
		}
		policies[mark.Hash] = policy
	}
	return policies, nil
}

// brokenPolicy is the mark of a policy that cannot be read.
type brokenPolicy struct {
	environment string
	mark        backup.PolicyMark
}

// inForce returns the mark of a policy, unless another was seen in force since
// it was: then it comes into force anew.
func inForce(v *backup.View, hash string) (backup.PolicyMark, bool) {
	i := slices.IndexFunc(v.Policies, func(p backup.PolicyMark) bool { return p.Hash == hash })
	if i < 0 {
		return backup.PolicyMark{}, false
	}
	mark := v.Policies[i]
	for _, other := range v.Policies {
		if other.Hash != hash && !other.Last.Before(mark.Last) {
			return backup.PolicyMark{}, false
		}
	}
	return mark, true
}

// rulesOf returns what decides on the restore points of an environment, and
// those that there are. Policies are what oldPolicies read.
//
// A policy that was replaced counts from when it was last seen, or when the
// one in force came: whatever is later. Before the first policy nothing
// expired, and that counts as one: who writes a first ladder has a day to look
// at it too.
func (m *Manager) rulesOf(env config.Environment, v *backup.View, policies map[string]schedule.Policy) (schedule.Rules, []schedule.RestorePoint, error) {
	policy, err := policyOf(env)
	if err != nil {
		return schedule.Rules{}, nil, err
	}
	_, hash, err := policyText(policy)
	if err != nil {
		return schedule.Rules{}, nil, err
	}
	rules := schedule.Rules{Policy: policy}
	since := m.now().UTC()
	if mark, found := inForce(v, hash); found {
		since = mark.First
	}
	first := true
	for _, mark := range v.Policies {
		if mark.Hash == hash {
			continue
		}
		first = false
		rules.Before = append(rules.Before, schedule.Superseded{Policy: policies[mark.Hash], At: latest(mark.Last, since)})
	}
	older := func(b backup.Summary) bool { return b.Err != nil || b.Started.Before(since) }
	if first && !policy.IsZero() && slices.ContainsFunc(v.Backups, older) {
		rules.Before = append(rules.Before, schedule.Superseded{At: since})
	}
	for _, begun := range v.Bursts {
		rules.Bursts = append(rules.Bursts, schedule.NewBurst(begun))
	}
	return rules, restorePoints(v), nil
}

// restorePoints returns what a ladder knows of the backups of a view. Those
// that are deleted are not among them: nothing relies on them any more.
func restorePoints(v *backup.View) []schedule.RestorePoint {
	points := make([]schedule.RestorePoint, 0, len(v.Backups)+len(v.Running))
	for i := range v.Backups {
		if b := &v.Backups[i]; b.Tombstone == nil {
			points = append(points, restorePoint(b))
		}
	}
	for _, intent := range v.Running {
		points = append(points, schedule.RestorePoint{ID: intent.ID, State: schedule.Running, At: intent.Started, Started: intent.Started})
	}
	return points
}

func restorePoint(b *backup.Summary) schedule.RestorePoint {
	p := schedule.RestorePoint{
		ID: b.ID, State: schedule.Good, At: b.Point, GoodUntil: b.GoodUntil, Started: b.Started, Took: b.Took,
		Proven: b.Proven, Pinned: b.Pinned, Rejected: b.Bad, Promised: b.Promised,
	}
	switch {
	case b.Err != nil:
		p.State = schedule.Unreadable
	case b.Bad || len(b.Damaged) > 0:
		p.State = schedule.Bad
	}
	return p
}

// withoutDead returns the view without the intents of backups whose runs are
// dead for certain: nothing waits for them.
func (m *Manager) withoutDead(ctx context.Context, v *backup.View) (*backup.View, error) {
	dead := m.runIsDead(ctx)
	var alive []backup.Intent
	for _, intent := range v.Running {
		if intent.Run != "" {
			gone, err := dead(intent.Run)
			if err != nil {
				return nil, err
			}
			if gone {
				continue
			}
		}
		alive = append(alive, intent)
	}
	if len(alive) == len(v.Running) {
		return v, nil
	}
	living := *v
	living.Running = alive
	return &living, nil
}

// keepPolicyMark marks the policy of an environment as in force, if that is not
// known or was last seen an hour ago, and forgets policies that keep nothing
// any more. An environment that never had a ladder needs no mark.
func (m *Manager) keepPolicyMark(ctx context.Context, repository *backup.Repository, env config.Environment, v *backup.View) error {
	policy, err := policyOf(env)
	if err != nil || policy.IsZero() && len(v.Policies) == 0 {
		return err
	}
	body, hash, err := policyText(policy)
	if err != nil {
		return err
	}
	now := m.now().UTC()
	mark, found := inForce(v, hash)
	first := now
	if found {
		first = mark.First
	}
	if !found || now.Sub(mark.Last) > policyRenewal {
		if err := repository.MarkPolicy(ctx, env.Name, body, first, latest(mark.Last, now)); err != nil {
			return err
		}
	}
	for _, old := range v.Policies {
		over := schedule.Superseded{At: latest(old.Last, first)}.KeepsUntil()
		if old.Hash != hash && now.After(over.Add(schedule.ShrinkWait)) {
			if err := repository.UnmarkPolicy(ctx, env.Name, old.Hash); err != nil {
				return err
			}
		}
	}
	return nil
}
