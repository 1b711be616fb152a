package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// place is where and how a benchmark ran.
type place struct {
	command string
	jobs    int
	facts   []fact
}

// describe reads what machine this is, and which versions are measured.
func (b *bench) describe(ctx context.Context) (place, error) {
	p := place{command: b.typed(), jobs: b.jobs}
	add := func(name, value string) { p.facts = append(p.facts, fact{name, value}) }
	add("machine", fmt.Sprintf("%d processors (%s), %s of memory", runtime.NumCPU(), field("/proc/cpuinfo", "model name"), memorySize()))
	add("system", strings.Trim(field("/etc/os-release", "PRETTY_NAME"), `"`)+", Linux "+firstLine(systemFile("/proc/sys/kernel/osrelease")))
	disk, err := b.diskSpeed()
	if err != nil {
		return p, err
	}
	add("disk", disk)
	add("load", fmt.Sprintf("%s before the first row, on the average of a minute", b.load))
	for _, v := range []struct {
		name    string
		command command
	}{
		{"envdb", command{program: "git", args: []string{"describe", "--tags", "--always", "--dirty"}}},
		{"Go", command{program: "go", args: []string{"version"}}},
		{"PostgreSQL", b.tool("postgres", "--version")},
		{"pg_dump, pg_restore", b.tool("pg_dump", "--version")},
		{"pgcopydb", command{program: "pgcopydb", args: []string{"--version"}}},
		{"PgBouncer", command{program: pgbouncer(), args: []string{"--version"}}},
	} {
		said, err := run(ctx, v.command)
		if errors.Is(err, exec.ErrNotFound) {
			add(v.name, "not installed") // no row that was measured needs it
			continue
		}
		if err != nil {
			return p, err
		}
		add(v.name, versionIn(string(said.Output)))
	}
	add("settings of both servers", b.settingsText()+"; the rest are PostgreSQL's defaults")
	for _, d := range b.scale.databases() {
		found, err := queryText(ctx, b.source.URL(d.name), `SELECT format('%s: %s', pg_size_pretty(pg_database_size(current_database())),
			(SELECT string_agg(format('%s %s', relname, pg_size_pretty(pg_total_relation_size(oid))), ', ' ORDER BY pg_total_relation_size(oid) DESC)
			FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace))`)
		if err != nil {
			return p, err
		}
		add(d.name+" ("+d.what+")", found[0])
	}
	return p, nil
}

// typed is the command line that a person would repeat.
func (o options) typed() string {
	line := "make bench"
	var args []string
	if o.scale != "full" {
		args = append(args, "-scale "+o.scale)
	}
	if o.rows != "" {
		args = append(args, "-rows "+o.rows)
	}
	if o.rounds != 0 {
		args = append(args, fmt.Sprintf("-rounds %d", o.rounds))
	}
	if o.jobs != defaultJobs {
		args = append(args, fmt.Sprintf("-jobs %d", o.jobs))
	}
	if !o.fsync {
		args = append(args, "-fsync=false")
	}
	if args == nil {
		return line
	}
	return line + " ARGS='" + strings.Join(args, " ") + "'"
}

// versionIn returns the line of a program's answer that tells its version.
func versionIn(answer string) string {
	return strings.TrimPrefix(firstLine(strings.TrimSpace(answer)), "go version ")
}

// diskSpeed writes a file, waits until it is on the disk, and says how fast
// that was.
func (b *bench) diskSpeed() (string, error) {
	const size = 512 << 20
	name := filepath.Join(b.work, "disk")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer os.Remove(name)
	defer f.Close()
	block := make([]byte, 1<<20)
	began := time.Now()
	for range size / len(block) {
		if _, err := f.Write(block); err != nil {
			return "", fmt.Errorf("measure the disk: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return "", fmt.Errorf("measure the disk: %w", err)
	}
	return fmt.Sprintf("%s, %.0f MB/s for a file of 512 MiB with fsync", fileSystem(name), size/1e6/time.Since(began).Seconds()), nil
}

// fileSystem returns the type of the file system that a file is on.
func fileSystem(name string) string {
	best, kind := "", "unknown"
	for line := range strings.Lines(systemFile("/proc/mounts")) {
		fields := strings.Fields(line)
		if len(fields) > 2 && len(fields[1]) >= len(best) && (fields[1] == "/" || strings.HasPrefix(name, fields[1]+"/")) {
			best, kind = fields[1], fields[2]
		}
	}
	return kind
}

// field returns the value of the first line "name : value" or "name=value".
func field(file, name string) string {
	for line := range strings.Lines(systemFile(file)) {
		if rest, found := strings.CutPrefix(line, name); found {
			return strings.Join(strings.Fields(strings.TrimLeft(rest, " \t:=")), " ")
		}
	}
	return "unknown"
}

// systemFile returns what a file of the system says, or nothing.
func systemFile(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(text)
}

// memorySize returns how much memory the machine has.
func memorySize() string {
	kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return "an unknown size"
	}
	return fmt.Sprintf("%.1f GiB", float64(kib)/(1<<20))
}

// loadNow returns the average load of the last minute.
func loadNow() string {
	load, _, _ := strings.Cut(systemFile("/proc/loadavg"), " ")
	return load
}
