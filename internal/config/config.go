package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/envdb/envdb"
)

// Config is a validated configuration. It does not change.
type Config struct {
	// Path is the file that it was read from.
	Path    string
	Project string
	// Connections is how many work in parallel where an environment does not
	// say it.
	Connections int
	// Home is where this machine keeps what is not in the store yet.
	Home string
	// Warnings are what a person should change; Notes say where this version
	// does less with a key than one may think.
	Warnings, Notes []Warning

	// Daemon says how `envdb daemon` runs on this machine.
	Daemon Daemon
	// Expire is when backups expire beside what the daemon does by itself.
	Expire Expire

	store         storeDeclaration
	environments  []*declaration
	patterns      []*declaration
	notifications []*notified
	drills        []*declaredDrill
	listenLine    int // of the file, 0 if it does not say it
	get           lookup
	shown         func(path string) string
}

// Load reads the file at path, or the first one of the usual places if path is
// empty, and lays ENVDB_ variables and the flags that were given over it. See
// Loader for where it looks.
func Load(path string, flags *pflag.FlagSet) (*Config, error) {
	return Process().Load(path, flags)
}

// Load reads a configuration; see the function Load.
func (l Loader) Load(path string, flags *pflag.FlagSet) (*Config, error) {
	path, err := l.find(path)
	if err != nil {
		return nil, err
	}
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return l.parse(path, content, flags)
}

// Parse reads a configuration that is not written yet, as it would be read
// from path.
func (l Loader) Parse(path string, content []byte) (*Config, error) {
	return l.parse(path, content, nil)
}

// parse makes a Config of the content of the file at path.
func (l Loader) parse(path string, content []byte, flags *pflag.FlagSet) (*Config, error) {
	abs := l.abs(path)
	doc, root, err := parse(l.shown(abs), filepath.Dir(abs), content)
	if err != nil {
		return nil, err
	}
	c := &Config{Path: abs, Connections: defaultJobs(), Home: l.defaultHome(), Daemon: l.defaultDaemon(), store: storeDeclaration{dir: doc.dir}, get: l.lookup, shown: l.shown}
	c.read(root)
	if len(doc.faults) > 0 {
		return nil, doc.faults.problem(envdb.ErrMisuse)
	}
	if err := c.overlay(l, doc, flags); err != nil {
		return nil, err
	}
	c.Warnings = slices.Concat(doc.warnings, c.exposed(doc.name), l.strayVariables(c.variables()))
	c.Notes = doc.notes
	return c, nil
}

// defaultJobs is a few connections: production has other work to do.
func defaultJobs() int { return min(max(runtime.NumCPU(), 2), 4) }

// read reads the whole file into c, and records its faults.
func (c *Config) read(root value) {
	seen := root.object(fields{
		"project":       func(v value) { c.Project = v.name() },
		"store":         c.readStore,
		"jobs":          func(v value) { c.Connections = v.jobs() },
		"home":          func(v value) { c.Home = v.directory() },
		"environments":  c.readEnvironments,
		"expire":        func(v value) { c.Expire = v.expire() },
		"drills":        c.readDrills,
		"daemon":        c.readDaemon,
		"notifications": c.readNotifications,
	})
	root.require(seen, "environments")
	for _, d := range c.declarations() {
		d.checkMirror(c.environments)
		d.checkSeed()
		d.checkAccess()
		d.checkSchedules()
	}
	c.checkTwins()
	c.checkDrills()
	c.checkNotifications()
}

func (c *Config) readEnvironments(v value) {
	for _, e := range v.entries() {
		e.schema = "environments.*"
		d := e.environment()
		if isPattern(e.name) {
			c.patterns = append(c.patterns, d)
			continue
		}
		c.environments = append(c.environments, d)
	}
	if len(c.declarations()) == 0 && v.kind() == "a mapping" {
		v.fault("there are none")
	}
}

// checkTwins records environments that are one and the same: names that differ
// only in case would meet in a store's directories, and what has the URL of
// another one would overwrite it.
func (c *Config) checkTwins() {
	all := c.declarations()
	for i, d := range all {
		for _, other := range all[:i] {
			if strings.EqualFold(d.Name, other.Name) {
				d.doc.fault(d.entry.at, "", "environments: %q and %q differ only in case", other.Name, d.Name)
			}
			if !d.url.empty() && d.url.raw == other.url.raw {
				d.url.fault("is the url of %s too; each environment has a database of its own", other.Name)
			}
		}
	}
}

