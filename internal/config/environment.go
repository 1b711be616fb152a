package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Roles says what happens to owners and grantees that the target lacks.
type Roles string

// The ways to treat missing roles: MapRoles gives their objects to envdb's own
// role, CreateRoles creates them without a password, FailRoles refuses.
const (
	MapRoles    Roles = "map"
	CreateRoles Roles = "create"
	FailRoles   Roles = "fail"
)

// Environment is an environment with everything that the file says of it.
type Environment struct {
	envdb.Environment

	// Pattern is the name of the pattern that the environment is of, e.g.
	// test-*, or empty.
	Pattern string
	// TTL is how long an environment of the pattern lives after it was created,
	// Idle how long after somebody last connected; 0 is for ever.
	TTL, Idle time.Duration

	Labels map[string]string
	Links  map[string]string

	// URLVariable names the variable that holds the connection string to the
	// server, where it comes from one and nothing else. Who gives it another
	// value for one command connects as somebody else.
	URLVariable string

	// KeepPrevious is how many previous versions stay after a promote.
	KeepPrevious int
	// Jobs is how many connections work in parallel.
	Jobs int
	// ReleaseQuery returns one text: the release that the data belongs to.
	ReleaseQuery string

	Roles          Roles
	SkipExtensions []string
	// Settings are the environment's own database settings: they win over
	// those of the source. Names are as in ALTER DATABASE … SET. Values may
	// come from references, so they are not shown.
	Settings map[string]string `json:"-"`
	// KeepSettings names custom (dotted) settings of the source that are
	// carried over; the others are not.
	KeepSettings []string
	// ConnectionLimit is the environment's own, or nil for the source's.
	ConnectionLimit *int

	// Access is what the application's role may do.
	Access Access

	Backup Backup
	Mirror Mirror
	Seed   Seed
	// Migrate is what Environment.Migrations prefers over the seed's.
	Migrate Migrations
	// Baseline says whether a mirror or a seed leaves a sealed copy for reset,
	// Spares how many copies of it wait, ready to be made live.
	Baseline Baseline
	Spares   int

	// Reset and Verify say when the daemon does so.
	Reset  Reset
	Verify Verify
	// Quiet are the hours in which the daemon does not connect to the server.
	Quiet Quiet
	// Sleeps is set for a server that sleeps when nobody is connected (wake:
	// false): the daemon does not connect to it only to look.
	Sleeps bool
	// StaleAfter is how old the newest restore point may become before somebody
	// is told, or 0 for what follows from the ladder.
	StaleAfter time.Duration
}

// Baseline says when a sealed copy is kept beside the live version.
type Baseline string

// BaselineAuto keeps one of databases below BaselineAutoMost.
const (
	BaselineAuto Baseline = "auto"
	BaselineOn   Baseline = "on"
	BaselineOff  Baseline = "off"

	// BaselineAutoMost is in bytes.
	BaselineAutoMost = 10 << 30
)

// Wanted reports whether a version of that many bytes gets a baseline.
func (b Baseline) Wanted(bytes int64) bool {
	return b == BaselineOn || b != BaselineOff && bytes < BaselineAutoMost
}

// declaration is an environment as it stands in the file, before its
// references are resolved.
type declaration struct {
	entry
	Environment

	url, directURL, pooler        text
	maintenanceDB, poolerDatabase text
	settings                      map[string]text
	from                          value // of the mirror
	maskSecret                    text
	seed                          value
	access, migrate               value
	remap                         remapDeclaration
	schedules                     []scheduled
}

const (
	defaultKeepPrevious = 1
	mostJobs            = 128
)

