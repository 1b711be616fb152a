package config

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Daemon says how `envdb daemon` runs.
type Daemon struct {
	// Listen is the address of metrics and health, or empty for none.
	Listen string
	// Runs is how many go on at once.
	Runs int
	// Timeout is how long a run may take that has no deadline of its own.
	Timeout time.Duration
	// Name tells daemons apart. It is empty on a machine without a name.
	Name string
	Log  LogFormat
	// KeepRuns is how long the history of runs is kept.
	KeepRuns time.Duration
	// Housekeeping is how often backups expire and leftovers are removed.
	Housekeeping time.Duration
}

// LogFormat is how the daemon writes its log.
type LogFormat string

// The formats of slog.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

const (
	listenOff = "off"
	// mostRuns bounds what one daemon does at once.
	mostRuns = 64
)

func (l Loader) defaultDaemon() Daemon {
	return Daemon{
		Listen: "127.0.0.1:9532", Runs: 4, Timeout: 6 * time.Hour, Name: hostName(l.Host), Log: LogText, KeepRuns: 90 * envdb.Day, Housekeeping: 10 * time.Minute,
	}
}

// hostName returns the name of a machine as one of envdb's.
func hostName(host string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-", r):
			return r
		}
		return '-'
	}, host), "._-")
	const longest = 63
	return name[:min(len(name), longest)]
}

// readDaemon reads the section of that name.
func (c *Config) readDaemon(v value) {
	d := &c.Daemon
	v.object(fields{
		"listen":       func(v value) { d.Listen, c.listenLine = v.listen(), v.at().Line },
		"runs":         func(v value) { d.Runs = v.runs() },
		"timeout":      func(v value) { d.Timeout = v.span() },
		"name":         func(v value) { d.Name = v.name() },
		"log":          func(v value) { d.Log = LogFormat(v.choice("format", string(LogText), string(LogJSON))) },
		"keep_runs":    func(v value) { d.KeepRuns = v.span() },
		"housekeeping": func(v value) { d.Housekeeping = v.span() },
	})
}

func (v value) runs() int {
	n := v.integer(1)
	if n > mostRuns {
		v.fault("is %d; the most is %d", n, mostRuns)
	}
	return n
}

func (v value) listen() string {
	given := v.text()
	if given == "" {
		return ""
	}
	address, wrong := listenAddress(given)
	if wrong != "" {
		v.hint(exampleListen, "%s", wrong)
	}
	return address
}

const exampleListen = "write 127.0.0.1:9532, or off"

// listenAddress returns the address that is listened on, empty for off.
func listenAddress(given string) (address, wrong string) {
	if given == listenOff {
		return "", ""
	}
	host, port, err := net.SplitHostPort(given)
	if err != nil {
		return "", "is not an address with a port"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "has no port from 0 to 65535"
	}
	if strings.ContainsAny(host, " /@") {
		return "", "is not an address with a port"
	}
	return given, ""
}

// exposed warns of an address that other machines reach.
func (c *Config) exposed(file string) []Warning {
	host, _, err := net.SplitHostPort(c.Daemon.Listen)
	if err != nil || loopback(host) {
		return nil
	}
	w := Warning{Text: "daemon.listen is " + c.Daemon.Listen + ": other machines can read the names and sizes of every environment; write 127.0.0.1 unless a firewall lets only the monitoring in"}
	if c.listenLine > 0 {
		w.File, w.Line = file, c.listenLine
	}
	return []Warning{w}
}

func setListen(c *Config, _ Loader, held string) error {
	address, wrong := listenAddress(held)
	if wrong != "" {
		return envdb.Fail(envdb.ErrMisuse, "%q %s", held, wrong).WithNext(exampleListen)
	}
	c.Daemon.Listen, c.listenLine = address, 0
	return nil
}

func setRuns(c *Config, _ Loader, held string) error {
	n, err := strconv.Atoi(held)
	if err != nil || n < 1 || n > mostRuns {
		return envdb.Fail(envdb.ErrMisuse, "%q is not a number from 1 to %d", held, mostRuns).WithNext("give a number of runs, e.g. 4")
	}
	c.Daemon.Runs = n
	return nil
}

// setSpan returns what sets a duration of the daemon.
func setSpan(field func(*Daemon) *time.Duration) func(*Config, Loader, string) error {
	return func(c *Config, _ Loader, held string) error {
		d, err := envdb.ParseDuration(held)
		if err == nil && d <= 0 {
			err = envdb.Fail(envdb.ErrMisuse, "%q is no time at all", held).WithNext("write 15m, 6h or 7d")
		}
		*field(&c.Daemon) = d
		return err
	}
}

func setDaemonName(c *Config, _ Loader, held string) error {
	c.Daemon.Name = held
	return envdb.CheckName(held)
}

func setLog(c *Config, _ Loader, held string) error {
	if c.Daemon.Log = LogFormat(held); c.Daemon.Log != LogText && c.Daemon.Log != LogJSON {
		return envdb.Fail(envdb.ErrMisuse, "unknown format %q", held).WithNext("use text or json")
	}
	return nil
}
