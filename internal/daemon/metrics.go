package daemon

import (
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/schedule"
)

// Metrics counts what the daemon does and says what it sees. It is an Observer.
// docs/metrics.md lists every name; a test holds the two together.
//
// Ages are computed when somebody asks: an age that was stored would stand still
// with the daemon that stored it.
type Metrics struct {
	registry *prometheus.Registry
	now      func() time.Time

	runs      *prometheus.CounterVec
	durations *prometheus.HistogramVec
	attempted *prometheus.GaugeVec
	succeeded *prometheus.GaugeVec
	failing   *prometheus.GaugeVec
	looks     *prometheus.CounterVec
	inFlight  prometheus.Gauge
	skew      *prometheus.GaugeVec
	written   *prometheus.CounterVec
	deleted   *prometheus.CounterVec
	held      *prometheus.GaugeVec
	blocked   *prometheus.GaugeVec
	requests  *prometheus.CounterVec
	waits     *prometheus.HistogramVec
	reload    prometheus.Gauge
	reloaded  prometheus.Gauge
	told      *prometheus.GaugeVec

	mu       sync.Mutex
	ladders  map[string]*manager.Rungs
	due      map[string]time.Time // since when what waits is due
	turns    map[string]time.Time // next
	data     map[string]time.Time // the moment that each live database holds
	rehearse []manager.DrillState
	leases   map[string]int // by the life of their holders
	daemons  map[string]int // by life
	loopInfo func() Status
	scope    *Scope // nil for all
	seen     *Scope // what has series
}

// The outcomes of what the loop does.
const (
	outcomeOK          = "ok"
	outcomeFailed      = "failed"
	outcomeInterrupted = "interrupted"
	outcomeBusy        = "busy"
)

// NewMetrics returns metrics of their own registry.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), now: time.Now,
		ladders: map[string]*manager.Rungs{}, due: map[string]time.Time{}, turns: map[string]time.Time{}, data: map[string]time.Time{},
		seen: NewScope(nil, nil, nil, nil),
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "envdb", Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "envdb", Name: name, Help: help}, labels)
		m.registry.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "envdb", Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(h)
		return h
	}
	long := []float64{.05, .25, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600}
	short := []float64{.001, .005, .025, .1, .5, 2, 10, 60}

	m.runs = counter("task_runs_total", "What this daemon did, by task and outcome.", "task", "outcome")
	m.durations = histogram("task_duration_seconds", "How long it took.", long, "task")
	m.attempted = gauge("task_last_attempt_timestamp_seconds", "When this daemon last did it, whatever came of it.", "task")
	m.succeeded = gauge("task_last_success_timestamp_seconds", "When this daemon last did it and it succeeded.", "task")
	m.failing = gauge("task_failures", "How often it failed since it last succeeded.", "task")
	m.looks = counter("task_looks_total", "How often the loop looked whether something is due.", "outcome")
	m.inFlight = gauge("tasks_running", "What this daemon does now.").WithLabelValues()
	m.skew = gauge("clock_skew_seconds", "How far the server's clock is ahead of this machine's.", "env")
	m.written = counter("backup_bytes_total", "Bytes of the backups that this daemon took: logical is what was read, stored what the store got.", "env", "kind")
	m.deleted = counter("retention_deleted_total", "Backups that this daemon deleted.", "env")
	m.held = gauge("retention_held_back", "Backups that no rung keeps and that only a person may delete.", "env")
	m.blocked = gauge("retention_blocked", "1 while nothing expires because something is wrong.", "env")
	m.requests = counter("store_operations_total", "Calls of the store by this daemon.", "operation", "outcome")
	m.waits = histogram("store_operation_seconds", "How long calls of the store took until their answer began.", short, "operation")
	m.reload = gauge("config_last_reload_success", "1 if the configuration in force is the newest one.").WithLabelValues()
	m.reloaded = gauge("config_loaded_timestamp_seconds", "When the configuration in force was loaded.").WithLabelValues()
	m.told = gauge("notifications", "Notifications since the configuration was loaded, by outcome: ok, failed, or dropped because the channel was too slow.", "channel", "outcome")
	gauge("build_info", "1, with the version of this daemon.", "version").WithLabelValues(version).Set(1)
	m.registry.MustRegister(state{m}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry returns where the metrics are registered.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Looked implements Observer.
func (m *Metrics) Looked(task string, look Look, err error) {
	m.looks.WithLabelValues(outcomeOf(err)).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hasTask(task) {
		return
	}
	delete(m.due, task)
	if err == nil && look.due() {
		m.due[task] = look.Since
	}
}

// Began implements Observer.
func (m *Metrics) Began(task string, _ Look) {
	m.inFlight.Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hasTask(task) {
		return
	}
	m.attempted.WithLabelValues(task).SetToCurrentTime()
}

// Ended implements Observer.
func (m *Metrics) Ended(task string, _ Look, took time.Duration, err error) {
	m.inFlight.Dec()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hasTask(task) {
		return // it was begun by a configuration that is no longer in force
	}
	outcome := outcomeOf(err)
	m.runs.WithLabelValues(task, outcome).Inc()
	switch outcome {
	case outcomeOK:
		m.succeeded.WithLabelValues(task).SetToCurrentTime()
		m.failing.WithLabelValues(task).Set(0)
		m.durations.WithLabelValues(task).Observe(took.Seconds())
		delete(m.due, task)
	case outcomeFailed, outcomeInterrupted:
		m.failing.WithLabelValues(task).Inc()
	}
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return outcomeOK
	case errors.Is(err, envdb.ErrBusy):
		return outcomeBusy
	case errors.Is(err, envdb.ErrInterrupted):
		return outcomeInterrupted
	}
	return outcomeFailed
}

