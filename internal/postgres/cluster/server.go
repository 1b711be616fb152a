package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/envdb/envdb"
)

// startPatience is how long a server may take to accept connections, and
// stopPatience how long it may take to end before it is ended.
const (
	startPatience = 60 * time.Second
	stopPatience  = 20 * time.Second
)

// attempts is how many ports are tried: a port that was free a moment ago can
// be somebody's by the time the server binds it.
const attempts = 5

// defaults are the settings of a throwaway cluster: nothing is synced, and
// everything that envdb works with (logical slots, prepared transactions) is
// switched on.
func defaults() map[string]string {
	return map[string]string{
		"fsync":                     "off",
		"synchronous_commit":        "off",
		"full_page_writes":          "off",
		"wal_level":                 "logical",
		"max_wal_size":              "1GB",
		"max_connections":           "100",
		"max_prepared_transactions": "10",
		"shared_buffers":            "64MB",
		"listen_addresses":          "127.0.0.1",
		"timezone":                  "UTC",
		"log_timezone":              "UTC",
	}
}

// startSomewhere starts the server on the port, or if that is 0 on a free one.
func (c *Cluster) startSomewhere(ctx context.Context, port int) error {
	if port != 0 {
		return c.start(ctx, port)
	}
	var errs []error
	for range attempts {
		free, err := FreePort()
		if err != nil {
			return err
		}
		err = c.start(ctx, free)
		if err == nil || ctx.Err() != nil || !c.portWasTaken() {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// FreePort returns a TCP port on loopback that was free a moment ago.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// portWasTaken reports whether the server's last words were about its port.
func (c *Cluster) portWasTaken() bool {
	return strings.Contains(c.lastWords(), "Address already in use")
}

// start runs the server on the port until it accepts connections.
func (c *Cluster) start(ctx context.Context, port int) error {
	c.port = port
	if err := os.WriteFile(c.Log(), nil, 0o644); err != nil {
		return fmt.Errorf("server log: %w", err)
	}
	log, err := os.OpenFile(c.Log(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("server log: %w", err)
	}
	defer log.Close()

	cmd := exec.Command(c.program("postgres"), c.arguments()...)
	cmd.Env = environment()
	cmd.Dir = c.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes(c.account.credential(), c.outlives)
	if c.server, err = launch(cmd); err != nil {
		return fmt.Errorf("start PostgreSQL %d: %w", c.major, err)
	}
	if err := c.awaitReady(ctx); err != nil {
		return errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
	}
	return nil
}

func (c *Cluster) program(name string) string { return filepath.Join(c.programs.Dir, name) }

// arguments are the server's command line.
func (c *Cluster) arguments() []string {
	settings := defaults()
	maps.Copy(settings, c.settings)
	settings["port"] = strconv.Itoa(c.port)
	settings["unix_socket_directories"] = c.socketDir
	args := []string{"-D", c.Data()}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// awaitReady waits until the server has written into its pid file that it
// accepts connections. The file cannot belong to another server, which a
// connection to the port could.
func (c *Cluster) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c.ready() {
			return nil
		}
		select {
		case <-tick.C:
		case <-c.server.done:
			return envdb.Fail(envdb.ErrUnreachable, "PostgreSQL %d did not start: %s", c.major, c.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("start PostgreSQL %d: %w (%s)", c.major, ctx.Err(), c.lastWords())
		}
	}
}

// ready reads the eighth line of postmaster.pid.
func (c *Cluster) ready() bool {
	text, err := os.ReadFile(filepath.Join(c.Data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	return len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"
}

// lastWords returns the end of the server's log, for an error message.
func (c *Cluster) lastWords() string {
	text, err := os.ReadFile(c.Log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "; ")
}

// Stop ends the server: sessions are cut, data is kept. It is idempotent.
func (c *Cluster) Stop(ctx context.Context) error {
	if c.server == nil {
		return nil
	}
	return c.server.stop(ctx, syscall.SIGINT)
}

// Kill ends the server at once, as a crash would, and waits until it is gone.
func (c *Cluster) Kill(ctx context.Context) error {
	if c.server == nil {
		return nil
	}
	return c.server.stop(ctx, syscall.SIGQUIT)
}

// Restart starts a stopped or killed server again on its old port.
func (c *Cluster) Restart(ctx context.Context) error {
	if err := c.Stop(ctx); err != nil {
		return err
	}
	return c.start(ctx, c.port)
}

// Destroy stops the server and removes the cluster. It is idempotent.
func (c *Cluster) Destroy(ctx context.Context) error {
	return errors.Join(c.Kill(ctx), c.vacate())
}

// run runs one of the server's programs to its end, as the account.
func (c *Cluster) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, c.program(name), args...)
	var out bytes.Buffer
	cmd.Env = environment()
	cmd.Dir = c.dir
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.account.credential()}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(out.String()))
	}
	return nil
}
