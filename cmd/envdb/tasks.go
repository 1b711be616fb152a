package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/daemon"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/schedule"
)

// How often the daemon's own chores are done.
const (
	reapEvery      = 30 * time.Second
	agesEvery      = 5 * time.Minute
	instancesEvery = time.Hour
	runsEvery      = 6 * time.Hour
	drillsEvery    = 5 * time.Minute
)

// tasks are what the configuration in force asks for.
func (s *service) tasks() []daemon.Task {
	now := s.now()
	m, c := now.manager, now.config
	var tasks []daemon.Task
	for _, env := range c.Environments() {
		if len(env.Backup.Ladder) > 0 {
			tasks = append(tasks, s.ladder(m, env))
		}
		tasks = append(tasks, s.tidying(m, env.Name, c.Daemon.Housekeeping))
		if c.Expire.Schedule.IsZero() {
			tasks = append(tasks, &daemon.Chore{Job: "expire/" + env.Name, Every: c.Daemon.Housekeeping, Quick: true, Do: func(ctx context.Context) error {
				return s.expire(ctx, m, env.Name)
			}})
		}
	}
	for _, job := range c.Jobs() {
		tasks = append(tasks, s.turns(now, job))
	}
	tasks = append(tasks,
		&daemon.Chore{Job: "watch", Every: watchEvery, Quick: true, Do: func(ctx context.Context) error {
			s.telling.measure()
			return s.watch.Pass(ctx)
		}},
		&daemon.Chore{Job: "reap", Every: reapEvery, Quick: true, Do: func(ctx context.Context) error { return s.reap(ctx, now) }},
		&daemon.Chore{Job: "runs", Every: runsEvery, Quick: true, Do: func(ctx context.Context) error { return s.tidyRuns(ctx, now) }},
		&daemon.Chore{Job: "ages", Every: agesEvery, Quick: true, Do: func(ctx context.Context) error { return s.ages(ctx, m, c) }},
	)
	tasks = append(tasks, s.digests(now)...)
	if len(c.Drills()) > 0 {
		tasks = append(tasks, &daemon.Chore{Job: "drills", Every: drillsEvery, Quick: true, Do: func(ctx context.Context) error { return s.drills(ctx, m) }})
	}
	if len(c.Patterns()) > 0 {
		tasks = append(tasks, &daemon.Chore{Job: "instances", Every: instancesEvery, Do: func(ctx context.Context) error {
			_, err := m.DestroyExpired(ctx)
			return err
		}})
	}
	scope := daemon.NewScope(tasks, c.Names(), drillNames(c), channelNames(c))
	s.metrics.Keep(scope)
	s.watch.Keep(scope)
	return tasks
}

func drillNames(c *config.Config) (names []string) {
	for _, d := range c.Drills() {
		names = append(names, d.Name)
	}
	return names
}

func channelNames(c *config.Config) (names []string) {
	for _, n := range c.Notifications() {
		names = append(names, n.Name)
	}
	return names
}

func (s *service) ladder(m *manager.Manager, env config.Environment) daemon.Task {
	l := &daemon.Ladder{
		Environment: env.Name, Climber: m, Asleep: env.Sleeps, Log: s.log,
		Seen: func(r *manager.Rungs) { s.metrics.SeeLadder(r); s.watch.SeeLadder(r) }, Done: func(c *manager.Climb) { s.metrics.SeeClimb(env.Name, c) },
	}
	if len(env.Quiet) > 0 {
		l.Quiet = env.Quiet
	}
	return l
}

func (s *service) tidying(m *manager.Manager, env string, every time.Duration) daemon.Task {
	return &daemon.Chore{Job: "tidy/" + env, Every: every, Quick: true, Do: func(ctx context.Context) error {
		_, err := m.TidyStore(ctx, env)
		return err
	}}
}

// calendar is a job of the calendar on a manager.
type calendar struct {
	manager *manager.Manager
	job     config.Job
}

func (c calendar) Look(ctx context.Context, now, tried time.Time) (manager.JobLook, error) {
	return c.manager.LookJob(ctx, c.job, now, tried)
}

func (c calendar) Run(ctx context.Context, turn schedule.Turn) error {
	return c.manager.RunJob(ctx, c.job, turn)
}

// turns is a job of the calendar as a task. What connects to a server waits for
// the quiet hours of the environments that it works on.
func (s *service) turns(now *session, job config.Job) daemon.Task {
	t := &daemon.Turns{Job: job.Name, Calendar: calendar{now.manager, job}, Seen: func(l manager.JobLook) { s.metrics.SeeTurn(job.Name, l) }}
	if job.Environment != "" {
		t.Writes = []string{job.Environment}
	}
	if job.Operation.Reads() {
		t.Reads, t.Writes = t.Writes, nil
	}
	if job.Source != "" {
		t.Reads = append(t.Reads, job.Source)
	}
	if !job.Connects() {
		return t
	}
	for _, env := range now.config.Environments() {
		if len(env.Quiet) > 0 && (env.Name == job.Environment || env.Name == job.Source) {
			t.Quiet = append(t.Quiet, env.Quiet)
		}
	}
	return t
}

// expire lets backups of an environment go, and deletes those whose grace is
// over.
func (s *service) expire(ctx context.Context, m *manager.Manager, env string) error {
	result, err := m.Expire(ctx, manager.ExpireRequest{Environment: env})
	if result != nil {
		for _, line := range result.Environments {
			s.metrics.SeeExpiry(line.Environment, len(line.Gone), len(line.HeldBack), line.Blocked != "")
		}
	}
	return err
}

// reap marks the runs of daemons that died, and counts leases and daemons.
func (s *service) reap(ctx context.Context, now *session) error {
	reaped, err := now.ledger.Reap(ctx)
	if reaped == nil {
		return err
	}
	for _, run := range reaped.Gone {
		s.log.Warn("a run is gone and was marked interrupted", "run", run.Run, "operation", run.Operation, "host", run.Host)
	}
	leases, daemons, counted := now.manager.Presence(ctx, reaped.Leases)
	if counted == nil {
		s.metrics.SeeLeases(leases, daemons)
	}
	return errors.Join(err, counted)
}

// tidyRuns rolls the history up, and forgets what is too old.
func (s *service) tidyRuns(ctx context.Context, now *session) error {
	tidied, err := now.ledger.Tidy(ctx, now.config.Daemon.KeepRuns)
	s.log.Debug("history was tidied up", "rolled_up", tidied.RolledUp, "deleted", tidied.Deleted)
	return err
}

// drills sees how the drills stand, and drops what those that died left on their
// servers.
func (s *service) drills(ctx context.Context, m *manager.Manager) error {
	states, err := m.DrillStates(ctx)
	if err != nil {
		return err
	}
	s.metrics.SeeDrills(states)
	s.watch.SeeDrills(states)
	return m.ClearDrills(ctx)
}

// agesAtOnce is how many servers are asked at once.
const agesAtOnce = 8

// ages asks the servers of copies which moment they hold. One that does not
// answer is the business of what is due there.
func (s *service) ages(ctx context.Context, m *manager.Manager, c *config.Config) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(agesAtOnce)
	for _, env := range c.Environments() {
		if _, quiet := env.Quiet.At(time.Now()); quiet || env.Sleeps || env.Tier == envdb.Production {
			continue
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			point, copied, err := m.LivePoint(ctx, env.Name)
			switch {
			case err != nil:
				s.log.Debug("it is not known how old the data is", "env", env.Name, "reason", err)
			case copied:
				s.metrics.SeeData(env.Name, point)
			}
			return nil
		})
	}
	return group.Wait()
}
