package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// Level says how much a finding matters.
type Level string

// A Problem keeps an operation from working; a Caution should be looked at
// this week.
const (
	Fine    Level = "ok"
	Caution Level = "warn"
	Trouble Level = "problem"
)

// Finding is one thing that the doctor looked at.
type Finding struct {
	About string `json:"about"` // an environment, "store" or "configuration"
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Next  string `json:"next,omitempty"`
}

// Diagnosis is what the doctor found, in the order in which it looked.
type Diagnosis struct {
	Findings []Finding `json:"findings"`

	silent map[string]bool // environments whose servers do not answer
}

// Err returns an error of kind ErrUnhealthy if there are problems.
func (d *Diagnosis) Err() error {
	problems := 0
	for _, f := range d.Findings {
		if f.Level == Trouble {
			problems++
		}
	}
	if problems == 0 {
		return nil
	}
	return envdb.Fail(envdb.ErrUnhealthy, "the doctor found %s", counted(problems, "problem")).WithNext("see the lines marked problem; then envdb doctor again")
}

func (d *Diagnosis) add(about string, level Level, format string, args ...any) *Finding {
	d.Findings = append(d.Findings, Finding{About: about, Level: level, Text: fmt.Sprintf(format, args...)})
	return &d.Findings[len(d.Findings)-1]
}

// troubled reports whether a problem was found about something.
func (d *Diagnosis) troubled(about string) bool {
	return slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.About == about && f.Level == Trouble })
}

// trouble adds an error with its next step. That the server of an environment
// does not answer is said once, whatever was asked of it.
func (d *Diagnosis) trouble(about string, err error) {
	_, next := envdb.Advice(err)
	if !isSilence(err) {
		d.add(about, Trouble, "%v", err).Next = next
		return
	}
	if !d.silent[about] {
		d.add(about, Trouble, "the server does not answer: %v", err).Next = next
	}
	if d.silent == nil {
		d.silent = map[string]bool{}
	}
	d.silent[about] = true
}

// DoctorRequest says what the doctor may do.
type DoctorRequest struct {
	// Clean removes what dead runs left behind.
	Clean bool
}

// Doctor looks at the configuration, the store and every server.
func (m *Manager) Doctor(ctx context.Context, store envdb.Store, req DoctorRequest) (*Diagnosis, error) {
	d := &Diagnosis{}
	d.add("configuration", Fine, "%s: project %s, %s", m.config.Path, m.config.Project, counted(len(m.config.Names()), "environment"))
	for _, w := range m.config.Warnings {
		d.add("configuration", Caution, "%s", w)
	}
	for _, n := range m.config.Notes {
		d.add("configuration", Fine, "%s", n)
	}
	repository := m.examineStore(ctx, store, d)
	if repository != nil {
		examineAttic(ctx, store, req.Clean, d)
	}
	if repository != nil {
		m.examineDaemons(ctx, d)
	}
	m.examinePatterns(d)
	known, records, unknown := m.known(ctx)
	if unknown != nil && repository != nil {
		d.trouble("store", unknown)
	}
	for _, env := range known {
		name := env.Name
		if err := ctx.Err(); err != nil {
			return d, context.Cause(ctx)
		}
		m.examineRecord(records[name], d)
		if !m.outOfReach(records[name], d) {
			m.examineServer(ctx, repository, name, d)
		}
		if repository != nil {
			m.examineBackups(ctx, repository, name, d)
		}
		if err := m.examineLeftovers(ctx, repository, name, req.Clean, d); err != nil {
			d.trouble(name, err)
		}
	}
	if repository != nil {
		m.examineLadders(ctx, d)
		m.examineDrills(ctx, d)
		m.examineClocks(ctx, d)
	}
	return d, d.Err()
}

