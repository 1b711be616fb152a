package manager

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/restore"
)

// restored is a version that a drill built, and what it is held to.
type restored struct {
	g         *generation.Generations
	dark      *generation.Dark
	reader    *backup.Reader
	catalogue *logical.Catalogue
	loaded    *logical.Loaded
	building  building
}

// attempt restores the backup that was chosen, checks it, and discards or
// promotes the version. Its error says that it could not come to an end; what the
// checks found stands in the report.
func (d *rehearsal) attempt(ctx context.Context) (err error) {
	d.describe()
	hold, err := d.m.ledger.HoldBackup(ctx, d.From, d.backup.ID(), ledger.Claim{Run: d.x.id(), Operation: envdb.OpDrill})
	if err != nil {
		return err
	}
	defer func() { err = tidy(ctx, d.x.log, err, hold.Release) }()
	if err := d.repository.StillThere(ctx, d.From, d.backup.ID()); err != nil {
		return err
	}
	d.phase("look at the store", true)
	if err := d.checkStore(ctx); err != nil {
		return err
	}
	reader, err := d.repository.Open(ctx, d.backup.Manifest)
	if err != nil {
		return err
	}
	catalogue, err := logical.ReadCatalogue(ctx, reader)
	if err != nil {
		return err
	}
	d.describeCatalogue(catalogue)

	if d.Scenario == drill.Earthquake {
		return d.attemptEarthquake(ctx, catalogue, &restored{reader: reader, catalogue: catalogue})
	}
	d.phase("preflight", true)
	g, ctx, closeAll, err := d.m.openGenerations(ctx, d.x, d.env)
	if err != nil {
		return err
	}
	defer closeAll()
	v := &restored{g: g, reader: reader, catalogue: catalogue, building: building{
		operation: envdb.OpDrill, env: d.env, target: d.target, source: d.From, backup: d.backup,
		harmless: d.source.Protected(), promote: d.Promote || d.Scenario.Damages(),
	}}
	if _, err := d.m.preflight(ctx, d.x.app(), d.repository, g, v.building, reader, catalogue); err != nil {
		return err
	}
	if err := d.m.cleanServer(ctx, d.x, g, d.target, envdb.OpDrill); err != nil {
		return err
	}
	if d.Scenario.Damages() && d.report.Accident == nil {
		d.x.facts(ledger.FactUndo, d.undo())
		d.phase("damage", false)
		if err := d.damage(ctx, v); err != nil {
			return err
		}
	}
	return d.restoreAndCheck(ctx, v)
}

// describe writes into the report which backup it is, and what else there was.
func (d *rehearsal) describe() {
	r, b := d.report, d.backup
	r.Why = d.choice.Why
	if at, dated := d.choice.Point.Moment(); dated {
		r.Asked = at
	}
	r.Backup, r.Point, r.GoodUntil = b.ID(), b.Manifest.Point, b.GoodUntil
	r.Measured.Behind = restore.Behind(b, d.choice.Point)
	r.Ladder = nil
	var covered []drill.Covered
	for _, other := range d.backups {
		if !other.Usable() {
			continue
		}
		r.Ladder = append(r.Ladder, drill.LadderPoint{Backup: other.ID(), At: other.Manifest.Point, Until: other.GoodUntil, Proven: other.Proven, Chosen: other.ID() == b.ID()})
		covered = append(covered, drill.Covered{From: other.Manifest.Point, Until: other.GoodUntil})
	}
	if gap, any := drill.Gap(covered, r.Started, d.Window); any {
		r.Measured.WorstGap, r.Measured.Window = &gap, d.Window
	}
}

func (d *rehearsal) describeCatalogue(c *logical.Catalogue) {
	r := d.report
	r.Release, r.Tables = c.Release, len(c.Tables)
	if c.Migration != nil {
		r.Migration = fmt.Sprintf("%s (%s)", c.Migration.Version, c.Migration.Tool)
	}
	r.Source = "PostgreSQL " + c.Server.Version
}