// environment reads one entry of environments.
func (e entry) environment() *declaration {
	d := &declaration{entry: e, settings: map[string]text{}}
	d.Name = e.name
	d.KeepPrevious = defaultKeepPrevious
	d.Roles = MapRoles
	d.Backup = defaultBackup()
	d.Baseline = BaselineAuto
	if isPattern(e.name) {
		e.checkPatternName()
	} else if err := envdb.CheckName(e.name); err != nil {
		e.doc.fault(e.at, "", "environments: %v", err)
	}
	seen := e.object(fields{
		"tier":           func(v value) { d.Tier = v.tier() },
		"url":            func(v value) { d.url = v.connection() },
		"direct_url":     func(v value) { d.directURL = v.connection() },
		"maintenance_db": func(v value) { d.maintenanceDB = v.references() },
		"pooler":         d.readPooler,
		"protected":      func(v value) { d.MarkedProtected = v.boolean() },
		"keep_previous":  func(v value) { d.KeepPrevious = v.integer(0) },
		"labels":         func(v value) { d.Labels = v.words() },
		"links":          func(v value) { d.Links = v.words() },
		"release_query":  func(v value) { d.ReleaseQuery = v.raw() },
		"roles": func(v value) {
			d.Roles = Roles(v.choice("value", string(MapRoles), string(CreateRoles), string(FailRoles)))
		},
		"extensions":       func(v value) { v.object(fields{"skip": func(v value) { d.SkipExtensions = v.texts() }}) },
		"settings":         d.readSettings,
		"keep_settings":    d.readKeepSettings,
		"connection_limit": func(v value) { n := v.integer(-1); d.ConnectionLimit = &n },
		"jobs":             func(v value) { d.Jobs = v.jobs() },
		"backup":           func(v value) { d.Backup = v.backup() },
		"mirror":           d.readMirror,
		"seed":             d.readSeed,
		"migrations":       d.readMigrate,
		"access":           d.readAccess,
		"baseline": func(v value) {
			d.Baseline = Baseline(v.choice("value", string(BaselineAuto), string(BaselineOn), string(BaselineOff)))
		},
		"spares":      func(v value) { d.Spares = v.spares() },
		"reset":       d.readReset,
		"verify":      d.readVerify,
		"quiet":       func(v value) { d.Quiet = v.quiet() },
		"wake":        func(v value) { d.Sleeps = !v.boolean() },
		"stale_after": func(v value) { d.StaleAfter = v.span() },
		"ttl":         func(v value) { v.readSpan(&d.TTL) },
		"idle":        func(v value) { v.readSpan(&d.Idle) },
	})
	e.require(seen, "tier", "url")
	if isPattern(e.name) {
		d.checkPattern(seen)
	} else {
		d.checkComesAndGoes(seen)
	}
	if p, found := seen["protected"]; found && d.Tier == envdb.Production && !d.MarkedProtected {
		e.doc.warn(p.at, "%s: production is protected whatever the file says", p.path)
	}
	return d
}

func (v value) tier() envdb.Tier {
	var names []string
	for _, t := range envdb.Tiers() {
		names = append(names, string(t))
	}
	return envdb.Tier(v.choice("tier", names...))
}

// mostSpares bounds the copies that only wait.
const mostSpares = 8

func (v value) spares() int {
	n := v.integer(0)
	if n > mostSpares {
		v.fault("is %d; the most is %d", n, mostSpares)
	}
	return n
}

func (v value) jobs() int {
	n := v.integer(1)
	if n > mostJobs {
		v.fault("is %d; the most is %d", n, mostJobs)
	}
	return n
}

// words reads a mapping of free keys to texts.
func (v value) words() map[string]string {
	words := map[string]string{}
	for _, e := range v.entries() {
		words[e.name] = e.text()
	}
	return words
}

func (d *declaration) readPooler(v value) {
	seen := v.object(fields{
		"admin":    func(v value) { d.pooler = v.connection() },
		"database": func(v value) { d.poolerDatabase = v.references() },
	})
	v.require(seen, "admin")
}