// SeeLadder takes in what a look at a ladder saw.
func (m *Metrics) SeeLadder(r *manager.Rungs) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hasEnvironment(r.Environment) {
		m.ladders[r.Environment] = r
	}
}

// SeeClimb takes in what was done about a ladder.
func (m *Metrics) SeeClimb(env string, c *manager.Climb) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hasEnvironment(env) {
		return
	}
	if c.Asked {
		m.skew.WithLabelValues(env).Set(time.Duration(c.Skew).Seconds())
	}
	if b := c.Backup; b != nil {
		m.written.WithLabelValues(env, "logical").Add(float64(b.Totals.LogicalBytes))
		m.written.WithLabelValues(env, "stored").Add(float64(b.Totals.StoredBytes))
	}
}

// SeeTurn takes in when a job's next turn is.
func (m *Metrics) SeeTurn(job string, look manager.JobLook) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hasTask(job) {
		m.turns[job] = look.Next
	}
}

// SeeExpiry takes in what an expiry did; blocked says that nothing may expire.
func (m *Metrics) SeeExpiry(env string, deleted, heldBack int, blocked bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hasEnvironment(env) {
		return
	}
	m.deleted.WithLabelValues(env).Add(float64(deleted))
	m.held.WithLabelValues(env).Set(float64(heldBack))
	m.blocked.WithLabelValues(env).Set(one(blocked))
}

// SeeData takes in which moment the live database of an environment holds.
func (m *Metrics) SeeData(env string, point time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hasEnvironment(env) {
		m.data[env] = point
	}
}

// SeeLeases takes in how many leases are held and how many daemons there are, by
// their life.
func (m *Metrics) SeeLeases(leases, daemons map[string]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leases, m.daemons = leases, daemons
}

// SeeDrills takes in how the drills of the configuration stand.
func (m *Metrics) SeeDrills(states []manager.DrillState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rehearse = m.scope.drillsOf(states)
}

// SeeReload takes in whether a configuration that changed could be used.
func (m *Metrics) SeeReload(err error) {
	m.reload.Set(one(err == nil))
	if err == nil {
		m.reloaded.SetToCurrentTime()
	}
}

// SeeChannel takes in how many notifications a channel delivered, gave up, and
// dropped because it was too slow, since the configuration was loaded.
func (m *Metrics) SeeChannel(channel string, delivered, givenUp, dropped int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.scope != nil && !m.scope.channels[channel] {
		return
	}
	m.seen.channels[channel] = true
	m.told.WithLabelValues(channel, outcomeOK).Set(float64(delivered))
	m.told.WithLabelValues(channel, outcomeFailed).Set(float64(givenUp))
	m.told.WithLabelValues(channel, "dropped").Set(float64(dropped))
}

// SeeStore takes in a call of the store. That something is not there, or that
// somebody was faster, is an answer.
func (m *Metrics) SeeStore(operation string, took time.Duration, failed bool) {
	outcome := outcomeOK
	if failed {
		outcome = outcomeFailed
	}
	m.requests.WithLabelValues(operation, outcome).Inc()
	m.waits.WithLabelValues(operation).Observe(took.Seconds())
}

// Watch has the metrics show what the loop does.
func (m *Metrics) Watch(status func() Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loopInfo = status
}

