// Package cluster runs throwaway PostgreSQL clusters: the ones that tests and
// the demo work on.
//
// The one idea in it: a cluster is a directory that initdb made and a server
// process that this package started, on loopback and on a unix socket, with a
// password for everyone. The server refuses to run as root, so for root every
// binary runs as an unprivileged user, who owns the directory. Durability is
// off: nothing here is meant to survive a power cut.
package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/envdb/envdb"
)

// Superuser is the name of the superuser of every cluster.
const Superuser = "postgres"

// Options say what cluster to make. The zero Options, with a Dir, work.
type Options struct {
	// Dir is where the cluster lives: its data, its log and, if the path is
	// short enough, its socket. It is made if it is missing, and must be empty.
	Dir string
	// Major is the PostgreSQL version wanted; 0 is the highest installed.
	Major int
	// Programs are the server programs to use; the zero value finds those of
	// Major.
	Programs Programs
	// Port is the TCP port on loopback; 0 is a free one.
	Port int
	// Settings are configuration parameters on top of, or instead of, the
	// package's own.
	Settings map[string]string
	// Password is the superuser's; empty means a random one.
	Password string
	// Outlives keeps the server running when this process ends without Stop.
	// Otherwise it ends with the process, however the process ends (on Linux).
	Outlives bool
}

// Cluster is a PostgreSQL cluster that runs.
type Cluster struct {
	dir, socketDir string
	port, major    int
	password       string
	account        account
	programs       Programs
	settings       map[string]string
	outlives       bool
	server         *process
}

// Create makes a cluster and starts it; it accepts connections when Create
// returns. If Create fails, nothing runs and nothing is left in Dir.
func Create(ctx context.Context, o Options) (_ *Cluster, err error) {
	c, err := plan(o)
	if err != nil {
		return nil, err
	}
	if err := c.occupy(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Destroy(context.WithoutCancel(ctx)))
		}
	}()
	if err := c.initialise(ctx); err != nil {
		return nil, err
	}
	if err := c.startSomewhere(ctx, o.Port); err != nil {
		return nil, err
	}
	return c, nil
}

// plan finds what the cluster needs, without touching anything.
func plan(o Options) (*Cluster, error) {
	programs := o.Programs
	if programs.Dir == "" {
		var err error
		if programs, err = Find(o.Major); err != nil {
			return nil, err
		}
	}
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("cluster directory %s: %w", o.Dir, err)
	}
	password := o.Password
	if password == "" {
		password = rand.Text()
	}
	return &Cluster{
		dir: dir, major: programs.Major, password: password, account: who,
		programs: programs, settings: o.Settings, outlives: o.Outlives,
	}, nil
}

// initialise runs initdb. The password travels in a file of mode 0600.
func (c *Cluster) initialise(ctx context.Context) error {
	file := filepath.Join(c.dir, "password")
	if err := os.WriteFile(file, []byte(c.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	defer os.Remove(file)
	if err := c.account.own(file); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	return c.run(ctx, "initdb", "-D", c.Data(), "-U", Superuser, "--pwfile", file,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions")
}

// Data returns the data directory.
func (c *Cluster) Data() string { return filepath.Join(c.dir, "data") }

// Log returns the path of the server's log.
func (c *Cluster) Log() string { return filepath.Join(c.dir, "log") }

// Major returns the server's major version.
func (c *Cluster) Major() int { return c.major }

// Port returns the TCP port on 127.0.0.1, which also names the socket.
func (c *Cluster) Port() int { return c.port }

// SocketDir returns the directory of the unix socket.
func (c *Cluster) SocketDir() string { return c.socketDir }

// Password returns the superuser's password.
func (c *Cluster) Password() string { return c.password }

// URL returns how the superuser reaches a database over TCP.
func (c *Cluster) URL(database string) envdb.ConnString {
	return c.URLAs(Superuser, c.password, database)
}

// URLAs returns how a role reaches a database over TCP.
func (c *Cluster) URLAs(role, password, database string) envdb.ConnString {
	u := c.address(role, password, database)
	u.Host = "127.0.0.1:" + strconv.Itoa(c.port)
	return envdb.ConnString(u.String())
}

// SocketURL returns how the superuser reaches a database over the unix socket.
func (c *Cluster) SocketURL(database string) envdb.ConnString {
	u := c.address(Superuser, c.password, database)
	u.RawQuery = url.Values{"host": {c.socketDir}, "port": {strconv.Itoa(c.port)}}.Encode()
	return envdb.ConnString(u.String())
}

func (c *Cluster) address(role, password, database string) *url.URL {
	return &url.URL{Scheme: "postgres", User: url.UserPassword(role, password), Path: "/" + database}
}
