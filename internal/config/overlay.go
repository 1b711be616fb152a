package config

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/envdb/envdb"
)

// overlaid is a scalar of the file that a variable or a flag may replace.
type overlaid struct {
	key      string // in the file
	variable string
	flag     string // empty for none
	// set parses the replacement and puts it into the Config.
	set func(c *Config, l Loader, held string) error
}

// overlays are all of them. A flag is looked at only if the command has it and
// it was given; it wins over the variable, which wins over the file.
func overlays() []overlaid {
	return []overlaid{
		{"project", "ENVDB_PROJECT", "project", setProject},
		{"store.url", "ENVDB_STORE_URL", "store", setStore},
		{"store.endpoint", "ENVDB_STORE_ENDPOINT", "endpoint", setStoreText(checkEndpoint, func(s *storeDeclaration) *text { return &s.endpoint })},
		{"store.region", "ENVDB_STORE_REGION", "region", setStoreText(checkRegion, func(s *storeDeclaration) *text { return &s.region })},
		{"store.profile", "ENVDB_STORE_PROFILE", "profile", setProfile},
		{"store.path_style", "ENVDB_STORE_PATH_STYLE", "path-style", setPathStyle},
		{"store.single_writer", "ENVDB_STORE_SINGLE_WRITER", "single-writer", setStoreText(checkWriter, func(s *storeDeclaration) *text { return &s.singleWriter })},
		{"store.encryption.identity", "ENVDB_STORE_ENCRYPTION_IDENTITY", "identity", setIdentity},
		{"store.encryption.key_id", "ENVDB_STORE_ENCRYPTION_KEY_ID", "key-id", setKeyID},
		{"jobs", "ENVDB_JOBS", "jobs", setJobs},
		{"home", "ENVDB_HOME", "home", setHome},
		{"daemon.listen", "ENVDB_DAEMON_LISTEN", "listen", setListen},
		{"daemon.runs", "ENVDB_DAEMON_RUNS", "", setRuns},
		{"daemon.timeout", "ENVDB_DAEMON_TIMEOUT", "", setSpan(func(d *Daemon) *time.Duration { return &d.Timeout })},
		{"daemon.name", "ENVDB_DAEMON_NAME", "", setDaemonName},
		{"daemon.log", "ENVDB_DAEMON_LOG", "", setLog},
		{"daemon.housekeeping", "ENVDB_DAEMON_HOUSEKEEPING", "", setSpan(func(d *Daemon) *time.Duration { return &d.Housekeeping })},
		{"daemon.keep_runs", "ENVDB_DAEMON_KEEP_RUNS", "", setSpan(func(d *Daemon) *time.Duration { return &d.KeepRuns })},
	}
}

// overlay lays variables and flags over what the file says, and then asks for
// what must have come from one of them.
func (c *Config) overlay(l Loader, doc *document, flags *pflag.FlagSet) error {
	v, err := l.layers(flags)
	if err != nil {
		return err
	}
	for _, o := range overlays() {
		if !v.IsSet(o.key) {
			continue
		}
		if err := o.set(c, l, v.GetString(o.key)); err != nil {
			return envdb.Fail(envdb.ErrMisuse, "%s: %w", o.origin(flags), err).WithState("nothing was changed")
		}
	}
	if err := c.checkOverlaidStore(v, flags); err != nil {
		return err
	}
	switch {
	case c.Project == "":
		return missing(doc, "project", "write project: NAME, the name of your product; it keeps projects apart in one store")
	case c.store.url.empty():
		return missing(doc, "store.url", "write store: {url: s3://bucket/prefix}, or {url: file:///var/lib/envdb/store}")
	case c.store.identity.empty() && c.store.keyID != "":
		return missing(doc, "store.encryption.identity", "write encryption: {identity: file:"+IdentityFile+"} below store")
	}
	return nil
}

func missing(doc *document, key, next string) error {
	return envdb.Fail(envdb.ErrMisuse, "%s: the key %q is missing", doc.name, key).WithState("nothing was changed").WithNext("%s", next)
}

// layers puts flags over variables. An empty variable is as good as none, and
// so is a flag that was not given.
func (l Loader) layers(flags *pflag.FlagSet) (*viper.Viper, error) {
	v := viper.New()
	for _, o := range overlays() {
		if held := l.variable(o.variable); held != "" {
			v.SetDefault(o.key, held)
		}
		if flag := o.given(flags); flag != nil {
			if err := v.BindPFlag(o.key, flag); err != nil {
				return nil, fmt.Errorf("bind flag %s: %w", o.flag, err)
			}
		}
	}
	return v, nil
}

// given returns the flag, if the command has it and it was given.
func (o overlaid) given(flags *pflag.FlagSet) *pflag.Flag {
	if flags == nil || o.flag == "" {
		return nil
	}
	if flag := flags.Lookup(o.flag); flag != nil && flag.Changed {
		return flag
	}
	return nil
}

// origin names what the replacement came from.
func (o overlaid) origin(flags *pflag.FlagSet) string {
	if o.given(flags) != nil {
		return "--" + o.flag
	}
	return o.variable
}

func setProject(c *Config, _ Loader, held string) error {
	c.Project = held
	return envdb.CheckName(held)
}

func setJobs(c *Config, _ Loader, held string) error {
	n, err := strconv.Atoi(held)
	if err != nil || n < 1 || n > mostJobs {
		return envdb.Fail(envdb.ErrMisuse, "%q is not a number from 1 to %d", held, mostJobs).WithNext("give a number of connections, e.g. 4")
	}
	c.Connections = n
	for _, d := range c.declarations() {
		d.Jobs = n
	}
	return nil
}

func setHome(c *Config, l Loader, held string) error {
	c.Home = filepath.Clean(l.abs(held))
	return nil
}

// strayVariables warns of variables that look like one of envdb's, and are
// none: ENVDB_STOREURL would otherwise be ignored. Those that the file refers
// to are known.
func (l Loader) strayVariables(known map[string]bool) []Warning {
	names := []string{"ENVDB_CONFIG"}
	for _, o := range overlays() {
		names = append(names, o.variable)
	}
	for _, name := range names {
		known[name] = true
	}
	var warnings []Warning
	for _, pair := range l.Environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "ENVDB_") || known[name] {
			continue
		}
		for _, near := range names {
			if distance(name, near) <= 2 {
				warnings = append(warnings, Warning{Text: fmt.Sprintf("the variable %s is not one of envdb's; did you mean %s?", name, near)})
			}
		}
	}
	return warnings
}