// hasTask and hasEnvironment report whether something is spoken of by the
// configuration in force, and note that it has series. m is locked.
func (m *Metrics) hasTask(task string) bool {
	if m.scope != nil && !m.scope.tasks[task] {
		return false
	}
	m.seen.tasks[task] = true
	return true
}

func (m *Metrics) hasEnvironment(env string) bool {
	if m.scope != nil && !m.scope.environments[env] {
		return false
	}
	m.seen.environments[env] = true
	return true
}

// Keep drops the series of everything that is out of scope, and takes no more of
// it. What is no longer configured is neither late nor failing.
func (m *Metrics) Keep(s *Scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scope = s
	forget := func(seen, keep map[string]bool, label string, series ...partial) {
		for name := range seen {
			if keep[name] {
				continue
			}
			delete(seen, name)
			for _, vec := range series {
				vec.DeletePartialMatch(prometheus.Labels{label: name})
			}
		}
	}
	forget(m.seen.tasks, s.tasks, "task", m.runs, m.durations, m.attempted, m.succeeded, m.failing)
	forget(m.seen.environments, s.environments, "env", m.skew, m.written, m.deleted, m.held, m.blocked)
	forget(m.seen.channels, s.channels, "channel", m.told)
	maps.DeleteFunc(m.data, func(env string, _ time.Time) bool { return !s.environments[env] })
	// One that has no ladder any more is not looked at, and would stand still.
	maps.DeleteFunc(m.ladders, func(env string, _ *manager.Rungs) bool { return !s.tasks[ladderPrefix+env] })
	m.rehearse = s.drillsOf(m.rehearse)
	maps.DeleteFunc(m.due, func(task string, _ time.Time) bool { return !s.tasks[task] })
	maps.DeleteFunc(m.turns, func(task string, _ time.Time) bool { return !s.tasks[task] })
}

// partial is a family of series.
type partial interface{ DeletePartialMatch(prometheus.Labels) int }

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// state collects what is computed when somebody asks.
type state struct{ m *Metrics }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("envdb_"+name, help, labels, nil)
}

var (
	descLag       = desc("schedule_lag_seconds", "For how long something is due that has not been done.", "task")
	descNext      = desc("schedule_next_timestamp_seconds", "When the next turn of a job of the calendar begins.", "task")
	descPoint     = desc("backup_newest_point_timestamp_seconds", "The moment that the newest good backup holds, or up to which nothing has changed since.", "env")
	descFinished  = desc("backup_last_success_timestamp_seconds", "When the newest good backup was finished, by whomever.", "env")
	descLogical   = desc("backup_newest_logical_bytes", "What the newest good backup holds.", "env")
	descStored    = desc("backup_stored_bytes", "What all backups of the environment wrote into the store.", "env")
	descPoints    = desc("restore_points", "Restore points by state.", "env", "state")
	descRung      = desc("rung_restore_points", "Restore points that stand for a slot of the rung.", "env", "rung")
	descAge       = desc("rung_age_seconds", "How old the state is that one gets now who asks for that of one interval ago. NaN if there is none.", "env", "rung")
	descSuspended = desc("rung_suspended", "1 while the rung is suspended, because backups are too slow for it.", "env", "rung")
	descTook      = desc("backup_median_seconds", "How long backups take: the median of the last five.", "env")
	descRPO       = desc("effective_rpo_seconds", "How much is lost at most while all goes well, with the rungs that are not suspended.", "env")
	descExposure  = desc("exposure_seconds", "How much would be lost now: the age of the newest moment that can be restored.", "env")
	descData      = desc("data_age_seconds", "How old the data of the live database is, where it is a copy.", "env")
	descDrillRun  = desc("drill_last_run_timestamp_seconds", "When the drill last ran.", "drill")
	descDrillPass = desc("drill_last_pass_timestamp_seconds", "When the drill last passed.", "drill")
	descDrillFail = desc("drill_failing", "1 while the last run of the drill failed.", "drill")
	descDrillOld  = desc("drill_stale", "1 while the drill has not passed for longer than it may.", "drill")
	descDrillMiss = desc("drill_objectives_missed", "How many objectives the last run of the drill missed.", "drill")
	descDrillRTO  = desc("drill_rto_seconds", "How long the last restore of the drill took, checks included.", "drill")
	descLeases    = desc("leases", "Leases that are held, by the life of who holds them.", "life")
	descDaemons   = desc("daemons", "Daemons that share the store, by life.", "life")
	descPass      = desc("loop_last_pass_timestamp_seconds", "When the loop last looked at everything.")
	descLasted    = desc("loop_pass_seconds", "How long that took.")
	descTasks     = desc("tasks", "What the loop looks after.")
	descWedged    = desc("tasks_wedged", "What did not end although it was told to.")
)

