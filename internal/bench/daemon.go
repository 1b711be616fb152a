package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What the daemon may cost.
const (
	longestPass  = time.Second
	mostKept     = 64 // MiB
	longestKeep  = 100 * time.Millisecond
	longestTick  = 50 * time.Millisecond
	mostIdle     = 40 << 20
	mostIdleCore = 1.0 // percent of a core
	idleFor      = time.Minute
	ticksFor     = 20 * time.Second
)

// daemons measures what the daemon costs: a look at everything, a tick on a
// database that has not changed, and doing nothing.
func (b *bench) daemons(ctx context.Context, _ int) ([]result, error) {
	planned, err := b.planning(ctx)
	if err != nil {
		return nil, err
	}
	db := leaflet()
	if err := b.fill(ctx, db); err != nil {
		return nil, err
	}
	idle, err := b.idle(ctx, db)
	err = errors.Join(err, execute(context.WithoutCancel(ctx), b.source.URL("postgres"), "DROP DATABASE "+db.name))
	return append(planned, idle...), err
}

// planning runs the Go benchmarks of what is pure, or needs a store only.
func (b *bench) planning(ctx context.Context) ([]result, error) {
	pass, err := goBenchmark(ctx, "./internal/daemon", "Pass", "5x")
	if err != nil {
		return nil, err
	}
	keep, err := goBenchmark(ctx, "./schedule", "Keep100k$", "20x")
	if err != nil {
		return nil, err
	}
	first, unchanged := pass["BenchmarkPass/first"], pass["BenchmarkPass/unchanged"]
	long := keep["BenchmarkKeep100k"]
	if first == nil || unchanged == nil || long == nil {
		return nil, fmt.Errorf("the Go benchmarks are called otherwise: %v %v", pass, keep)
	}
	met := first["ms/pass"] <= float64(longestPass.Milliseconds()) && first["MiB-kept"] <= mostKept
	return []result{
		{work: "a pass of the loop", on: "200 environments, 10,000 restore points, directory store", facts: []fact{
			{"the first, which reads every manifest", fmt.Sprintf("%.0f ms, %.0f MiB kept, %.0f reads and %.0f listings", first["ms/pass"], first["MiB-kept"], first["gets"], first["lists"])},
			{"while nothing changes", fmt.Sprintf("%.1f ms, %.0f reads and %.0f listings", unchanged["ms/pass"], unchanged["gets"], unchanged["lists"])},
		}, verdict: verdict{target: fmt.Sprintf("1 s and %d MiB or less; a read of each environment while nothing changes", mostKept), got: fmt.Sprintf("%.0f ms, %.0f MiB; %.0f reads", first["ms/pass"], first["MiB-kept"], unchanged["gets"]), met: met && unchanged["gets"] <= 200 && unchanged["lists"] == 0}},
		{work: "schedule.Keep", on: "100,000 restore points", facts: []fact{{"one decision on all", fmt.Sprintf("%.1f ms", long["ns/op"]/1e6)}},
			verdict: atMost(time.Duration(long["ns/op"]), longestKeep)},
	}, nil
}

