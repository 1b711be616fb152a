package seed

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
)

// commandGrace is how long a command may take to end once it was asked to.
const commandGrace = 2 * time.Second

// runCommand runs the migration command in a process group of its own, which
// ends with it: a shell's children would otherwise go on.
func (s *Set) runCommand(ctx context.Context, cfg *pgx.ConnConfig) error {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if s.spec.CommandTimeout > 0 {
		limited, cancel = context.WithTimeout(ctx, s.spec.CommandTimeout)
	}
	defer cancel()
	output := &tail{most: 4 << 10}
	cmd := exec.CommandContext(limited, "/bin/sh", "-c", s.spec.Command)
	cmd.Dir = s.spec.CommandDir
	cmd.Env = append(withoutPostgres(os.Environ()), connectionVariables(cfg)...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = commandGrace
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind
	}
	return s.commandFault(ctx, limited, err, output.String())
}

// commandFault says how a command ended that did not end well.
func (s *Set) commandFault(ctx, limited context.Context, err error, output string) error {
	var p *envdb.Problem
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		p = envdb.Fail(envdb.ErrInterrupted, "the migration command was interrupted: %w", context.Cause(ctx))
	case limited.Err() != nil:
		p = envdb.Fail(nil, "the migration command took longer than %s and was ended", envdb.FormatDuration(s.spec.CommandTimeout)).
			WithNext("find out what it waits for, or give it more time with migrations.timeout")
		p.Err = context.DeadlineExceeded
	default:
		p = envdb.Fail(nil, "the migration command failed: %w", err).WithNext("run it by hand in %s to see more", cmp.Or(s.spec.CommandPlace, s.spec.CommandDir))
	}
	p.Text += "\n  command: " + s.spec.Command
	if output != "" {
		p.Text += "\n  its last output:\n    " + strings.ReplaceAll(output, "\n", "\n    ")
	}
	return p
}

// withoutPostgres drops the variables that would send libpq elsewhere.
func withoutPostgres(env []string) []string {
	var kept []string
	for _, v := range env {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "PG") && name != "DATABASE_URL" {
			kept = append(kept, v)
		}
	}
	return kept
}

// connectionVariables tell a command where the database is.
func connectionVariables(cfg *pgx.ConnConfig) []string {
	mode := sslMode(cfg)
	vars := []string{
		"DATABASE_URL=" + databaseURL(cfg, mode),
		"PGHOST=" + cfg.Host,
		"PGPORT=" + strconv.Itoa(int(cfg.Port)),
		"PGUSER=" + cfg.User,
		"PGDATABASE=" + cfg.Database,
		"PGSSLMODE=" + mode,
	}
	if cfg.Password != "" {
		vars = append(vars, "PGPASSWORD="+cfg.Password)
	}
	// By this name, whoever takes over from a run that was killed finds the
	// sessions that its command left on the server.
	if name := cfg.RuntimeParams["application_name"]; name != "" {
		vars = append(vars, "PGAPPNAME="+name)
	}
	return vars
}

// sslMode is how the session of cfg is encrypted, in libpq's words.
func sslMode(cfg *pgx.ConnConfig) string {
	plain := slices.ContainsFunc(cfg.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil })
	switch {
	case cfg.TLSConfig == nil:
		return "disable"
	case plain:
		return "prefer"
	case cfg.TLSConfig.InsecureSkipVerify:
		return "require"
	}
	return "verify-full"
}

// databaseURL is the database as a URL; the directory of a socket is a parameter.
func databaseURL(cfg *pgx.ConnConfig, mode string) string {
	u := url.URL{Scheme: "postgres", User: url.User(cfg.User), Path: "/" + cfg.Database}
	if cfg.Password != "" {
		u.User = url.UserPassword(cfg.User, cfg.Password)
	}
	query := url.Values{"sslmode": {mode}}
	port := strconv.Itoa(int(cfg.Port))
	if strings.HasPrefix(cfg.Host, "/") {
		query.Set("host", cfg.Host)
		query.Set("port", port)
	} else {
		u.Host = net.JoinHostPort(cfg.Host, port)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// tail keeps the end of what is written to it.
type tail struct {
	most int
	text []byte
	cut  bool
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if extra := len(t.text) - t.most; extra > 0 {
		t.text, t.cut = append(t.text[:0], t.text[extra:]...), true
	}
	return len(p), nil
}

// String returns the lines that are kept whole.
func (t *tail) String() string {
	text := strings.TrimSpace(string(t.text))
	if t.cut {
		if _, rest, found := strings.Cut(text, "\n"); found {
			text = fmt.Sprintf("…\n%s", rest)
		}
	}
	return text
}
