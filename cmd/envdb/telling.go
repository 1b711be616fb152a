package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/daemon"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/notify"
	"github.com/envdb/envdb/schedule"
)

// watchEvery is how often what was seen becomes what people are told.
const watchEvery = 30 * time.Second

// telling is whom the daemon tells, by the configuration in force. Each has a
// notifier of its own: their digests come at different times.
type telling struct {
	log     *slog.Logger
	metrics *daemon.Metrics
	watch   *daemon.Watch

	mu        sync.Mutex
	notifiers map[string]*notify.Notifier
	pending   map[string]int     // by how many an event is still to be told
	stop      context.CancelFunc // of those
	running   sync.WaitGroup
}

// use replaces who is told. What waits for those before is still delivered, for
// a little while.
func (t *telling) use(ctx context.Context, c *config.Config) {
	ctx, stop := context.WithCancel(ctx)
	fresh := map[string]*notify.Notifier{}
	for _, route := range notifyRoutes(c) {
		n := notify.New(notify.Config{Routes: []notify.Route{route}, Project: c.Project, Sender: c.Daemon.Name, Log: t.log, Done: t.done})
		fresh[route.Name] = n
		t.running.Go(func() { n.Run(ctx) })
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stop != nil {
		t.stop()
	}
	t.notifiers, t.stop = fresh, stop
}

// close delivers what waits, for a little while.
func (t *telling) close() {
	t.mu.Lock()
	if t.stop != nil {
		t.stop()
	}
	t.mu.Unlock()
	t.running.Wait()
}

func (t *telling) all() map[string]*notify.Notifier {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.notifiers
}

// tell tells everyone who wants it.
func (t *telling) tell(events ...notify.Event) {
	for _, e := range events {
		t.log.Info("people are told", "kind", string(e.Kind), "subject", e.Subject, "title", e.Title)
	}
	all := t.all()
	t.mu.Lock()
	if t.pending == nil {
		t.pending = map[string]int{}
	}
	for _, e := range events {
		t.pending[e.ID()] = len(all)
	}
	t.mu.Unlock()
	for _, n := range all {
		n.Notify(events...)
	}
	for _, e := range events {
		if len(all) == 0 {
			t.watch.Done(e)
		}
	}
}

// done takes in that one of them has been told an event, or was given up.
func (t *telling) done(e notify.Event) {
	t.mu.Lock()
	left, known := t.pending[e.ID()]
	if known {
		t.pending[e.ID()] = left - 1
	}
	last := known && left == 1
	if last {
		delete(t.pending, e.ID())
	}
	t.mu.Unlock()
	if last {
		t.watch.Done(e)
	}
}

func (t *telling) ping(p notify.Ping) {
	for _, n := range t.all() {
		n.Ping(p)
	}
}

// measure has the metrics show how the channels are doing.
func (t *telling) measure() {
	for name, n := range t.all() {
		for _, s := range n.Status() {
			t.metrics.SeeChannel(name, s.Delivered, s.GivenUp, s.Dropped)
		}
	}
}

// digests are the daily summaries, as tasks: each at its own time, by one of
// several daemons.
func (s *service) digests(now *session) []daemon.Task {
	var tasks []daemon.Task
	for _, n := range now.config.Notifications() {
		if n.Digest.IsZero() {
			continue
		}
		job := config.Job{Name: "digest/" + n.Name, Operation: "digest", Schedule: n.Digest}
		tasks = append(tasks, &daemon.Turns{Job: job.Name, Quick: true, Calendar: digest{service: s, manager: now.manager, ledger: now.ledger, config: now.config, to: n, job: job}})
	}
	return tasks
}

// digest is one of them.
type digest struct {
	service *service
	manager *manager.Manager
	ledger  *ledger.Ledger
	config  *config.Config
	to      config.Notification
	job     config.Job
}

// Look implements daemon.Calendar.
func (d digest) Look(ctx context.Context, now, tried time.Time) (manager.JobLook, error) {
	return d.manager.LookJob(ctx, d.job, now, tried)
}

// Run implements daemon.Calendar.
func (d digest) Run(ctx context.Context, turn schedule.Turn) error {
	return d.manager.RunJobAs(ctx, d.job, turn, func(ctx context.Context, last time.Time) error {
		n := d.service.telling.all()[d.to.Name]
		if n == nil {
			return nil // the configuration has changed
		}
		now := time.Now().UTC()
		since := last
		if since.IsZero() {
			since = now.Add(-24 * time.Hour)
		}
		lines, err := d.lines(ctx, since)
		if err != nil {
			return err
		}
		n.Notify(notify.Digest(now, since, lines))
		return nil
	})
}

// lines are what is said of each environment that the notification is for.
func (d digest) lines(ctx context.Context, since time.Time) ([]notify.Line, error) {
	counts, err := d.counts(ctx, since)
	if err != nil {
		return nil, err
	}
	var lines []notify.Line
	for _, env := range d.config.Environments() {
		if !d.to.Wants(config.EventDigest, env.Name) {
			continue
		}
		line := notify.Line{Environment: env.Name, OK: counts[env.Name].ok, Failed: counts[env.Name].failed, Failing: d.service.telling.watch.Failing(env.Name)}
		rungs, err := d.manager.LookLadder(ctx, env.Name, time.Now())
		if err != nil {
			return nil, err
		}
		line.Newest = rungs.NewestMoment()
		for _, b := range rungs.View.Backups {
			line.Bytes += b.StoredBytes
		}
		lines = append(lines, line)
	}
	return lines, nil
}

type runCount struct{ ok, failed int }

// counts counts the runs of each environment since a moment, those that were
// rolled up included.
func (d digest) counts(ctx context.Context, since time.Time) (map[string]runCount, error) {
	list, err := d.manager.Runs(ctx, manager.RunQuery{Since: since})
	if err != nil {
		return nil, err
	}
	counts := map[string]runCount{}
	for _, run := range list.Runs {
		c := counts[run.Environment]
		switch run.Outcome {
		case ledger.Succeeded:
			c.ok++
		case ledger.Failed, ledger.Interrupted:
			c.failed++
		}
		counts[run.Environment] = c
	}
	rollups, err := d.ledger.Rollups(ctx, "", since)
	if err != nil {
		return nil, err
	}
	from := since.UTC().Format("20060102-150405")
	for _, r := range rollups {
		c := counts[r.Environment]
		c.ok += len(slices.DeleteFunc(slices.Clone(r.Runs), func(run ledger.RolledRun) bool { return run.ID < from }))
		counts[r.Environment] = c
	}
	return counts, nil
}
