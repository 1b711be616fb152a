package config_test

import (
	"slices"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
)

func TestDaemon(t *testing.T) {
	t.Parallel()
	standard := config.Daemon{Listen: "127.0.0.1:9532", Runs: 4, Timeout: 6 * time.Hour, Log: config.LogText, KeepRuns: 90 * envdb.Day, Housekeeping: 10 * time.Minute}
	if got := load(t, small).Daemon; got != standard {
		t.Errorf("got %+v", got)
	}
	want := config.Daemon{Runs: 8, Timeout: time.Hour, Name: "db-1", Log: config.LogJSON, KeepRuns: 30 * envdb.Day, Housekeeping: time.Minute}
	if got := load(t, small+"daemon: {listen: off, runs: 8, timeout: 1h, name: db-1, log: json, keep_runs: 30d, housekeeping: 1m}\n").Daemon; got != want {
		t.Errorf("got %+v", got)
	}
	want = config.Daemon{Listen: "[::1]:1", Runs: 2, Timeout: 90 * time.Minute, Name: "other", Log: config.LogText, KeepRuns: envdb.Week, Housekeeping: time.Hour}
	if got := load(t, small+"daemon: {runs: 8, log: json}\n", "ENVDB_DAEMON_LISTEN=[::1]:1", "ENVDB_DAEMON_RUNS=2", "ENVDB_DAEMON_TIMEOUT=90m",
		"ENVDB_DAEMON_NAME=other", "ENVDB_DAEMON_LOG=text", "ENVDB_DAEMON_KEEP_RUNS=1w", "ENVDB_DAEMON_HOUSEKEEPING=1h").Daemon; got != want {
		t.Errorf("got %+v", got)
	}
}

func TestDaemonIsCalledLikeItsMachine(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"db-1": "db-1", "db 1.example.com": "db-1.example.com", "-örtchen.": "rtchen", "": ""} {
		l := place(t, small)
		l.Host = host
		c, err := l.Load("", nil)
		if err != nil || c.Daemon.Name != want {
			t.Errorf("%s: %q, %v", host, c.Daemon.Name, err)
		}
		if want != "" && envdb.CheckName(want) != nil {
			t.Errorf("%s is no name", want)
		}
	}
}

func TestBadDaemonVariables(t *testing.T) {
	t.Parallel()
	for pair, want := range map[string]string{
		"ENVDB_DAEMON_LISTEN=localhost":   `ENVDB_DAEMON_LISTEN: "localhost" is not an address with a port`,
		"ENVDB_DAEMON_LISTEN=1.2.3.4:x":   `ENVDB_DAEMON_LISTEN: "1.2.3.4:x" has no port from 0 to 65535`,
		"ENVDB_DAEMON_RUNS=0":             `ENVDB_DAEMON_RUNS: "0" is not a number from 1 to 64`,
		"ENVDB_DAEMON_TIMEOUT=-1h":        `ENVDB_DAEMON_TIMEOUT: duration "-1h" is negative`,
		"ENVDB_DAEMON_TIMEOUT=0":          `ENVDB_DAEMON_TIMEOUT: "0" is no time at all`,
		"ENVDB_DAEMON_NAME=a b":           `ENVDB_DAEMON_NAME: name "a b" holds ' '`,
		"ENVDB_DAEMON_LOG=logfmt":         `ENVDB_DAEMON_LOG: unknown format "logfmt"`,
		"ENVDB_DAEMON_KEEP_RUNS=for ever": `ENVDB_DAEMON_KEEP_RUNS: duration "for ever" is not a number with a unit`,
	} {
		_, err := place(t, small, pair).Load("", nil)
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", pair, err, want)
		}
		if _, next := envdb.Advice(err); next == "" {
			t.Errorf("%s: no advice", pair)
		}
	}
}

func TestExposedDaemonWarns(t *testing.T) {
	t.Parallel()
	const why = ": other machines can read the names and sizes of every environment; write 127.0.0.1 unless a firewall lets only the monitoring in"
	for said, want := range map[string]string{
		"127.0.0.1:1": "", "localhost:1": "", `"[::1]:1"`: "", "off": "",
		"0.0.0.0:1": "envdb.yaml:7: daemon.listen is 0.0.0.0:1" + why,
		`":9532"`:   "envdb.yaml:7: daemon.listen is :9532" + why,
		"db-1:9532": "envdb.yaml:7: daemon.listen is db-1:9532" + why,
	} {
		c := load(t, small+"daemon: {listen: "+said+"}\n")
		var got string
		for _, w := range c.Warnings {
			got += w.String()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", said, got, want)
		}
	}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.String("listen", "", "")
	if err := flags.Parse([]string{"--listen", ":1"}); err != nil {
		t.Fatal(err)
	}
	c, err := place(t, small+"daemon: {listen: off}\n").Load("", flags)
	if err != nil || c.Daemon.Listen != ":1" || !slices.Equal(c.Warnings, []config.Warning{{Text: "daemon.listen is :1" + why}}) {
		t.Errorf("got %+v, %v, %v", c.Daemon, c.Warnings, err)
	}
}
