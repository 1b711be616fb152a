package manager

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

// CreateRequest asks for an environment of a pattern.
type CreateRequest struct {
	Environment string
	// From is what fills it; nil for what the pattern says.
	From *envdb.Ref
	// Ref seeds it with migrations and fixtures as they are at a git revision.
	Ref string
	// TTL is how long it lives, 0 for ever; nil for what the pattern says.
	TTL *time.Duration
	// Protect is for how long it cannot be destroyed.
	Protect time.Duration
	Labels  map[string]string
}

// CreateResult is what a create made, or found.
type CreateResult struct {
	Run         string `json:"run,omitempty"`
	Environment string `json:"environment"`
	Pattern     string `json:"pattern"`
	// Created is false if it was there already.
	Created        bool              `json:"created"`
	Database       string            `json:"database"`
	From           string            `json:"from,omitempty"`
	Ref            string            `json:"ref,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Expires        time.Time         `json:"expires,omitzero"`
	ProtectedUntil time.Time         `json:"protected_until,omitzero"`
	Build          *BuildResult      `json:"build,omitempty"`
	Notes          []string          `json:"notes,omitempty"`
	Elapsed        time.Duration     `json:"elapsed_ns"`
}

// filling says what an environment is created with.
type filling int

const (
	withNothing filling = iota
	withSeed
	withMirror
)

// creation is a create that was checked.
type creation struct {
	req      CreateRequest
	plan     *Plan
	env      config.Environment
	target   envdb.Target
	database string
	instance *ledger.Instance // nil if there is none yet
	there    bool             // and it has its database
	filling  filling
	from     string     // the source and point, if mirrored
	ref      string     // the git revision, if seeded with one
	mirror   *mirroring // what fills it, if mirrored
}

// PlanCreate returns what Create would do.
func (m *Manager) PlanCreate(ctx context.Context, req CreateRequest) (*Plan, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	c, err := m.planCreate(ctx, repository, req)
	if err != nil {
		return nil, err
	}
	return c.plan, m.rehearseCreate(ctx, repository, c)
}

// rehearseCreate refuses what Create would refuse before it makes anything.
func (m *Manager) rehearseCreate(ctx context.Context, repository *backup.Repository, c *creation) error {
	if c.there {
		return nil
	}
	if c.filling == withMirror {
		return m.rehearseMirror(ctx, repository, c.mirror)
	}
	g, err := m.look(ctx, c.env)
	if err != nil {
		return err
	}
	defer g.Close()
	if c.filling == withSeed {
		return m.seedPreflight(ctx, planApp, repository, g, building{operation: envdb.OpSeed, env: c.env, promote: true})
	}
	if err := m.guard(ctx, repository, g); err != nil {
		return err
	}
	return g.MayBuild(ctx)
}

// Create makes an environment of a pattern: its record first, then its
// database. One that is there stays as it is, but for what is asked for now:
// how long it lives, its protection, its labels. One that a run did not finish
// is finished.
func (m *Manager) Create(ctx context.Context, req CreateRequest) (*CreateResult, error) {
	started := m.now()
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	c, err := m.planCreate(ctx, repository, req)
	if err != nil {
		return nil, err
	}
	m.warn(c.plan)
	if c.there {
		return m.renew(ctx, c)
	}
	j := job{operation: envdb.OpCreate, environment: c.env.Name}
	if c.mirror != nil {
		if err := m.takeFirst(ctx, repository, c.mirror, "for creating "+c.env.Name); err != nil {
			return nil, err
		}
		found := c.mirror.building.backup
		j.source, j.point, j.backup = c.mirror.source.Name, found.Manifest.Point, found.ID()
	}
	var result *CreateResult
	err = m.run(ctx, j, func(ctx context.Context, x *execution) error {
		result, err = m.create(ctx, x, repository, c)
		return err
	})
	if result != nil {
		result.Elapsed = m.now().Sub(started)
	}
	return result, err
}

// planCreate refuses what can be refused before anything is written.
func (m *Manager) planCreate(ctx context.Context, repository *backup.Repository, req CreateRequest) (*creation, error) {
	env, err := m.config.Environment(req.Environment)
	switch {
	case err != nil:
		return nil, err
	case req.From != nil && req.Ref != "":
		return nil, envdb.Fail(envdb.ErrMisuse, "an environment is filled from a backup (--from) or seeded (--ref), not both").
			WithState("nothing was changed").WithNext("leave one of them out")
	case env.Pattern == "":
		return nil, envdb.Fail(envdb.ErrMisuse, "%s is declared by its name: only an environment of a pattern (test-*) is created", env.Name).
			WithState("nothing was changed").WithNext("fill it: envdb mirror SRC %s", env.Name)
	}
	c := &creation{req: req, env: env, plan: &Plan{Operation: envdb.OpCreate, Environment: env.Name}}
	if c.target, err = env.Target(); err != nil {
		return nil, err
	}
	if c.database, err = generation.LiveName(env.Environment); err != nil {
		return nil, err
	}
	if err := m.findInstance(ctx, c); err != nil {
		return nil, err
	}
	c.plan.Live = c.database
	if c.there {
		c.plan.add(env.Name + " is there: its database stays as it is")
		return c, nil
	}
	return c, m.planFilling(ctx, repository, c)
}

// findInstance looks whether the environment is there already, and refuses one
// that cannot be created now.
func (m *Manager) findInstance(ctx context.Context, c *creation) error {
	record, err := m.ledger.Environment(ctx, c.env.Name)
	switch {
	case isNotFound(err):
	case err != nil:
		return err
	case record.Hibernation != nil:
		return hibernating(record)
	default:
		c.instance = record.Instance
	}
	if c.instance == nil {
		if err := m.refuseTwin(ctx, c.env); err != nil {
			return err
		}
	} else if err := sameInstance(c.env, c.instance); err != nil {
		return err
	} else if !c.instance.Destroying.IsZero() {
		return envdb.Fail(envdb.ErrPreflight, "%s is being destroyed", c.env.Name).
			WithState("nothing was changed").WithNext("finish that first: envdb destroy %s --confirm %s", c.env.Name, c.env.Name)
	}
	made, err := m.madeHere(ctx, c)
	c.there = made && c.instance != nil && !c.instance.Ready.IsZero()
	return err
}

// refuseTwin refuses an environment whose URL another one has that was created.
func (m *Manager) refuseTwin(ctx context.Context, env config.Environment) error {
	records, err := m.ledger.Environments(ctx)
	if err != nil {
		return err
	}
	for _, record := range records {
		other, err := m.config.Environment(record.Name)
		if record.Instance != nil && err == nil && other.URL == env.URL {
			return envdb.Fail(envdb.ErrRefused, "the url of %s is that of %s too", env.Name, record.Name).
				WithState("nothing was changed").WithNext("choose another name")
		}
	}
	return nil
}

// madeHere reports whether the environment has a live database. One that envdb
// did not make for it is refused: it would be moved aside, and nobody asked
// for that.
func (m *Manager) madeHere(ctx context.Context, c *creation) (bool, error) {
	versions, err := m.versionsOf(ctx, c.env)
	if err != nil {
		return false, err
	}
	for _, v := range versions {
		if v.State != envdb.Live {
			continue
		}
		if v.Marker == nil || v.Marker.Foreign {
			return false, envdb.Fail(envdb.ErrRefused, "there is a database %q already, and envdb did not make it for %s", v.Name, c.env.Name).
				WithState("nothing was changed").WithNext("choose another name, or remove that database if nobody needs it")
		}
		return true, nil
	}
	return false, nil
}

// planFilling decides what fills the environment: what was asked for, now or
// when it was begun, else its seed, else what its pattern mirrors, else nothing.
func (m *Manager) planFilling(ctx context.Context, repository *backup.Repository, c *creation) error {
	from, err := c.wanted(m.now())
	if err != nil {
		return err
	}
	switch {
	case from != nil:
	case c.env.Seed.Declared():
		c.filling = withSeed
		return m.planReseed(ctx, c.plan.add("record "+c.env.Name), c.env, c.ref, nil)
	case c.ref != "":
		return envdb.Fail(envdb.ErrMisuse, "--ref: the configuration does not say what %s is seeded with", c.env.Pattern).
			WithState("nothing was changed").WithNext("write seed: {migrations: db/migrations, fixtures: [fixtures/]} below it; see docs/fixtures.md")
	case c.env.Mirror.From != "":
		from = &envdb.Ref{Environment: c.env.Mirror.From}
	default:
		c.plan.add("record "+c.env.Name, "make an empty database "+c.database, "promote it")
		return nil
	}
	c.filling, c.from = withMirror, from.String()
	req := MirrorRequest{Source: from.Environment, Point: from.Point, Target: c.env.Name, Confirm: c.env.Name} // nothing is live that could be lost
	planned, err := m.planMirrorInto(ctx, repository, c.env, c.target, req)
	if err != nil {
		return err
	}
	steps := append([]string{"record " + c.env.Name}, planned.plan.Steps...)
	c.mirror, c.plan = planned, planned.plan
	c.plan.Operation, c.plan.Live, c.plan.Steps = envdb.OpCreate, c.database, steps
	return nil
}

// wanted decides between what is asked for and what the environment was begun
// with: it returns the source, or nil, and notes the git revision.
func (c *creation) wanted(now time.Time) (from *envdb.Ref, err error) {
	from, c.ref = c.req.From, c.req.Ref
	if from != nil || c.ref != "" || c.instance == nil {
		return from, nil
	}
	c.ref = c.instance.Ref
	if c.instance.From == "" {
		return nil, nil
	}
	begun, err := envdb.ParseRef(c.instance.From, now, time.UTC)
	return &begun, err
}

// create is the work of a create, inside a run.
func (m *Manager) create(ctx context.Context, x *execution, repository *backup.Repository, c *creation) (*CreateResult, error) {
	x.step("record")
	if err := m.recordInstance(ctx, x, c); err != nil {
		return nil, err
	}
	made, err := m.madeHere(ctx, c) // since it was planned
	var built *BuildResult
	if err == nil && !made {
		built, err = m.fillNew(ctx, x, repository, c)
	}
	if err != nil {
		return nil, m.uncreate(ctx, x, c, err)
	}
	x.step("record")
	record, err := m.ledger.ChangeEnvironment(ctx, c.env.Name, func(e *ledger.Environment) error {
		if e.Instance == nil {
			return envdb.Fail(envdb.ErrBusy, "the record of %s is gone", c.env.Name).WithNext("envdb create %s", c.env.Name)
		}
		e.Instance.Ready = m.now().UTC()
		return nil
	})
	if err != nil {
		return nil, envdb.Fail(nil, "%s is there, but its record does not say so: %w", c.env.Name, err).
			WithState("database %s is live", c.database).WithNext("run this again: envdb create %s", c.env.Name)
	}
	x.facts("database", c.database, "pattern", c.env.Pattern)
	result := created(c, record.Instance)
	result.Run, result.Created, result.Build = x.id(), true, built
	if built == nil {
		result.Notes = append(result.Notes, "its database was there from a run that did not get to say so")
	}
	return result, nil
}

// recordInstance writes the record before there is anything else of the
// environment.
func (m *Manager) recordInstance(ctx context.Context, x *execution, c *creation) error {
	_, err := m.ledger.ChangeEnvironment(ctx, c.env.Name, func(e *ledger.Environment) error {
		if e.Instance != nil && !e.Instance.Destroying.IsZero() {
			return envdb.Fail(envdb.ErrBusy, "%s is being destroyed", c.env.Name).WithState("nothing was changed").WithNext("wait, then envdb create %s", c.env.Name)
		}
		if e.Instance == nil {
			e.Instance = &ledger.Instance{
				Pattern: c.env.Pattern, Database: c.database, Created: m.now().UTC(), By: m.ledger.Person(), Run: x.id(),
			}
			if c.env.TTL > 0 {
				e.Instance.Expires = e.Instance.Created.Add(c.env.TTL)
			}
		}
		e.Instance.From, e.Instance.Ref = c.from, c.ref
		m.apply(e.Instance, c.req)
		return nil
	})
	return err
}

// apply changes what a request asks of an instance.
func (m *Manager) apply(i *ledger.Instance, req CreateRequest) {
	now := m.now().UTC()
	if req.TTL != nil {
		i.Expires, i.Warned = time.Time{}, time.Time{}
		if *req.TTL > 0 {
			i.Expires = now.Add(*req.TTL)
		}
	}
	if req.Protect > 0 {
		i.ProtectedUntil = now.Add(req.Protect)
	}
	if len(req.Labels) > 0 && i.Labels == nil {
		i.Labels = map[string]string{}
	}
	maps.Copy(i.Labels, req.Labels)
}

// fillNew makes the database.
func (m *Manager) fillNew(ctx context.Context, x *execution, repository *backup.Repository, c *creation) (*BuildResult, error) {
	switch c.filling {
	case withSeed:
		return m.seedNew(ctx, x, c)
	case withMirror:
		return m.build(ctx, x, repository, c.mirror.building)
	}
	return m.buildEmpty(ctx, x, repository, c)
}

// uncreate removes the record of an environment that came to nothing, unless an
// earlier run wrote it.
func (m *Manager) uncreate(ctx context.Context, x *execution, c *creation, cause error) error {
	problem := envdb.Fail(nil, "create %s: %w", c.env.Name, cause)
	if c.instance != nil {
		return problem.WithState("%s is not finished", c.env.Name)
	}
	err := joinCleanup(nil, ctx, func(ctx context.Context) error {
		_, err := m.ledger.ChangeEnvironment(ctx, c.env.Name, func(e *ledger.Environment) error {
			if e.Instance != nil && e.Instance.Run == x.id() {
				e.Instance = nil
			}
			return nil
		})
		return err
	})
	if err != nil {
		return problem.WithState("%s is recorded, and not finished: envdb create %s carries on, envdb destroy %s --confirm %s removes it", c.env.Name, c.env.Name, c.env.Name, c.env.Name)
	}
	return problem.WithState("there is no environment %s", c.env.Name)
}

// renew applies what was asked of an environment that is there.
func (m *Manager) renew(ctx context.Context, c *creation) (*CreateResult, error) {
	record, err := m.ledger.ChangeEnvironment(ctx, c.env.Name, func(e *ledger.Environment) error {
		if e.Instance == nil || !e.Instance.Destroying.IsZero() {
			return envdb.Fail(envdb.ErrBusy, "%s has just been destroyed", c.env.Name).WithNext("envdb create %s", c.env.Name)
		}
		m.apply(e.Instance, c.req)
		return nil
	})
	if err != nil {
		return nil, err
	}
	result := created(c, record.Instance)
	switch {
	case c.req.From != nil && c.req.From.String() != result.From:
		result.Notes = append(result.Notes, fmt.Sprintf("it stays as it is; to fill it anew: envdb mirror %s %s", c.req.From, c.env.Name))
	case c.req.Ref != "": // which may have moved since
		result.Notes = append(result.Notes, fmt.Sprintf("it stays as it is; to bring it to that revision: envdb seed %s --ref %s", c.env.Name, c.req.Ref))
	}
	return result, nil
}

func created(c *creation, i *ledger.Instance) *CreateResult {
	return &CreateResult{
		Environment: c.env.Name, Pattern: i.Pattern, Database: i.Database, From: i.From, Ref: i.Ref, Labels: i.Labels,
		Expires: i.Expires, ProtectedUntil: i.ProtectedUntil,
	}
}