// Describe implements prometheus.Collector.
func (s state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descLag, descNext, descPoint, descFinished, descLogical, descStored, descPoints, descRung, descAge, descSuspended, descTook, descRPO,
		descExposure, descData, descDrillRun, descDrillPass, descDrillFail, descDrillOld, descDrillMiss, descDrillRTO, descLeases, descDaemons, descPass, descLasted, descTasks, descWedged,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s state) Collect(ch chan<- prometheus.Metric) {
	m := s.m
	m.mu.Lock()
	loopInfo := m.loopInfo
	m.mu.Unlock()
	var loop *Status
	if loopInfo != nil { // which takes the loop's lock, under which it calls Began
		status := loopInfo()
		loop = &status
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	value := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for task, since := range m.due {
		value(descLag, max(0, now.Sub(since).Seconds()), task)
	}
	for job, next := range m.turns {
		if !next.IsZero() {
			value(descNext, float64(next.Unix()), job)
		}
	}
	for env, point := range m.data {
		value(descData, now.Sub(point).Seconds(), env)
	}
	for env, r := range m.ladders {
		collectLadder(value, env, r, now)
	}
	for _, d := range m.rehearse {
		collectDrill(value, d)
	}
	for life, n := range m.leases {
		value(descLeases, float64(n), life)
	}
	for life, n := range m.daemons {
		value(descDaemons, float64(n), life)
	}
	if loop == nil {
		return
	}
	value(descPass, float64(loop.Passed.UnixMilli())/1000)
	value(descLasted, loop.Lasted.Seconds())
	value(descTasks, float64(loop.Tasks))
	wedged := 0
	for _, r := range loop.Running {
		if r.Wedged {
			wedged++
		}
	}
	value(descWedged, float64(wedged))
}

// collectDrill says how a drill stands. One that never ran is stale only once it
// had the time to run, and has no times.
func collectDrill(value func(*prometheus.Desc, float64, ...string), d manager.DrillState) {
	value(descDrillOld, one(d.Stale), d.Name)
	if !d.LastPass.IsZero() {
		value(descDrillPass, float64(d.LastPass.Unix()), d.Name)
	}
	if d.LastRun.IsZero() {
		return
	}
	value(descDrillRun, float64(d.LastRun.Unix()), d.Name)
	value(descDrillFail, one(d.Outcome != drill.Pass), d.Name)
	value(descDrillMiss, float64(len(d.Missed)), d.Name)
	value(descDrillRTO, d.RTO.Seconds(), d.Name)
}

// collectLadder says how the restore points of an environment stand.
func collectLadder(value func(*prometheus.Desc, float64, ...string), env string, r *manager.Rungs, now time.Time) {
	duty := r.Due.Duty
	value(descRPO, duty.RPO().Seconds(), env)
	if duty.Of > 0 {
		value(descTook, duty.Took.Seconds(), env)
	}
	states := map[string]int{"good": 0, "bad": 0, "unreadable": 0, "running": 0}
	for i := range r.Points {
		states[r.Points[i].State.String()]++
	}
	for state, n := range states {
		value(descPoints, float64(n), env, state)
	}
	perRung := map[time.Duration]int{}
	for _, kept := range r.Rules.Keep(now, r.Points) {
		for _, reason := range kept.Reasons {
			if reason.Why == schedule.Represents {
				perRung[reason.Rung]++
			}
		}
	}
	answers := r.Rules.Policy.Answers(now, r.Points)
	for i, rung := range r.Rules.Policy.Ladder() {
		name := envdb.FormatDuration(rung)
		value(descRung, float64(perRung[rung]), env, name)
		age := math.NaN()
		if answers[i].Point != "" {
			age = answers[i].Age.Seconds()
		}
		value(descAge, age, env, name)
		value(descSuspended, one(slices.Contains(duty.Suspended, rung)), env, name)
	}
	var stored int64
	var newest *backup.Summary
	for i := range r.View.Backups {
		b := &r.View.Backups[i]
		stored += b.StoredBytes
		if b.Usable() {
			newest = b
		}
	}
	value(descStored, float64(stored), env)
	if newest == nil {
		return
	}
	exact := newest.Point
	if newest.GoodUntil.After(exact) {
		exact = newest.GoodUntil
	}
	value(descPoint, float64(exact.Unix()), env)
	value(descExposure, max(0, now.Sub(exact).Seconds()), env)
	value(descFinished, float64(newest.Finished.Unix()), env)
	value(descLogical, float64(newest.LogicalBytes), env)
}