// restoreAndCheck builds the version. What goes wrong drops it.
func (d *rehearsal) restoreAndCheck(ctx context.Context, v *restored) error {
	if err := d.x.recording.WillCreate(ctx, v.g.DarkName(d.x.id())); err != nil {
		return err
	}
	d.phase("create", true)
	var err error
	if v.dark, err = v.g.Build(ctx, d.target, envdb.OpDrill, specOf(d.x.id(), v.building, v.catalogue)); err != nil {
		return err
	}
	if err := d.fillAndCheck(ctx, v); err != nil {
		return d.m.abandon(ctx, v.g, v.building, v.dark, whyStopped(ctx, err))
	}
	d.report.Measured.RTO = d.m.now().Sub(d.asked) - d.damaging()
	if v.building.promote && d.passes() {
		return d.makeLive(ctx, v)
	}
	d.phase("discard", false)
	return v.g.Abandon(ctx, d.target, envdb.OpDrill, v.dark, nil)
}

// damaging is how long the damage took, which is no part of recovery.
func (d *rehearsal) damaging() (took time.Duration) {
	for _, p := range d.watch.phases {
		if p.Parent == "" && !p.Counts {
			took += p.Took
		}
	}
	return took
}

// passes reports whether no check has failed so far.
func (d *rehearsal) passes() bool { return d.report.Count(drill.Fail) == 0 }

// fillAndCheck loads the version and looks at it from all sides.
func (d *rehearsal) fillAndCheck(ctx context.Context, v *restored) error {
	d.phase("load", true)
	stages := &stages{now: d.m.now, next: d.x.report}
	loading := logical.Loading{
		URL: v.dark.URL, App: d.x.app(), Jobs: d.m.jobs(d.env), Roles: logical.RolePolicy(d.env.Roles), SkipExtensions: d.env.SkipExtensions, Log: d.x.log, Report: stages.report,
	}
	if v.building.harmless {
		loading.Neutralise = &logical.Neutralisation{KeepSettings: d.env.KeepSettings}
	}
	var err error
	v.loaded, err = logical.Load(ctx, loading, v.reader, v.catalogue)
	d.watch.parts = stages.end()
	if err != nil {
		return fmt.Errorf("load the backup: %w", err)
	}
	d.report.Rows, d.report.Bytes = v.loaded.Rows, v.loaded.Bytes
	if d.Harm != nil {
		d.phase("harm", false)
		if err := d.Harm(ctx, v.dark.URL); err != nil {
			return fmt.Errorf("harm the restored version: %w", err)
		}
	}
	d.phase("check", true)
	conn, err := d.lookInto(ctx, v)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := d.check(ctx, v, conn); err != nil || d.Scenario != drill.Schema {
		return err
	}
	return d.rehearseSchema(ctx, v, conn)
}

// lookInto connects to what was restored, and notes what it runs on.
func (d *rehearsal) lookInto(ctx context.Context, v *restored) (*pgx.Conn, error) {
	conn, err := lookInto(ctx, d.x, v.dark)
	if err != nil {
		return nil, err
	}
	var server string
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.current_setting('server_version')").Scan(&server); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, postgres.Explain(err, "read the server's version")
	}
	d.report.Target = "PostgreSQL " + server
	return conn, nil
}

// makeLive promotes what was restored, and proves what a scenario's damage was
// repaired to.
func (d *rehearsal) makeLive(ctx context.Context, v *restored) error {
	d.phase("promote", true)
	source, _, err := d.m.carried(ctx, d.x, v.building, v.catalogue)
	if err != nil {
		return d.m.abandon(ctx, v.g, v.building, v.dark, err)
	}
	completion := generation.Completion{Neutrality: v.building.neutralityOf(v.catalogue), Carried: &source, Access: accessMark(d.env)}
	promotion, _, err := d.m.makeLive(ctx, d.x, v.g, v.building, v.dark, completion)
	if err != nil {
		return d.m.abandon(ctx, v.g, v.building, v.dark, err)
	}
	d.x.facts(ledger.FactUndo, "")
	d.displaced = promotion.Displaced
	d.report.Promoted = v.g.Base()
	d.report.Measured.RTO = d.m.now().Sub(d.asked) - d.damaging()
	if d.Scenario.Damages() {
		d.phase("prove the repair", false)
		return d.proveRepair(ctx, v)
	}
	return nil
}