// examinePatterns says of which patterns environments can be created from here,
// as far as the configuration tells.
func (m *Manager) examinePatterns(d *Diagnosis) {
	for _, pattern := range m.config.Patterns() {
		sample := strings.Replace(pattern.Name, "*", "doctor", 1)
		env, err := m.config.Environment(sample)
		switch {
		case errors.Is(err, config.ErrUnset):
			d.add(pattern.Name, Caution, "%v", err).Next = "set it where environments of it are created or used"
		case err != nil:
			d.trouble(pattern.Name, err)
		default:
			d.add(pattern.Name, Fine, "a pattern: %s would be %s", sample, env.URL)
		}
	}
}

// examineRecord says what runs that died left undone of an environment that was
// created, or that hibernates.
func (m *Manager) examineRecord(record *ledger.Environment, d *Diagnosis) {
	if record == nil {
		return
	}
	if i := record.Instance; i != nil && !i.Destroying.IsZero() {
		d.add(record.Name, Caution, "destroying it was begun").Next = "envdb destroy " + record.Name + " --confirm " + record.Name
	} else if i != nil && i.Ready.IsZero() {
		d.add(record.Name, Caution, "creating it was begun").Next = "envdb create " + record.Name
	}
	if h := record.Hibernation; h != nil && h.Backup == "" {
		d.add(record.Name, Caution, "its hibernation was not finished").Next = "envdb wake " + record.Name
	} else if h != nil {
		d.add(record.Name, Fine, "hibernates as backup %s", h.Backup)
	}
}

// outOfReach reports, and says, that the configuration lacks the pattern of an
// environment that was created.
func (m *Manager) outOfReach(record *ledger.Environment, d *Diagnosis) bool {
	if record == nil || record.Instance == nil {
		return false
	}
	if _, err := m.config.Environment(record.Name); !isNotFound(err) {
		return false
	}
	name, pattern := record.Name, record.Instance.Pattern
	d.add(name, Trouble, "its pattern %s is missing from the configuration, so its database (%s) is out of reach", pattern, record.Instance.Database).
		Next = "write " + pattern + " into the configuration again; to be rid of " + name + ", then: envdb destroy " + name + " --confirm " + name
	return true
}

func (m *Manager) examineServer(ctx context.Context, repository *backup.Repository, name string, d *Diagnosis) {
	env, err := m.config.Environment(name)
	if errors.Is(err, config.ErrUnset) {
		d.add(name, Caution, "%v", err).Next = "set it where this environment is worked on"
		return
	}
	if err != nil {
		d.trouble(name, err)
		return
	}
	if env.Protected() || len(env.Backup.Ladder) > 0 {
		m.examineSource(ctx, env, d)
	}
	if d.silent[name] {
		return
	}
	if env.Mirror.From != "" {
		m.examineTarget(ctx, repository, env, d)
	}
	if env.Seed.Declared() {
		m.examineSeed(ctx, repository, env, d)
	}
}