// directory reads the path of a directory.
func (v value) directory() string {
	path := v.text()
	switch {
	case path == "":
		return ""
	case strings.HasPrefix(path, "~"):
		v.fault("~ is not expanded; write the whole path")
	case !filepath.IsAbs(path):
		path = filepath.Join(v.doc.dir, path)
	}
	return filepath.Clean(path)
}

// declarations returns the environments and the patterns.
func (c *Config) declarations() []*declaration { return slices.Concat(c.environments, c.patterns) }

// Names returns the names of the environments, in the order of the file.
// Those of patterns are not known here: they are created and destroyed.
func (c *Config) Names() []string { return keysOf(c.environments) }

// Environments returns every environment as declared, in the order of the
// file: without what references lead to, so without URLs. Environment returns
// one with them.
func (c *Config) Environments() []Environment { return c.declared(c.environments) }

func (c *Config) declared(from []*declaration) []Environment {
	all := make([]Environment, len(from))
	for i, d := range from {
		all[i] = d.Environment
		all[i].Jobs = c.jobs(d)
	}
	return all
}

// Environment returns the environment of that name, with its references
// resolved. An unknown name is ErrNotFound. A reference that leads nowhere is
// ErrUnset; then name, tier and settings stand in the result nevertheless, so
// that a protected environment can be recognised by its recorded identity.
//
// A name that no environment has and a pattern matches is an environment of
// that pattern. Whether it was created only the store knows.
func (c *Config) Environment(name string) (Environment, error) {
	i := slices.IndexFunc(c.environments, func(d *declaration) bool { return d.Name == name })
	if i < 0 {
		return c.ofPattern(name)
	}
	env, err := c.environments[i].resolve(c.get)
	env.Jobs = c.jobs(c.environments[i])
	return env, err
}

// ofPattern returns the environment of a pattern.
func (c *Config) ofPattern(name string) (Environment, error) {
	d := c.patternOf(name)
	if d == nil {
		return Environment{}, c.unknown(name)
	}
	env, err := d.resolveAs(name, c.get)
	env.Jobs = c.jobs(d)
	if err == nil {
		err = c.twin(env)
	}
	return env, err
}

func (c *Config) jobs(d *declaration) int {
	if d.Jobs > 0 {
		return d.Jobs
	}
	return c.Connections
}

// unknown says that there is no environment of that name, and if none could
// have it, why.
func (c *Config) unknown(name string) error {
	if err := envdb.CheckName(name); err != nil {
		_, next := envdb.Advice(err)
		return envdb.Fail(envdb.ErrNotFound, "there is no environment %q: %v", name, err).WithNext("%s", next)
	}
	for _, d := range c.patterns {
		if name == strings.Replace(d.Name, "*", "", 1) {
			return envdb.Fail(envdb.ErrNotFound, "there is no environment %q: nothing is in the place of the star of %s", name, d.Name).
				WithNext("name it like %s", strings.Replace(d.Name, "*", "feature-x", 1))
		}
	}
	names := c.Names()
	next := fmt.Sprintf("%s has %s", filepath.Base(c.Path), strings.Join(keysOf(c.declarations()), ", "))
	if near := nearest(name, names); near != "" {
		next = fmt.Sprintf("did you mean %q? %s", near, next)
	}
	return envdb.Fail(envdb.ErrNotFound, "there is no environment %q", name).WithNext("%s", next)
}

// variables returns the names of all variables that the file refers to.
func (c *Config) variables() map[string]bool {
	names := map[string]bool{}
	add := func(ts ...text) {
		for _, t := range ts {
			for _, name := range t.variables() {
				names[name] = true
			}
		}
	}
	add(c.store.url, c.store.endpoint, c.store.region, c.store.singleWriter, c.store.identity)
	for _, d := range c.declarations() {
		add(d.url, d.directURL, d.pooler, d.maintenanceDB, d.poolerDatabase, d.maskSecret)
		add(slices.Collect(maps.Values(d.settings))...)
		add(d.remap.texts()...)
	}
	for _, n := range c.notifications {
		add(n.texts()...)
	}
	return names
}