// settingName is a name that ALTER DATABASE … SET takes.
var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*$`)

func (d *declaration) readSettings(v value) {
	for _, e := range v.entries() {
		if !settingName.MatchString(e.name) {
			e.doc.fault(e.at, "", "%s: %q is not the name of a setting", v.path, e.name)
			continue
		}
		d.settings[e.name] = e.setting()
	}
}

// setting reads a value that may be empty, as search_path may be.
func (v value) setting() text {
	if v.kind() == "a text" && v.plainText() == "" {
		return text{value: v}
	}
	return v.references()
}

func (d *declaration) readKeepSettings(v value) {
	for _, item := range v.list() {
		name := item.text()
		switch {
		case name == "":
		case !settingName.MatchString(name):
			item.fault("%q is not the name of a setting", name)
		case !strings.Contains(name, "."):
			item.fault("%q is a built-in setting: those are carried over anyway", name)
		default:
			d.KeepSettings = append(d.KeepSettings, name)
		}
	}
}

// resolve returns the environment with its references replaced. With an error
// it returns what needs no reference: name, tier and protection stand.
func (d *declaration) resolve(get lookup) (Environment, error) {
	env := d.Environment
	var err error
	for _, c := range []struct {
		from text
		to   *envdb.ConnString
	}{{d.url, &env.URL}, {d.directURL, &env.DirectURL}, {d.pooler, &env.Pooler.Admin}} {
		if *c.to, err = c.from.connect(get); err != nil {
			return d.Environment, err
		}
	}
	if env.URLVariable = d.url.soleVariable(); !d.directURL.empty() {
		env.URLVariable = d.directURL.soleVariable()
	}
	for _, n := range []struct {
		from text
		to   *string
	}{{d.maintenanceDB, &env.MaintenanceDB}, {d.poolerDatabase, &env.Pooler.Database}} {
		if *n.to, err = n.from.held(get); err != nil {
			return d.Environment, err
		}
	}
	env.Settings = make(map[string]string, len(d.settings))
	for _, name := range slices.Sorted(maps.Keys(d.settings)) {
		if env.Settings[name], err = d.settings[name].held(get); err != nil {
			return d.Environment, err
		}
	}
	if env.Mirror.Remap, err = d.remap.resolve(get); err != nil {
		return d.Environment, err
	}
	return env, nil
}

// held resolves a text that may be empty.
func (t text) held(get lookup) (string, error) {
	if t.empty() {
		return "", nil
	}
	return t.resolve(get)
}

// saysProtected reports whether the file makes the environment a protected one.
// One whose tier is missing or misspelt is treated as protected too, but that is
// the one fault to be told of.
func (d *declaration) saysProtected() bool { return d.Tier.Known() && d.Protected() }

// checkMirror records what is wrong between an environment and its source.
func (d *declaration) checkMirror(all []*declaration) {
	if own := d.Migrations(); d.Mirror.Migrate && own.Directory == "" && own.Command == "" {
		d.migrate.hint("migrations: db/migrations", "there are none to run: %s has neither migrations nor seed.migrations", d.Name)
	}
	if d.Mirror.From == "" {
		return
	}
	source := slices.IndexFunc(all, func(o *declaration) bool { return o.Name == d.Mirror.From })
	switch {
	case d.Mirror.From == d.Name:
		d.from.fault("%s cannot be mirrored into itself", d.Name)
	case source < 0:
		hint := "environments are " + strings.Join(keysOf(all), ", ")
		if near := nearest(d.Mirror.From, keysOf(all)); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		d.from.hint(hint, "there is no environment %q", d.Mirror.From)
	case d.saysProtected():
		d.from.fault("%s is protected (tier %s): nothing is mirrored into it", d.Name, d.Tier)
	case !d.Mirror.Schedule.IsZero() && len(all[source].Backup.Ladder) == 0:
		d.doc.warn(d.from.at(), "%s is %s, which has no ladder: by its schedule %s gets the newest backup that somebody took of it", d.from.path, d.Mirror.From, d.Name)
	}
}

func keysOf(all []*declaration) []string {
	keys := make([]string, len(all))
	for i, d := range all {
		keys[i] = d.Name
	}
	return keys
}