// examineSource checks that the environment can be backed up from here.
func (m *Manager) examineSource(ctx context.Context, env config.Environment, d *Diagnosis) {
	conn, err := postgres.Connect(ctx, env.Direct(), postgres.Options{App: "envdb/doctor", Pin: true})
	if err != nil {
		d.trouble(env.Name, err)
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	version, err := postgres.ReadServerVersion(ctx, conn)
	if err != nil {
		d.trouble(env.Name, err)
		return
	}
	if pooler, err := postgres.DetectPooler(ctx, conn); err != nil {
		d.trouble(env.Name, err)
	} else if pooler != "" {
		d.add(env.Name, Trouble, "the url leads to a pooler (%s): a backup needs the server itself", pooler).Next = "set direct_url of " + env.Name
		return
	}
	if _, err := postgres.FindTools(ctx, version.Major()); err != nil {
		d.trouble(env.Name, err)
		return
	}
	if err := logical.Examine(ctx, logical.Source{URL: env.Direct(), App: "envdb/doctor", Jobs: 1, ReleaseQuery: env.ReleaseQuery}); err != nil {
		d.trouble(env.Name, err)
		return
	}
	d.add(env.Name, Fine, "can be backed up: PostgreSQL %s, and pg_dump to fit", version)
}

func (m *Manager) examineBackups(ctx context.Context, repository *backup.Repository, name string, d *Diagnosis) {
	found, err := repository.List(ctx, name)
	if err != nil {
		d.trouble(name, err)
		return
	}
	declared, err := m.config.Environment(name)
	if err != nil && !errors.Is(err, config.ErrUnset) {
		return // examineServer said so
	}
	found = notDeleted(found)
	var newest *backup.Backup
	for i, b := range found {
		if b.Usable() {
			newest = &found[i]
			continue
		}
		d.add(name, Trouble, "backup %s cannot be restored (%s)", b.ID(), backupLine(name, b).State()).Next = fmt.Sprintf("envdb backup %s heals what production still has; envdb verify %s says what is lost", name, name)
	}
	switch {
	case newest != nil:
		d.add(name, Fine, "%s, the newest as of %s", counted(len(found), "backup"), newest.Manifest.Point.UTC().Format(time.DateTime+" UTC"))
	case declared.Protected():
		m.examineProject(ctx, repository, name, d)
	}
}

// examineProject says that a protected environment has no backup, and whether
// the project's name may be why.
func (m *Manager) examineProject(ctx context.Context, repository *backup.Repository, name string, d *Diagnosis) {
	next := "envdb backup " + name
	others, err := repository.OtherProjects(ctx)
	if text := elsewhere(repository.Project(), others); text != "" && err == nil {
		d.add(name, Caution, "there is no backup that can be restored: %s", text).Next = otherwise(next)
		return
	}
	d.add(name, Caution, "there is no backup that can be restored").Next = next
}

// examineTarget asks what a mirror of the newest backup would ask before it
// makes anything.
func (m *Manager) examineTarget(ctx context.Context, repository *backup.Repository, env config.Environment, d *Diagnosis) {
	if _, err := m.masking(env); errors.Is(err, config.ErrUnset) {
		d.add(env.Name, Caution, "%v", err).Next = "set it where this environment is mirrored into"
	} else if err != nil {
		d.trouble(env.Name, err)
		return
	}
	source, err := m.config.Environment(env.Mirror.From)
	if err != nil && !errors.Is(err, config.ErrUnset) {
		d.trouble(env.Name, err)
		return
	}
	b := building{operation: envdb.OpMirror, env: env, source: source.Name, harmless: source.Tier == envdb.Production || source.Protected(), promote: true}
	if repository != nil {
		// One that cannot be found or read is in the lines of the source.
		b.backup, _, _ = m.resolve(ctx, repository, source.Name, envdb.Latest())
	}
	g, err := m.look(ctx, env)
	if err != nil {
		d.trouble(env.Name, err)
		return
	}
	defer g.Close()
	if err := m.rehearsePreflight(ctx, repository, g, b); err != nil {
		d.trouble(env.Name, err)
		return
	}
	d.add(env.Name, Fine, "can be mirrored into from %s", env.Mirror.From)
}

// examineSeed reads what the environment is seeded with, and asks what a seed
// would ask before it makes anything.
func (m *Manager) examineSeed(ctx context.Context, repository *backup.Repository, env config.Environment, d *Diagnosis) {
	in, err := readInputs(ctx, env, "", env.Seed.Clock.At(m.now()))
	if err != nil {
		d.trouble(env.Name, err)
		return
	}
	defer in.close()
	if d.troubled(env.Name) {
		return // the server would say the same once more
	}
	g, err := m.look(ctx, env)
	if err != nil {
		d.trouble(env.Name, err)
		return
	}
	defer g.Close()
	if err := m.seedPreflight(ctx, planApp, repository, g, building{operation: envdb.OpSeed, env: env, promote: true}); err != nil {
		d.trouble(env.Name, err)
		return
	}
	d.add(env.Name, Fine, "can be seeded")
}

// counted returns a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
