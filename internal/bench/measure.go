package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/envdb/envdb/internal/postgres/cluster"
)

// Sample is what one run of a work took: a process, or several one after the
// other that do the work together.
type Sample struct {
	Wall time.Duration
	// Told is how long the last process took until it wrote to stdout.
	Told time.Duration
	// CPU is the user and system time of the processes and their children.
	CPU time.Duration
	// Server is the same of both PostgreSQL servers in that time.
	Server time.Duration
	// Largest is the resident memory, in bytes, of the largest process.
	Largest int64
	// Own is that of the program itself, and Together the sum of it and of
	// its children at one moment. Both are sampled.
	Own, Together int64
	// Output is what the last process wrote to stdout.
	Output []byte
}

// command is a program with its arguments and what its environment has more.
type command struct {
	program string
	args    []string
	env     []string
	dir     string
}

// String names the program and what it was asked for, without passwords.
func (c command) String() string {
	words := []string{filepath.Base(c.program)}
	for _, arg := range c.args {
		if strings.HasPrefix(arg, "postgres://") {
			arg = "URL"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// line returns command lines as the report shows them: without passwords,
// ports and directories, which are others each time.
func (b *bench) line(commands ...command) string {
	lines := make([]string, len(commands))
	for i, c := range commands {
		if c.program == b.envdb {
			lines[i] = envdbLine(c.args...)
		} else {
			lines[i] = filepath.Base(c.program) + " " + strings.Join(c.args, " ")
		}
	}
	text := strings.Join(lines, " && ")
	for _, s := range []struct {
		name    string
		cluster *cluster.Cluster
	}{{"$SOURCE", b.source}, {"$TARGET", b.target}} {
		text = strings.ReplaceAll(text, strings.TrimSuffix(s.cluster.URL("").Reveal(), "/"), s.name)
	}
	return strings.ReplaceAll(text, b.work+"/", "")
}

// envdbLine is a command line of envdb, as a person would type it.
func envdbLine(args ...string) string {
	return strings.TrimSuffix("envdb "+strings.Join(args, " "), " "+strings.Join(forPrograms(), " "))
}

// forPrograms makes envdb answer programs, not people.
func forPrograms() []string { return []string{"-o", "json", "--quiet"} }

// measure runs the commands one after the other. What the work before left to
// write is on disk before the clock starts.
func (b *bench) measure(ctx context.Context, commands ...command) (Sample, error) {
	if err := b.settle(ctx); err != nil {
		return Sample{}, err
	}
	var total Sample
	before, err := b.serverCPU()
	if err != nil {
		return total, err
	}
	began := time.Now()
	for _, c := range commands {
		since := time.Since(began)
		one, err := run(ctx, c)
		if err != nil {
			return total, err
		}
		total.CPU += one.CPU
		total.Largest = max(total.Largest, one.Largest)
		total.Own = max(total.Own, one.Own)
		total.Together = max(total.Together, one.Together)
		total.Output, total.Told = one.Output, since+one.Told
	}
	total.Wall = time.Since(began)
	after, err := b.serverCPU()
	total.Server = after - before
	return total, err
}

// settle makes both servers and the kernel write what they have.
func (b *bench) settle(ctx context.Context) error {
	for _, s := range b.servers() {
		if err := execute(ctx, s.URL("postgres"), "CHECKPOINT"); err != nil {
			return err
		}
	}
	syscall.Sync()
	return nil
}

// run runs one process to its end. One that fails is an error that says what
// it said.
func run(ctx context.Context, c command) (Sample, error) {
	cmd := exec.CommandContext(ctx, c.program, c.args...)
	cmd.Env = append(environment(), c.env...)
	cmd.Dir = c.dir
	out, said := firstWord{began: time.Now()}, bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Start(); err != nil {
		return Sample{}, fmt.Errorf("%s: %w", c, err)
	}
	watch := watchTree(cmd.Process.Pid)
	err := cmd.Wait()
	tree := watch.stop()
	if err != nil {
		return Sample{}, fmt.Errorf("%s: %w\n%s", c, errors.Join(ctx.Err(), err), lastLines(said.String()+out.text.String(), 15))
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return Sample{}, fmt.Errorf("%s: the system does not say what it used", c)
	}
	return Sample{
		CPU:     cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		Largest: usage.Maxrss * 1024, // Linux counts it in KiB, and children are in it
		Own:     tree.own, Together: tree.together,
		Output: out.text.Bytes(), Told: out.after,
	}, nil
}

// firstWord keeps what is written, and notes how long the first of it took.
type firstWord struct {
	text  bytes.Buffer // not embedded: its ReadFrom would pass Write by
	began time.Time
	after time.Duration
}

// Write implements io.Writer.
func (w *firstWord) Write(p []byte) (int, error) {
	if w.after == 0 {
		w.after = time.Since(w.began)
	}
	return w.text.Write(p)
}

// environment is ours without what steers libpq, envdb or a language.
func environment() []string {
	env := []string{"LC_ALL=C.UTF-8"}
	for _, pair := range os.Environ() {
		if strings.HasPrefix(pair, "PG") || strings.HasPrefix(pair, "LC_") || strings.HasPrefix(pair, "LANG") || strings.HasPrefix(pair, "ENVDB_") {
			continue
		}
		env = append(env, pair)
	}
	return env
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