var benchmarkLine = regexp.MustCompile(`^(Benchmark\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)

// goBenchmark runs Go benchmarks of a package and returns their figures by unit.
func goBenchmark(ctx context.Context, pkg, name, times string) (map[string]map[string]float64, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "-", "-bench", name, "-benchtime", times, pkg).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test -bench %s %s: %w\n%s", name, pkg, err, lastLines(string(out), 15))
	}
	figures := map[string]map[string]float64{}
	for line := range strings.Lines(string(out)) {
		m := benchmarkLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		fields := strings.Fields(m[2])
		figures[m[1]] = map[string]float64{}
		for i := 0; i+1 < len(fields); i += 2 {
			if figures[m[1]][fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
				return nil, err
			}
		}
	}
	return figures, nil
}

// idle measures a daemon whose database nobody touches: with a ladder of
// seconds how long a tick takes, and with one of minutes what it needs.
func (b *bench) idle(ctx context.Context, db database) ([]result, error) {
	ticks, _, err := b.runDaemon(ctx, db, "[1s, 1h]", ticksFor)
	if err != nil {
		return nil, err
	}
	tick := time.Duration(ticks[`envdb_task_duration_seconds_sum{task="ladder/prod"}`] / ticks[`envdb_task_duration_seconds_count{task="ladder/prod"}`] * float64(time.Second))
	_, used, err := b.runDaemon(ctx, db, "[1m, 1h, 1d]", idleFor)
	if err != nil {
		return nil, err
	}
	core := 100 * used.cpu.Seconds() / idleFor.Seconds()
	return []result{
		{work: "a tick on a database that has not changed", on: "directory store", facts: []fact{
			{"mean of", fmt.Sprintf("%.0f ticks, after the backup", ticks[`envdb_task_duration_seconds_count{task="ladder/prod"}`])},
		}, verdict: atMost(tick, longestTick)},
		{work: "an idle daemon", on: "one environment, ladder from 1m on, for a minute", facts: []fact{
			{"resident", mebibytes(used.resident) + " MiB"}, {"CPU", fmt.Sprintf("%.2f %% of a core", core)},
		}, verdict: verdict{target: "40 MiB and 1 % of a core or less", got: fmt.Sprintf("%s MiB, %.2f %%", mebibytes(used.resident), core), met: used.resident <= mostIdle && core <= mostIdleCore}},
	}, nil
}

// usage is what a process used, once it had begun.
type usage struct {
	cpu      time.Duration
	resident int64
}

// runDaemon runs a daemon for some time after its first backup, and returns how
// much its metrics rose meanwhile, and what it used.
func (b *bench) runDaemon(ctx context.Context, db database, ladder string, last time.Duration) (_ map[string]float64, used usage, err error) {
	at, err := b.newSite(ctx, db, encrypted)
	if err != nil {
		return nil, used, err
	}
	defer func() { err = errors.Join(err, at.remove()) }()
	port, err := freePort(ctx)
	if err != nil {
		return nil, used, err
	}
	text := strings.Replace(at.configuration(), "    url: "+b.source.URL(db.name).Reveal()+"\n", "    url: "+b.source.URL(db.name).Reveal()+"\n    backup: {ladder: "+ladder+", max_duty: 100%}\n", 1)
	text += fmt.Sprintf("daemon: {listen: \"127.0.0.1:%d\"}\n", port)
	if err := os.WriteFile(at.config(), []byte(text), 0o600); err != nil {
		return nil, used, err
	}
	line := at.envdb("daemon")
	cmd := exec.CommandContext(ctx, line.program, "daemon")
	cmd.Env, cmd.Dir = append(environment(), line.env...), line.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	log, err := os.Create(filepath.Join(at.dir, "daemon.log"))
	if err != nil {
		return nil, used, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, used, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		err = errors.Join(err, cmd.Wait())
	}()
	url := fmt.Sprintf("http://127.0.0.1:%d/metrics", port)
	first, err := awaitBackup(ctx, url)
	if err != nil {
		return nil, used, fmt.Errorf("%w\n%s", err, log.Name())
	}
	before, _, err := processUse(cmd.Process.Pid)
	if err != nil {
		return nil, used, err
	}
	select {
	case <-ctx.Done():
		return nil, used, context.Cause(ctx)
	case <-time.After(last):
	}
	after, resident, err := processUse(cmd.Process.Pid)
	if err != nil {
		return nil, used, err
	}
	metrics, err := scrape(ctx, url)
	for name := range metrics {
		metrics[name] -= first[name]
	}
	return metrics, usage{after - before, resident}, err
}

// awaitBackup waits until the daemon has climbed once, and returns its metrics.
func awaitBackup(ctx context.Context, url string) (map[string]float64, error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if m, err := scrape(ctx, url); err == nil && m[`envdb_task_runs_total{outcome="ok",task="ladder/prod"}`] > 0 {
			return m, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil, errors.New("the daemon took no backup within a minute")
}

// scrape reads the metrics of a daemon.
func scrape(ctx context.Context, url string) (_ map[string]float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	values := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(answer.Body, 8<<20))
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), "} ")
		if !found {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name+"}"] = v
		}
	}
	return values, lines.Err()
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}

// processUse reads what a process used so far.
func processUse(pid int) (cpu time.Duration, resident int64, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	const utime, stime, rss = 11, 12, 21 // proc(5), counted from the state
	if len(fields) <= rss {
		return 0, 0, fmt.Errorf("/proc/%d/stat is %q", pid, stat)
	}
	var ticks [2]int64
	for i, at := range []int{utime, stime} {
		if ticks[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return 0, 0, err
		}
	}
	pages, err := strconv.ParseInt(fields[rss], 10, 64)
	const perSecond = 100 // USER_HZ
	return time.Duration(ticks[0]+ticks[1]) * time.Second / perSecond, pages * int64(os.Getpagesize()), err
}
