package config

import (
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/drill"
)

// Drill is a restore drill that has a name.
type Drill struct {
	Name string
	// From is whose backup is restored, Into beside which environment.
	From, Into string
	At         drill.At
	Scenario   drill.Scenario
	// SQL is the damage of a scenario of the user's own.
	SQL string
	// Objectives are what recovery may take and lose; Window is how far back the
	// longest time without a restore point is looked for.
	Objectives drill.Objectives
	Window     time.Duration
	// Sample is the share of large tables and indexes that is compared row by
	// row; 1 is all.
	Sample float64
	// Freshness is a query for the moment of the newest row.
	Freshness string
	// Checks are the user's: files and directories of SQL, a command, a hook.
	Checks  []string
	Command string
	HTTP    Secret
	// CheckTimeout is how long each of them may take.
	CheckTimeout time.Duration
	// StaleAfter is how old the last drill that passed may be.
	StaleAfter time.Duration
	// Identity names the key that an earthquake leaves, as below
	// store.encryption; empty is the configuration's own.
	Identity string
	// Promote makes the restored version live.
	Promote  bool
	Schedule Schedule
	Dir      string
}

const (
	drillWindow     = envdb.Day
	drillStale      = 7 * envdb.Day
	drillCheckLimit = 5 * time.Minute
)

// DefaultDrill is a drill that says nothing but where it goes.
func DefaultDrill(from, into string) Drill {
	return Drill{From: from, Into: into, Scenario: drill.Restore, Window: drillWindow, Sample: 1, CheckTimeout: drillCheckLimit, StaleAfter: drillStale}
}

// declaredDrill is a drill where it stands in the file.
type declaredDrill struct {
	Drill
	at         value
	into, from value
	schedule   value
}

func (c *Config) readDrills(v value) {
	for _, e := range v.entries() {
		e.schema = "drills.*"
		d := &declaredDrill{Drill: DefaultDrill("", ""), at: e.value}
		d.Name, d.Dir = e.name, v.doc.dir
		if err := envdb.CheckName(e.name); err != nil {
			e.failed(err)
		}
		seen := e.object(fields{
			"from":        func(v value) { d.from, d.From = v, v.text() },
			"into":        func(v value) { d.into, d.Into = v, v.text() },
			"at":          func(v value) { d.At = v.drillAt() },
			"scenario":    func(v value) { d.Scenario = v.scenario() },
			"sql":         func(v value) { d.SQL = v.raw() },
			"rto":         func(v value) { d.Objectives.RTO = v.objective() },
			"rpo":         func(v value) { d.Objectives.RPO = v.objective() },
			"window":      func(v value) { d.Window = v.objective() },
			"sample":      func(v value) { d.Sample = v.share() },
			"freshness":   func(v value) { d.Freshness = v.raw() },
			"checks":      func(v value) { d.Checks = v.filesOrOne() },
			"command":     func(v value) { d.Command = v.raw() },
			"http":        func(v value) { d.HTTP = v.address(c.get) },
			"timeout":     func(v value) { d.CheckTimeout = v.objective() },
			"stale_after": func(v value) { d.StaleAfter = v.objective() },
			"identity":    func(v value) { d.Identity = v.raw() },
			"promote":     func(v value) { d.Promote = v.boolean() },
			"schedule":    func(v value) { d.schedule, d.Schedule = v, v.schedule() },
		})
		e.require(seen, "from", "into")
		c.drills = append(c.drills, d)
	}
}

func (v value) drillAt() drill.At {
	at, err := drill.ParseAt(v.text(), time.Now(), time.Local)
	if err != nil {
		v.failed(err)
	}
	return at
}

func (v value) scenario() drill.Scenario {
	return drill.Scenario(v.choice("scenario", drill.ScenarioNames()...))
}

// objective reads a time that is not nothing.
func (v value) objective() time.Duration {
	before := len(v.doc.faults)
	d := v.duration()
	if d <= 0 && len(v.doc.faults) == before {
		v.fault("is no time to hold anything to")
	}
	return d
}

// filesOrOne reads a path, or several.
func (v value) filesOrOne() []string {
	if v.kind() == "a list" {
		return v.files()
	}
	return []string{v.place()}
}

// checkDrills records drills that could do harm, or nothing.
func (c *Config) checkDrills() {
	for _, d := range c.drills {
		if d.From != "" && c.declaration(d.From) == nil {
			d.from.unknownEnvironment(c, d.From)
		}
		into := c.declaration(d.Into)
		switch {
		case d.Into == "":
		case into == nil:
			d.into.unknownEnvironment(c, d.Into)
		case into.saysProtected():
			d.into.hint("name staging, or another environment that may be overwritten", "%s is protected (tier %s): no drill touches it", d.Into, into.Tier)
		}
		if own := d.Scenario == drill.OwnSQL; own != (d.SQL != "") {
			d.at.hint("scenario: sql and sql: …", "sql is what the scenario called sql runs, and nothing else")
		}
		if d.Scenario.Damages() && d.From != d.Into {
			d.at.hint("from: "+d.Into, "the scenario %s damages %s and repairs it from its own backups; %s has others", d.Scenario, d.Into, d.From)
		}
		if d.Promote && d.From != d.Into {
			d.at.hint("take promote: out, or use mirror:", "promote leaves an environment as it was itself; %s is filled from %s by a mirror", d.Into, d.From)
		}
		if d.Promote && d.Scenario != drill.Restore {
			d.at.hint("take promote: out", "the scenario %s repairs what is live already", d.Scenario)
		}
	}
}

// declaration returns a declared environment of that name, or nil.
func (c *Config) declaration(name string) *declaration {
	i := slices.IndexFunc(c.environments, func(d *declaration) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return c.environments[i]
}

func (v value) unknownEnvironment(c *Config, name string) {
	v.hint("environments: "+strings.Join(c.Names(), ", "), "there is no environment %q", name)
}

// Drills returns the drills in the order of the file.
func (c *Config) Drills() []Drill {
	all := make([]Drill, 0, len(c.drills))
	for _, d := range c.drills {
		all = append(all, d.Drill)
	}
	return all
}

// Drill returns a drill by its name; ErrNotFound if there is none.
func (c *Config) Drill(name string) (Drill, error) {
	var names []string
	for _, d := range c.drills {
		if d.Name == name {
			return d.Drill, nil
		}
		names = append(names, d.Name)
	}
	p := envdb.Fail(envdb.ErrNotFound, "the configuration has no drill %q", name).WithState("nothing was changed")
	if len(names) == 0 {
		return Drill{}, p.WithNext("run one by hand: envdb drill --from prod --at t-1d --into staging; or write the section drills: (docs/drills.md)")
	}
	return Drill{}, p.WithNext("one of: %s", strings.Join(names, ", "))
}

// drillJobs are the drills that have a schedule.
func (c *Config) drillJobs() []Job {
	var jobs []Job
	for _, d := range c.drills {
		if d.Schedule.IsZero() {
			continue
		}
		j := c.job(string(envdb.OpDrill)+"/"+d.Name, envdb.OpDrill, d.Schedule)
		j.Environment, j.Source, j.Drill = d.Into, d.From, d.Name
		jobs = append(jobs, j)
	}
	return jobs
}
