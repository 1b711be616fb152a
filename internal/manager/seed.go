package manager

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
)

// SeedRequest asks to fill an environment from its migrations and fixtures.
type SeedRequest struct {
	Environment string
	// NoCache replays everything, although a baseline of the same inputs is
	// there.
	NoCache bool
	// Dark leaves the version beside the live one.
	Dark bool
	// Ref takes migrations and fixtures as they are at a git revision.
	Ref string
	// Labels are kept with the version, e.g. build=123.
	Labels map[string]string
	// Confirm is the environment's name, where nothing would bring the live
	// version back.
	Confirm string
	// Done, if set, gets the result as soon as the environment is seeded; see
	// [ResetRequest].
	Done func(*SeedResult)
}

// SeedWay is how a seed got its rows.
type SeedWay string

// A seed replays migrations and fixtures, or clones the baseline of the same
// inputs, which holds the same rows.
const (
	Replayed SeedWay = "replayed"
	Cloned   SeedWay = "cloned"
)

// SeedResult is what a seed made.
type SeedResult struct {
	Run         string  `json:"run"`
	Environment string  `json:"environment"`
	Way         SeedWay `json:"way"`
	// Digest stands for all inputs: the same digest means the same rows.
	Digest string `json:"digest"`
	// Commit is the revision of the migrations and fixtures, if one was asked for.
	Commit string            `json:"commit,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// Clock is what fixtures took for now, if they asked.
	Clock time.Time `json:"clock,omitzero"`
	// Migrations counts what was applied; Version is the schema's.
	Migrations int   `json:"migrations"`
	Version    int64 `json:"migration_version,omitempty"`
	Tables     int   `json:"tables"`
	Rows       int64 `json:"rows"`
	// Volatile are the columns that the inputs do not decide. Of a clone they
	// are those of the replay that it is a copy of, as far as the marker holds
	// them.
	Volatile []string `json:"volatile,omitempty"`
	// Database is the version's name, as it is now.
	Database string        `json:"database"`
	Dark     bool          `json:"dark"`
	Previous string        `json:"previous,omitempty"`
	Held     time.Duration `json:"logins_held_ns,omitempty"`
	Notes    []string      `json:"notes,omitempty"`
	Next     string        `json:"next,omitempty"`
	Elapsed  time.Duration `json:"elapsed_ns"`

	promotion *generation.Promotion
}

// seeding is a seed that was checked and whose inputs are read.
type seeding struct {
	SeedRequest
	inputs
	env     config.Environment
	target  envdb.Target
	started time.Time
}

// Seed fills an environment from its migrations and fixtures. If a baseline of
// the same inputs is there, it is cloned and nothing is replayed.
func (m *Manager) Seed(ctx context.Context, req SeedRequest) (result *SeedResult, err error) {
	s, err := m.seeding(ctx, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = tidy(ctx, m.log, err, func(context.Context) error { return s.close() }) }()
	err = m.run(ctx, job{operation: envdb.OpSeed, environment: s.env.Name}, func(ctx context.Context, x *execution) error {
		result, err = m.seed(ctx, x, s)
		return err
	})
	return result, err
}

// seeding refuses what can be refused without a server, and reads the inputs.
func (m *Manager) seeding(ctx context.Context, req SeedRequest) (s seeding, err error) {
	s = seeding{SeedRequest: req, started: m.now()}
	if s.env, s.target, err = m.target(ctx, req.Environment); err != nil {
		return s, err
	}
	if !s.env.Seed.Declared() {
		return s, envdb.Fail(envdb.ErrMisuse, "the configuration does not say what %s is seeded with", s.env.Name).
			WithState("nothing was changed").WithNext("write seed: {migrations: db/migrations, fixtures: [fixtures/]} below it; see docs/fixtures.md")
	}
	if err := confirmNoWayBack(s.env, req.Dark, req.Confirm); err != nil {
		return s, err
	}
	s.inputs, err = readInputs(ctx, s.env, req.Ref, s.env.Seed.Clock.At(s.started))
	return s, err
}

// seed decides whether anything has to be replayed, and does it.
func (m *Manager) seed(ctx context.Context, x *execution, s seeding) (*SeedResult, error) {
	x.step("preflight")
	g, ctx, closeAll, err := m.openGenerations(ctx, x, s.env)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	b := s.building()
	b.operation = x.operation
	digest, err := m.digest(ctx, x, s)
	if err != nil {
		return nil, b.untouched(err)
	}
	x.facts("digest", digest, "commit", s.commit())
	cached, err := m.cached(ctx, g, s, digest)
	if err != nil {
		return nil, b.untouched(err)
	}
	if cached != nil {
		return m.seedByCopy(ctx, x, g, s, *cached, digest)
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, b.untouched(err)
	}
	if err := m.seedPreflight(ctx, x.app(), repository, g, b); err != nil {
		return nil, b.untouched(err)
	}
	if err := m.cleanServer(ctx, x, g, b.target, b.operation); err != nil {
		return nil, b.untouched(err)
	}
	return m.replay(ctx, x, g, s, b, digest)
}

// seedPreflight asks everything that can be asked before anything is created,
// and writes nothing: plans and the doctor ask the same. A clone of the baseline
// needs no more than a reset, which looks for itself.
func (m *Manager) seedPreflight(ctx context.Context, app string, repository *backup.Repository, g *generation.Generations, b building) error {
	if err := m.guard(ctx, repository, g); err != nil {
		return err
	}
	if err := g.MayBuild(ctx); err != nil {
		return err
	}
	if b.promote {
		if err := g.Ready(ctx); err != nil {
			return err
		}
	}
	if err := preflightExtensions(ctx, app, b.env); err != nil {
		return err
	}
	return m.preflightServer(ctx, app, b, nil, nil)
}

// cached returns the way to clone a baseline of the same inputs, or nil if the
// inputs have to be replayed.
func (m *Manager) cached(ctx context.Context, g *generation.Generations, s seeding, digest string) (*choice, error) {
	if s.NoCache || s.Dark || !s.set.Complete() {
		return nil, nil
	}
	versions, err := g.List(ctx)
	if err != nil {
		return nil, err
	}
	c, err := choose(s.env, versions, false)
	if err != nil || c.way != BySpare && c.way != ByBaseline || c.from.Marker.Digest != digest {
		return nil, nil // whatever is wrong with the baseline, a replay makes a new one
	}
	return &c, nil
}

// seedByCopy makes a copy of the baseline live.
func (m *Manager) seedByCopy(ctx context.Context, x *execution, g *generation.Generations, s seeding, c choice, digest string) (*SeedResult, error) {
	x.facts("way", string(Cloned))
	result := s.result(x, Cloned, digest)
	result.Volatile = c.from.Marker.Volatile
	if more := c.from.Marker.MoreVolatile; more > 0 {
		result.Notes = append(result.Notes, counted(more, "more column")+" that differ with every replay: envdb seed --no-cache lists all")
	}
	r := resetting{choice: c, env: s.env, target: s.target, started: s.started, labels: s.labels(), commit: s.commit()}
	r.Done = func(done *ResetResult) {
		result.Database, result.Previous, result.Held, result.Elapsed = done.Database, done.Previous, done.Held, done.Elapsed
		result.Notes = append(result.Notes, done.Notes...)
		s.tell(result)
	}
	if _, err := m.resetByCopy(ctx, x, g, r); err != nil {
		return nil, err
	}
	return result, nil
}

// labels are the request's, and the commit.
func (s seeding) labels() map[string]string {
	labels := maps.Clone(s.Labels)
	if commit := s.commit(); commit != "" {
		if labels == nil {
			labels = map[string]string{}
		}
		labels["commit"] = commit
	}
	return labels
}

func (s seeding) result(x *execution, way SeedWay, digest string) *SeedResult {
	r := &SeedResult{Run: x.id(), Environment: s.env.Name, Way: way, Digest: digest, Commit: s.commit(), Labels: s.Labels}
	if s.set.UsesTime() {
		r.Clock = s.clock
	}
	return r
}

func (s seeding) tell(result *SeedResult) {
	if s.Done != nil {
		s.Done(result)
	}
}

// PlanSeed returns what Seed would do.
func (m *Manager) PlanSeed(ctx context.Context, req SeedRequest) (p *Plan, err error) {
	s, err := m.seeding(ctx, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = tidy(ctx, m.log, err, func(context.Context) error { return s.close() }) }()
	g, err := m.look(ctx, s.env)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	digest, err := m.digest(ctx, nil, s)
	if err != nil {
		return nil, err
	}
	versions, err := g.List(ctx)
	if err != nil {
		return nil, err
	}
	c, err := m.cached(ctx, g, s, digest)
	if err != nil {
		return nil, err
	}
	p = &Plan{Operation: envdb.OpSeed, Environment: s.env.Name}
	if c != nil {
		p.add("nothing to replay: the baseline is of the same inputs, digest " + shortDigest(digest))
		p.describeCopy(*c, s.env)
		p.peak(versions, copying(*c, s.env, versions)...)
		return p, nil
	}
	s.plan(p, digest, versions)
	return p, m.rehearseSeed(ctx, g, s.building())
}

// building is what a seed passes through the pipeline.
func (s seeding) building() building {
	return building{operation: envdb.OpSeed, env: s.env, target: s.target, promote: !s.Dark, baseline: !s.Dark}
}

// rehearseSeed refuses what a replay would refuse before it makes anything.
func (m *Manager) rehearseSeed(ctx context.Context, g *generation.Generations, b building) error {
	repository, err := m.open(ctx)
	if err == nil {
		err = m.seedPreflight(ctx, planApp, repository, g, b)
	}
	if err != nil {
		return b.untouched(err)
	}
	return nil
}

// planReseed writes into the plan what reseed would do.
func (m *Manager) planReseed(ctx context.Context, p *Plan, env config.Environment, ref string, versions []generation.Version) (err error) {
	s := reseeding(env, ref, m.now())
	if s.inputs, err = readInputs(ctx, env, s.Ref, env.Seed.Clock.At(s.started)); err != nil {
		return err
	}
	defer func() { err = tidy(ctx, m.log, err, func(context.Context) error { return s.close() }) }()
	digest, err := m.digest(ctx, nil, s)
	if err != nil {
		return err
	}
	s.plan(p, digest, versions)
	return nil
}

// plan writes a replay into the plan: its steps, and the disk that it takes.
func (s seeding) plan(p *Plan, digest string, versions []generation.Version) {
	s.describe(p, digest)
	p.peak(versions, coming(s.building(), versions, 0)...)
}

// describe writes the steps of a replay into the plan.
func (s seeding) describe(p *Plan, digest string) {
	seed := s.env.Seed
	p.add(fmt.Sprintf("build an empty version on the server of %s, closed to everyone (digest %s)", s.env.Name, shortDigest(digest)))
	if len(seed.Extensions) > 0 {
		p.add("create extensions: " + strings.Join(seed.Extensions, ", "))
	}
	if commit := s.commit(); commit != "" {
		p.add("take the files of commit " + commit)
	}
	switch {
	case seed.Migrations != "":
		p.add("run the migrations in " + shown(seed.Dir, seed.Migrations))
	case seed.MigrationCommand != "":
		p.add("run the migrations: " + seed.MigrationCommand)
	}
	for _, pattern := range seed.Fixtures {
		p.add("load " + shown(seed.Dir, pattern))
	}
	if s.set.UsesTime() {
		p.add("with " + s.clock.Format(time.RFC3339) + " for now")
	}
	p.add("bring sequences up to their columns; check the constraints; analyse")
	for _, check := range seed.Checks {
		p.add("check " + shown(seed.Dir, check))
	}
	if s.Dark {
		p.add("leave it dark")
		return
	}
	if s.env.Baseline != config.BaselineOff {
		p.add("leave a sealed baseline for reset")
	}
	p.add(promoting("it", s.env))
}
