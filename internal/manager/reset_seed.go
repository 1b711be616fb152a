package manager

import (
	"context"
	"errors"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
)

// Without a baseline a seeded environment is seeded again, and a reset gives
// what was there or nothing: the files of the commit that was named then, or
// else those of the work tree, under the clock of then. The digest tells whether
// they are the same. Whoever wants what they are by now asks for a seed.

// asSeeded reads what the environment was seeded with. Without a run it is asked
// for a plan. The caller closes what it gets.
func (m *Manager) asSeeded(ctx context.Context, x *execution, env config.Environment, c choice) (s seeding, digest string, err error) {
	s = reseeding(env, c.filled.Commit, m.now())
	s.Labels = c.filled.Labels
	clock := c.filled.Clock
	if clock.IsZero() {
		clock = env.Seed.Clock.At(s.started)
	}
	s.inputs, err = readInputs(ctx, env, s.Ref, clock)
	switch {
	case s.Ref != "" && errors.Is(err, envdb.ErrNotFound):
		return s, "", commitIsGone(env, c, err)
	case err != nil:
		return s, "", err
	}
	digest, err = m.digest(ctx, x, s)
	if err == nil && digest != c.filled.Digest {
		err = changedSince(env, c, digest)
	}
	if err != nil {
		return s, "", joinCleanup(err, ctx, func(context.Context) error { return s.close() })
	}
	return s, digest, nil
}

// seedAgain is the reset of an environment that was seeded.
func (m *Manager) seedAgain(ctx context.Context, x *execution, r resetting) (*BuildResult, error) {
	s, _, err := m.asSeeded(ctx, x, r.env, r.choice)
	if err != nil {
		return nil, err
	}
	s.target = r.target
	return m.seedWith(ctx, x, s)
}

// planSeedAgain writes into the plan what seedAgain would do.
func (m *Manager) planSeedAgain(ctx context.Context, p *Plan, env config.Environment, c choice, versions []generation.Version) (err error) {
	s, digest, err := m.asSeeded(ctx, nil, env, c)
	if err != nil {
		return err
	}
	defer func() { err = tidy(ctx, m.log, err, func(context.Context) error { return s.close() }) }()
	s.plan(p, digest, versions)
	return nil
}

// commitIsGone refuses a reset to a commit that the repository does not have.
func commitIsGone(env config.Environment, c choice, err error) error {
	return envdb.Fail(nil, "%s cannot be reset: %s, and the commit that it was seeded with is not there any more: %w", env.Name, c.why, err).
		WithState("nothing was changed").
		WithNext("git fetch may bring it back; or envdb seed %s takes the files as they are now", env.Name)
}

// changedSince refuses a reset to what cannot be had any more.
func changedSince(env config.Environment, c choice, digest string) error {
	next := "envdb seed " + env.Name
	if c.filled.Commit != "" {
		next += " --ref " + c.filled.Commit
	}
	return envdb.Fail(envdb.ErrPreflight, "%s cannot be reset: %s, and what it was seeded with has changed since: the digest was %s and is %s by now",
		env.Name, c.why, shortDigest(c.filled.Digest), shortDigest(digest)).
		WithState("nothing was changed").
		WithNext("%s takes migrations, fixtures, configuration and server as they are now", next)
}