// secondRead asks once more whether the backup is what its manifest says. Only
// if that, too, says no is the backup marked bad.
func (d *rehearsal) secondRead(ctx context.Context, first error) (bad bool, why string, err error) {
	doubts := d.report.Doubts()
	if !doubts && !errors.Is(first, envdb.ErrVerification) {
		return false, "", nil
	}
	d.phase("read the backup again", false)
	report, err := d.repository.Verify(ctx, d.From, d.backup.ID(), backup.VerifyOptions{ReadData: true, Report: d.x.report})
	if err != nil {
		return false, "", err
	}
	switch {
	case report.Err() != nil:
		why = report.Err().Error()
		if len(report.Backups) > 0 && len(report.Backups[0].Problems) > 0 {
			why = report.Backups[0].Problems[0]
		}
	case doubts && !d.doubted[d.backup.ID()]:
		// Its bytes are whole, and what they restored to is not what they say. Once
		// more, to know whether it was the restore.
		d.doubted[d.backup.ID()] = true
		before := d.report.Checks
		d.report.Checks = nil
		if err := d.attempt(ctx); err != nil {
			return false, "", err
		}
		if !d.report.Doubts() {
			for _, c := range before {
				if c.Outcome == drill.Fail && c.Contradicts {
					c.Contradicts, c.Reason = false, "a second restore of the same backup was right: it was the restore that went wrong"
					d.report.Checks = append(d.report.Checks, c)
				}
			}
			return false, "", nil
		}
		for _, c := range d.report.Checks {
			if c.Outcome == drill.Fail && c.Contradicts && why == "" {
				why = c.Name
				if len(c.Findings) > 0 {
					why += ": " + c.Findings[0]
				}
			}
		}
	default:
		return false, "", nil
	}
	return true, why, joinCleanup(nil, ctx, func(ctx context.Context) error {
		return d.repository.MarkBad(ctx, d.From, d.backup.ID(), "drill "+d.x.id()+": "+why)
	})
}

// stages turns the progress of a load into the parts of its time: a part begins
// when its step is first reported, and ends when the next one begins.
type stages struct {
	now  func() time.Time
	next envdb.Report

	mu    sync.Mutex
	seen  map[string]int
	parts []drill.Phase
	began time.Time
}

func (s *stages) report(p envdb.Progress) {
	s.next.Send(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[string]int{}
	}
	i, known := s.seen[p.Step]
	if !known {
		s.close()
		i = len(s.parts)
		s.seen[p.Step] = i
		s.parts = append(s.parts, drill.Phase{Name: p.Step, Counts: true})
		s.began = s.now()
	}
	if p.Unit == "bytes" {
		s.parts[i].Bytes = p.Done
	}
}

func (s *stages) close() {
	if n := len(s.parts); n > 0 {
		s.parts[n-1].Took = s.now().Sub(s.began)
	}
}

func (s *stages) end() []drill.Phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close()
	return s.parts
}

// identifyServer asks the server of an environment which one it is.
func identifyServer(ctx context.Context, env config.Environment) (envdb.Identity, error) {
	var id envdb.Identity
	conn, err := postgres.Connect(ctx, env.Direct(), postgres.Options{App: "envdb/drill", Database: env.Maintenance(), Pin: true})
	if err != nil {
		return id, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, "SELECT system_identifier::text FROM pg_catalog.pg_control_system()").Scan(&id.SystemIdentifier)
	return id, postgres.Explain(err, "ask which server it is")
}
