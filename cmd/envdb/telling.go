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

	// swap is held for reading while messages are handed to the notifiers: what is
	// handed to one before it is stopped, it delivers or leaves to the next.
	swap      sync.RWMutex
	notifiers map[string]*notify.Notifier
	ended     map[string]chan struct{} // closed when they have
	stop      context.CancelFunc       // of those
	closed    bool
	running   sync.WaitGroup

	mu      sync.Mutex
	pending map[string]int // by how many an event is still to be told
}

// use replaces who is told. What waits for those before is still delivered, for
// a little while, and then by those that have their names.
func (t *telling) use(ctx context.Context, c *config.Config) {
	ctx, stop := context.WithCancel(ctx)
	t.swap.Lock()
	defer t.swap.Unlock()
	if t.stop != nil {
		t.stop()
	}
	before, over := t.notifiers, t.ended
	t.notifiers, t.ended, t.stop = map[string]*notify.Notifier{}, map[string]chan struct{}{}, stop
	for _, route := range notifyRoutes(c) {
		name := route.Name
		n, ended := notify.New(notify.Config{
			Routes: []notify.Route{route}, Project: c.Project, Sender: c.Daemon.Name, Log: t.log,
			Done: func(e notify.Event) { t.done(e, name) },
		}), make(chan struct{})
		was, wasOver := before[name], over[name]
		delete(before, name)
		t.notifiers[name], t.ended[name] = n, ended
		t.running.Go(func() {
			defer close(ended)
			if was != nil { // what it leaves comes first: the alarm before its end
				<-wasOver
				n.Inherit(was)
			}
			n.Run(ctx)
		})
	}
	for name, was := range before {
		t.running.Go(func() {
			<-over[name]
			notify.New(notify.Config{Log: t.log}).Inherit(was) // nobody is to be told any more
		})
	}
}

// close delivers what waits, for a little while. What is not delivered then, or
// comes later, another daemon tells, or this one after a restart.
func (t *telling) close() {
	t.swap.Lock()
	t.closed = true
	if t.stop != nil {
		t.stop()
	}
	t.swap.Unlock()
	t.running.Wait()
}

// tell tells everyone who wants it.
func (t *telling) tell(events ...notify.Event) {
	for _, e := range events {
		t.log.Info("people are told", "kind", string(e.Kind), "subject", e.Subject, "title", e.Title)
	}
	t.swap.RLock()
	defer t.swap.RUnlock()
	if t.closed {
		return
	}
	for _, e := range events {
		t.tellOne(e)
	}
}

// tellOne tells an event to those who do not have it yet.
func (t *telling) tellOne(e notify.Event) {
	var wanting []*notify.Notifier
	for name, n := range t.notifiers {
		if !slices.Contains(e.Had, name) {
			wanting = append(wanting, n)
		}
	}
	if len(wanting) == 0 {
		t.watch.Done(e)
		return
	}
	t.mu.Lock()
	if t.pending == nil {
		t.pending = map[string]int{}
	}
	t.pending[e.ID()] = len(wanting)
	t.mu.Unlock()
	for _, n := range wanting {
		n.Notify(e)
	}
}

// done takes in that one of them has been told an event, or was given up.
func (t *telling) done(e notify.Event, name string) {
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
	switch {
	case last:
		t.watch.Done(e)
	case known:
		t.watch.Got(e, name)
	}
}

func (t *telling) ping(p notify.Ping) {
	t.swap.RLock()
	defer t.swap.RUnlock()
	for _, n := range t.notifiers {
		n.Ping(p)
	}
}

// digest tells a digest to whom it is for, unless the configuration has changed
// meanwhile.
func (t *telling) digest(name string, e notify.Event) {
	t.swap.RLock()
	defer t.swap.RUnlock()
	if n := t.notifiers[name]; n != nil {
		n.Notify(e)
	}
}

// measure has the metrics show how the channels are doing.
func (t *telling) measure() {
	t.swap.RLock()
	defer t.swap.RUnlock()
	for name, n := range t.notifiers {
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
		now := time.Now().UTC()
		since := last
		if since.IsZero() {
			since = now.Add(-24 * time.Hour)
		}
		lines, err := d.lines(ctx, since)
		if err != nil {
			return err
		}
		d.service.telling.digest(d.to.Name, notify.Digest(now, since, lines))
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
