package manager

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/restore"
)

// DrillRequest asks to rehearse a restore.
type DrillRequest struct {
	config.Drill
	// Seed decides what is chosen at random; 0 takes one from the run.
	Seed uint64
	// Zone is where a point without an offset is read.
	Zone *time.Location
	// Harm, if set, damages the restored version before it is checked: a drill of
	// the drill. See SelfTest.
	Harm func(ctx context.Context, url envdb.ConnString) error
}

// Drills returns the drills of the configuration.
func (m *Manager) Drills() []config.Drill { return m.config.Drills() }

// NamedDrill returns a drill of the configuration.
func (m *Manager) NamedDrill(name string) (config.Drill, error) { return m.config.Drill(name) }

// PlanDrill returns what Drill would do.
func (m *Manager) PlanDrill(ctx context.Context, req DrillRequest) (*Plan, error) {
	d, err := m.prepareDrill(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := d.readChecks(); err != nil {
		return nil, err
	}
	if err := d.choose(ctx); err != nil {
		return nil, err
	}
	p := &Plan{Operation: envdb.OpDrill, Environment: d.env.Name, Source: req.From, Backup: d.backup.ID(), Point: &d.backup.Manifest.Point, Bytes: d.backup.Manifest.Totals.LogicalBytes, Behind: restore.Behind(d.backup, d.choice.Point)}
	if at, dated := d.choice.Point.Moment(); dated {
		p.Asked = &at
	}
	p.Warnings = append(p.Warnings, d.passedOver...)
	if req.Scenario.Damages() {
		p.add(fmt.Sprintf("damage what is live in %s: %s", d.env.Name, scenarioMeans(req.Scenario)))
	}
	p.add(fmt.Sprintf("look at every object of backup %s in the store", d.backup.ID()),
		fmt.Sprintf("build a dark version on the server of %s, that nobody but envdb may enter, and fill it", d.env.Name),
		"check it, and measure")
	switch {
	case req.Scenario.Damages(), req.Promote:
		p.add("promote it, and look that the damage is gone")
	default:
		p.add("discard it")
	}
	return p.add("write the report, behind the one before it"), nil
}

func scenarioMeans(name drill.Scenario) string {
	for _, s := range drill.Scenarios() {
		if s.Name == name {
			return s.Means
		}
	}
	return string(name)
}

// Drill rehearses a restore and returns its report, also of a drill that
// failed: then the error is ErrVerification. The error of a drill that did not
// come to checking anything is the reason, and its report says so too.
func (m *Manager) Drill(ctx context.Context, req DrillRequest) (*drill.Report, error) {
	asked := m.now()
	d, err := m.prepareDrill(ctx, req)
	if err != nil {
		return nil, err
	}
	d.asked = asked
	err = m.run(ctx, job{operation: envdb.OpDrill, environment: d.env.Name, source: req.From}, func(ctx context.Context, x *execution) error {
		return d.run(ctx, x)
	})
	return d.report, err
}

// rehearsal is a drill under way.
type rehearsal struct {
	DrillRequest
	m      *Manager
	x      *execution
	env    config.Environment // beside which it is restored
	target envdb.Target
	source config.Environment
	asked  time.Time

	repository *backup.Repository
	backups    []backup.Backup
	past       []drill.Past
	choice     drill.Choice
	backup     backup.Backup
	passedOver []string
	// files are the user's checks, read before anything is restored.
	files []drill.UserCheck
	// doubted are backups that two reads of this drill contradicted.
	doubted map[envdb.BackupID]bool

	report *drill.Report
	watch  *stopwatch

	// before is what was live before a scenario damaged it, displaced the damaged
	// version after the repair.
	before    *logical.Content
	displaced *generation.Version
}

// prepareDrill finds who is drilled, and refuses what must not be.
func (m *Manager) prepareDrill(ctx context.Context, req DrillRequest) (*rehearsal, error) {
	d := &rehearsal{DrillRequest: req, m: m, doubted: map[envdb.BackupID]bool{}}
	var err error
	if d.env, d.target, err = m.target(ctx, req.Into); err != nil {
		return nil, err
	}
	if d.source, err = m.environment(ctx, req.From); err != nil && !errors.Is(err, config.ErrUnset) {
		return nil, err
	}
	if err := d.refuse(); err != nil {
		return nil, err
	}
	if d.repository, err = m.open(ctx); err != nil {
		return nil, err
	}
	if d.Zone == nil {
		d.Zone = time.Local
	}
	return d, d.isolated(ctx)
}

// refuse names what a drill may not be.
func (d *rehearsal) refuse() error {
	fail := func(next, format string, args ...any) error {
		return envdb.Fail(envdb.ErrRefused, format, args...).WithState("nothing was changed").WithNext("%s", next)
	}
	switch {
	case d.Scenario.Damages() && d.From != d.Into:
		return fail(fmt.Sprintf("envdb drill --from %s --into %[1]s --scenario %s", d.Into, d.Scenario),
			"the scenario %s damages %s and repairs it from its own backups; %s has others", d.Scenario, d.Into, d.From)
	case d.Promote && d.From != d.Into:
		return fail(fmt.Sprintf("envdb mirror %s %s", d.From, d.Into), "a drill promotes an environment's own past only")
	}
	return nil
}

// isolated refuses a target on the server of a protected environment: a drill
// takes neither its disk nor its processors. What was recorded of it is asked,
// not its server.
func (d *rehearsal) isolated(ctx context.Context) error {
	var mine *envdb.Identity
	for _, declared := range d.m.config.Environments() {
		if !declared.Protected() {
			continue
		}
		recorded, err := recordedIdentity(ctx, d.repository, declared.Name)
		if err != nil {
			return err
		}
		if recorded == nil {
			continue
		}
		if mine == nil {
			identity, err := identifyServer(ctx, d.env)
			if err != nil {
				return err
			}
			mine = &identity
		}
		if mine.SystemIdentifier == recorded.SystemIdentifier {
			return envdb.Fail(envdb.ErrRefused, "%s is on the server of %s, which is protected: a drill would take its disk, its memory and its processors", d.env.Name, declared.Name).
				WithState("nothing was changed").WithNext("drill into an environment on another server")
		}
	}
	return nil
}

// run is the work of a drill.
func (d *rehearsal) run(ctx context.Context, x *execution) error {
	d.x = x
	if d.Seed == 0 {
		h := fnv.New64a()
		h.Write([]byte(x.id()))
		d.Seed = h.Sum64()
	}
	d.watch = &stopwatch{now: d.m.now, began: d.asked}
	host, _ := os.Hostname()
	d.report = &drill.Report{
		Version: drill.ReportVersion, Run: x.id(), Project: d.repository.Project(), Drill: d.Name, Scenario: string(d.Scenario),
		Phases: []drill.Phase{}, Checks: []drill.Check{}, From: d.From, Into: d.Into, At: d.At.String(), Started: d.asked.UTC(), Objectives: d.Objectives, Machine: host, Envdb: d.m.version,
	}
	if d.Promote {
		d.report.At += ", promoted"
	}
	err := d.rehearse(ctx)
	if ctx.Err() != nil { // a drill that was cut off proves nothing, and says so in its run
		err = whyStopped(ctx, errors.Join(err, ctx.Err()))
		if d.damaged() {
			err = envdb.Fail(nil, "%w", err).WithState("%s", d.stateAfter()).WithNext("%s", d.undo())
		}
		return err
	}
	return d.conclude(ctx, err)
}

// triesOfDrill is how many backups a drill restores at most: the one that was
// asked for and, if it contradicts its manifest, those before it.
const triesOfDrill = 3

// rehearse restores and checks, and falls back to the backup before one that is
// found to be bad.
func (d *rehearsal) rehearse(ctx context.Context) error {
	var first error
	for try := 1; ; try++ {
		d.phase("choose", true)
		if err := d.readChecks(); err != nil {
			return err
		}
		if err := d.choose(ctx); isNotFound(err) && first != nil {
			return first // there is none before the bad one
		} else if err != nil {
			return err
		}
		d.report.Checks = []drill.Check{}
		err := d.attempt(ctx)
		if err == nil && !d.report.Doubts() {
			return nil
		}
		if errors.Is(err, envdb.ErrInterrupted) || ctx.Err() != nil || d.Harm != nil {
			return err
		}
		bad, why, secondErr := d.secondRead(ctx, err)
		if secondErr != nil {
			return errors.Join(err, secondErr)
		}
		if !bad || try == triesOfDrill {
			return err
		}
		if first = err; first == nil {
			first = envdb.Fail(envdb.ErrVerification, "backup %s contradicts its manifest: %s", d.backup.ID(), why)
		}
		d.x.log.Error("a backup contradicts its manifest on two reads, and is marked bad", "backup", d.backup.ID(), "reason", why)
		d.passedOver = append(d.passedOver, fmt.Sprintf("backup %s contradicts its manifest: %s", d.backup.ID(), why))
	}
}

// choose decides which backup is restored.
func (d *rehearsal) choose(ctx context.Context) error {
	var err error
	if d.backups, err = d.repository.List(ctx, d.From); err != nil {
		return err
	}
	if d.past == nil {
		if d.past, err = d.m.pastDrills(ctx, d.DrillRequest); err != nil {
			return err
		}
	}
	if d.choice.Why == "" {
		moment := d.asked
		if moment.IsZero() {
			moment = d.m.now()
		}
		d.choice, err = d.At.Choose(drill.Choosing{Backups: d.backups, Rungs: d.source.Backup.Ladder, Before: len(d.past), Now: moment, Zone: d.Zone, Seed: d.Seed})
		if err != nil {
			return err
		}
	}
	answer, warnings, err := d.m.resolve(ctx, d.repository, d.From, d.choice.Point)
	if err != nil && len(d.passedOver) > 0 {
		// The one that was asked for by name turned out to be bad.
		answer, _, err = d.m.resolve(ctx, d.repository, d.From, envdb.At(d.backup.Manifest.Point))
	}
	if err != nil {
		return err
	}
	d.backup = answer
	if d.report == nil {
		d.passedOver = warnings
		return nil
	}
	for _, w := range warnings {
		if !slices.Contains(d.passedOver, w) {
			d.passedOver = append(d.passedOver, w)
		}
	}
	return nil
}

// conclude writes what was found: into the report, the marks of the backup and
// the run. What was found is kept also when the drill is stopped now.
func (d *rehearsal) conclude(ctx context.Context, failed error) error {
	r := d.report
	d.watch.end()
	r.Phases = d.watch.phases
	r.Finished = d.m.now().UTC()
	r.Elapsed = d.watch.elapsed()
	r.PassedOver = d.passedOver
	if len(d.passedOver) > 0 {
		c := drill.Check{Name: "the backup that was asked for", Contradicts: false}
		for _, what := range d.passedOver {
			c.Find(what)
		}
		r.Checks = append([]drill.Check{c}, r.Checks...)
	}
	r.Past = d.past
	r.Verdicts = r.Objectives.Judge(r.Measured)
	r.Conclude(failed)
	r.Trend = drill.TrendOf(append(slices.Clone(d.past), drill.Past{Number: len(d.past) + 1, Run: r.Run, At: r.Started, Outcome: r.Outcome, RTO: r.Measured.RTO}), r.Objectives.RTO, r.Started)
	if warning := r.Trend.Warning(); warning != "" {
		r.Warnings = append(r.Warnings, warning)
	}
	var hash string
	err := joinCleanup(nil, ctx, func(ctx context.Context) error {
		if d.Harm != nil {
			return nil // a drill of the drill is no evidence
		}
		if r.Whole(rowFingerprints, contentsOfLargeObjects) && r.Backup != "" && !r.Doubts() {
			if err := d.repository.MarkProven(ctx, d.From, r.Backup); err != nil {
				return err
			}
		}
		var err error
		hash, err = d.m.addReport(ctx, r)
		return err
	})
	d.x.facts("backup", r.Backup, "point", r.Point, "outcome", r.Outcome, "rto_ms", r.Measured.RTO.Milliseconds(), "checks", len(r.Checks), "report", r.Number, "report_sha256", hash)
	if err != nil {
		return errors.Join(failed, err)
	}
	if r.Outcome == drill.Pass {
		return nil
	}
	kind := kindOf(failed)
	if failed == nil {
		kind = envdb.ErrVerification
	}
	p := envdb.Fail(kind, "the drill failed: %s", r.Summary).WithState("%s", d.stateAfter())
	p.Err = failed
	next := r.Next
	if next == "" {
		next = fmt.Sprintf("envdb drills show %d", r.Number)
	}
	return p.WithNext("%s", next)
}

// damaged reports whether what is live is as the scenario left it.
func (d *rehearsal) damaged() bool { return d.report.Accident != nil && d.report.Promoted == "" }

// undo is the command that repairs what the scenario damaged.
func (d *rehearsal) undo() string {
	return fmt.Sprintf("envdb restore %s@%s", d.env.Name, d.backup.ID())
}

// stateAfter says what the drill left.
func (d *rehearsal) stateAfter() string {
	switch {
	case d.report.Promoted != "":
		return fmt.Sprintf("%s is as backup %s holds it", d.env.Name, d.report.Backup)
	case d.damaged():
		return fmt.Sprintf("%s is still damaged", d.env.Name)
	}
	if d.report.Tables == 0 {
		return d.env.Name + " is as it was"
	}
	return d.env.Name + " is as it was; what was restored has been dropped"
}

// addReport puts a report at the end of the chain.
func (m *Manager) addReport(ctx context.Context, r *drill.Report) (hash string, err error) {
	err = m.ledger.AddReport(ctx, func(number int, before []byte) ([]byte, error) {
		r.Number, r.Previous = number, ""
		if before != nil {
			r.Previous = drill.Hash(before)
		}
		var raw []byte
		raw, hash, err = r.Encode()
		return raw, err
	})
	return hash, err
}

// pastRead is how many reports are read for what earlier drills measured.
const pastRead = 60

// pastDrills returns what earlier drills of that name measured; of those by hand,
// the ones that restored the same environment under the same scenario.
func (m *Manager) pastDrills(ctx context.Context, req DrillRequest) ([]drill.Past, error) {
	past := []drill.Past{}
	err := m.eachReport(ctx, pastRead, func(r *drill.Report) {
		if r.Drill == req.Name && r.From == req.From && r.Scenario == string(req.Scenario) {
			past = append(past, drill.Past{Number: r.Number, Run: r.Run, At: r.Started, Outcome: r.Outcome, RTO: r.Measured.RTO})
		}
	})
	slices.SortFunc(past, func(a, b drill.Past) int { return a.Number - b.Number })
	return past, err
}

// eachReport calls f for the newest reports, without their ladders, phases and
// accidents, the newest first; 0 is all. One that cannot be read is passed over: `envdb drills verify` is who complains.
func (m *Manager) eachReport(ctx context.Context, limit int, f func(*drill.Report)) error {
	numbers, err := m.ledger.Reports(ctx)
	if err != nil {
		return err
	}
	slices.Reverse(numbers)
	for i, n := range numbers {
		if limit > 0 && i == limit {
			break
		}
		r, err := m.remembered(ctx, n)
		if errors.Is(err, envdb.ErrUnreachable) || ctx.Err() != nil {
			return err
		}
		if err == nil {
			f(r)
		}
	}
	return nil
}

// remembered returns a report without its larger parts. Reports never change, so
// a daemon that looks at them every few minutes reads each once.
func (m *Manager) remembered(ctx context.Context, number int) (*drill.Report, error) {
	if known, ok := m.reports.Load(number); ok {
		return known.(*drill.Report), nil
	}
	raw, err := m.ledger.Report(ctx, number)
	if err != nil {
		return nil, err
	}
	r, err := drill.Decode(raw)
	if err != nil {
		return nil, err
	}
	r.Ladder, r.Past, r.Phases, r.Accident = nil, nil, nil, nil
	m.reports.Store(number, r)
	return r, nil
}

// stopwatch divides the time of a drill into phases without a gap.
type stopwatch struct {
	now    func() time.Time
	began  time.Time // of all
	last   time.Time // when the current phase began
	name   string
	counts bool
	phases []drill.Phase
	parts  []drill.Phase
}

// begin ends the phase before and begins another. The first takes what was
// before it.
func (s *stopwatch) begin(name string, counts bool) {
	if s.name == name {
		return
	}
	s.end()
	if s.last.IsZero() {
		s.last = s.began
	}
	s.name, s.counts = name, counts
}

func (s *stopwatch) end() {
	if s.name == "" {
		return
	}
	at := s.now()
	p := drill.Phase{Name: s.name, Took: at.Sub(s.last), Counts: s.counts}
	for _, part := range s.parts {
		part.Parent = s.name
		p.Bytes, p.Rows = p.Bytes+part.Bytes, p.Rows+part.Rows
	}
	s.phases = append(s.phases, p)
	for _, part := range s.parts {
		part.Parent = s.name
		s.phases = append(s.phases, part)
	}
	s.name, s.parts, s.last = "", nil, at
}

// elapsed is the time from the request to the end of the last phase.
func (s *stopwatch) elapsed() time.Duration {
	if s.last.IsZero() {
		return s.now().Sub(s.began)
	}
	return s.last.Sub(s.began)
}

func (d *rehearsal) phase(name string, counts bool) {
	d.x.step(name)
	d.watch.begin(name, counts)
}
