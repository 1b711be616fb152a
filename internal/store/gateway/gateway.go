// Package gateway runs versitygw, an S3 server, on loopback over a directory.
//
// The one idea: the demo and the tests speak to a real S3 server that is theirs
// alone, with keys made for it, and that ends when they do, however they end.
package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Region is the region that a gateway believes to be in.
const Region = "us-east-1"

const (
	startPatience = 30 * time.Second // a gateway answers in about 0.2 s
	startAttempts = 5                // another process may take the port that was free
)

// Options say what to run and where.
type Options struct {
	// Program is the versitygw binary.
	Program string
	// Dir holds buckets, users and the log. Its file system needs extended
	// attributes. A gateway started over a directory that has been one before
	// serves what was there, under the keys of these Options.
	Dir string
	// Address is where to listen; empty is a free port on 127.0.0.1.
	Address string
	// AccessKey and SecretKey are the owner's; empty ones are made up.
	AccessKey, SecretKey string
}

// Gateway is a running versitygw.
type Gateway struct {
	options Options
	process *process
}

// Start runs a gateway and returns when it answers.
func Start(ctx context.Context, o Options) (*Gateway, error) {
	if o.AccessKey == "" {
		o.AccessKey, o.SecretKey = "envdb"+rand.Text()[:15], rand.Text()+rand.Text()
	}
	for _, dir := range []string{bucketsDir(o.Dir), usersDir(o.Dir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("directory for versitygw: %w", err)
		}
	}
	chosen := o.Address != ""
	for attempt := 1; ; attempt++ {
		if !chosen {
			var err error
			if o.Address, err = freeAddress(); err != nil {
				return nil, err
			}
		}
		g, err := start(ctx, o)
		if err == nil || ctx.Err() != nil || attempt == startAttempts {
			return g, err
		}
	}
}

func bucketsDir(dir string) string { return filepath.Join(dir, "buckets") }
func usersDir(dir string) string   { return filepath.Join(dir, "users") }
func logFile(dir string) string    { return filepath.Join(dir, "versitygw.log") }

// freeAddress returns an address on loopback that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func start(ctx context.Context, o Options) (*Gateway, error) {
	log, err := os.OpenFile(logFile(o.Dir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of versitygw: %w", err)
	}
	defer log.Close()
	// Users are looked up anew for each request: a test that takes a right
	// away expects it gone.
	cmd := exec.Command(o.Program, "--port", o.Address, "--region", Region, "--iam-dir", usersDir(o.Dir), "--iam-cache-disable",
		"--quiet", "--keep-alive", "--health", health, "posix", bucketsDir(o.Dir))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.Dir, "ROOT_ACCESS_KEY_ID=" + o.AccessKey, "ROOT_SECRET_ACCESS_KEY=" + o.SecretKey}
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.Dir, log, log
	cmd.SysProcAttr = attributes()
	p, err := launch(cmd)
	if err != nil {
		return nil, envdb.Fail(envdb.ErrPreflight, "start versitygw: %w", err).WithNext("make gateway builds it anew")
	}
	g := &Gateway{options: o, process: p}
	if err := g.await(ctx); err != nil {
		return nil, errors.Join(err, g.Stop())
	}
	return g, nil
}

const health = "/-envdb-health" // no bucket can be called so

// await returns when the gateway answers.
func (g *Gateway) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if g.answers(ctx) {
			return nil
		}
		select {
		case <-g.process.done:
			return fmt.Errorf("versitygw ended at once: %s", g.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("versitygw does not answer: %w: %s", ctx.Err(), g.lastWords())
		case <-tick.C:
		}
	}
}

func (g *Gateway) answers(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL()+health, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// lastWords returns the end of the gateway's log.
func (g *Gateway) lastWords() string {
	log, err := os.ReadFile(logFile(g.options.Dir))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(log[max(0, len(log)-1000):]))
}

// URL returns the endpoint.
func (g *Gateway) URL() string { return "http://" + g.options.Address }

// Keys returns the owner's credentials, which may do everything.
func (g *Gateway) Keys() (access, secret string) { return g.options.AccessKey, g.options.SecretKey }

// Env returns the variables that give a child process the owner's credentials,
// and hide others that the machine may have.
func (g *Gateway) Env() []string { return Env(g.Keys()) }

// Env returns the variables that give a child process these credentials and no
// others.
func Env(access, secret string) []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + access, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_SESSION_TOKEN=", "AWS_REGION=" + Region,
		"AWS_PROFILE=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	}
}

// CreateBucket makes a bucket.
func (g *Gateway) CreateBucket(name string) error {
	if err := os.Mkdir(filepath.Join(bucketsDir(g.options.Dir), name), 0o700); err != nil {
		return fmt.Errorf("create bucket: %w", err)
	}
	return nil
}

// CreateUser makes a user who may do nothing until a bucket's policy lets them.
func (g *Gateway) CreateUser(ctx context.Context, access, secret string) error {
	cmd := exec.CommandContext(ctx, g.options.Program, "admin", "--endpoint-url", g.URL(), "--region", Region,
		"create-user", "--access", access, "--secret", secret, "--role", "user")
	cmd.Env = []string{"ADMIN_ACCESS_KEY_ID=" + g.options.AccessKey, "ADMIN_SECRET_ACCESS_KEY=" + g.options.SecretKey}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("create a user of versitygw: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Stop ends the gateway and waits until it is gone. It is idempotent; what the
// gateway held stays in its directory.
func (g *Gateway) Stop() error {
	g.process.stop()
	return nil
}

// Restart runs a stopped gateway again, at the same address.
func (g *Gateway) Restart(ctx context.Context) error {
	again, err := start(ctx, g.options)
	if err != nil {
		return err
	}
	g.process = again.process
	return nil
}
