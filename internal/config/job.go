package config

import (
	"time"

	"github.com/envdb/envdb"
)

// Job is what the daemon does by the calendar.
type Job struct {
	// Name is the operation and its environment, such as mirror/prod-copy, or
	// expire, which is of no environment. It is the job's alone.
	Name      string
	Operation envdb.Operation
	// Environment is what is worked on, and Source what a mirror is made from.
	Environment, Source string
	Schedule            Schedule
	// ReadData is of a verification: the data is read too.
	ReadData bool
	// Drill is the name of the drill that is run.
	Drill string
	// Deadline is how long a run may take, from its beginning: that of the
	// schedule, or else that of the daemon. One that began late may have less,
	// as its turn says.
	Deadline time.Duration
}

// Connects reports whether a run of the job connects to the server of its
// environment, and so waits for the end of its quiet hours. A verification and
// the expiry work on the store alone.
func (j Job) Connects() bool { return j.Operation != envdb.OpVerify && j.Operation != envdb.OpExpire }

// Reset says when an environment returns to its baseline.
type Reset struct{ Schedule Schedule }

// Verify says when the backups of an environment are verified, and whether
// their data is read.
type Verify struct {
	Schedule Schedule
	ReadData bool
}

// Expire says when backups expire of which nothing else reminds the daemon.
type Expire struct{ Schedule Schedule }

// scheduled is a schedule of an environment, where it stands.
type scheduled struct {
	operation envdb.Operation
	at        value
	when      Schedule
}

// Jobs returns what has a schedule: by environment, each in the order of the
// file, and last what is of no environment.
func (c *Config) Jobs() []Job {
	var jobs []Job
	for _, d := range c.environments {
		for _, s := range d.schedules {
			j := c.job(string(s.operation)+"/"+d.Name, s.operation, s.when)
			j.Environment = d.Name
			switch s.operation {
			case envdb.OpMirror:
				j.Source = d.Mirror.From
			case envdb.OpVerify:
				j.ReadData = d.Verify.ReadData
			}
			jobs = append(jobs, j)
		}
	}
	jobs = append(jobs, c.drillJobs()...)
	if !c.Expire.Schedule.IsZero() {
		jobs = append(jobs, c.job(string(envdb.OpExpire), envdb.OpExpire, c.Expire.Schedule))
	}
	return jobs
}

func (c *Config) job(name string, op envdb.Operation, when Schedule) Job {
	j := Job{Name: name, Operation: op, Schedule: when, Deadline: when.Terms.Deadline}
	if j.Deadline == 0 {
		j.Deadline = c.Daemon.Timeout
	}
	return j
}

// schedule returns what reads the schedule of an operation.
func (d *declaration) schedule(op envdb.Operation, to *Schedule) func(value) {
	return func(v value) {
		*to = v.schedule()
		d.schedules = append(d.schedules, scheduled{op, v, *to})
	}
}

func (d *declaration) readReset(v value) {
	seen := v.object(fields{"schedule": d.schedule(envdb.OpReset, &d.Reset.Schedule)})
	v.require(seen, "schedule")
}

func (d *declaration) readVerify(v value) {
	seen := v.object(fields{
		"schedule":  d.schedule(envdb.OpVerify, &d.Verify.Schedule),
		"read_data": func(v value) { d.Verify.ReadData = v.boolean() },
	})
	v.require(seen, "schedule")
}

func (v value) expire() Expire {
	var e Expire
	seen := v.object(fields{"schedule": func(v value) { e.Schedule = v.schedule() }})
	v.require(seen, "schedule")
	return e
}

// checkSchedules records schedules of what cannot be done, or not by a daemon.
func (d *declaration) checkSchedules() {
	if isPattern(d.Name) && len(d.Backup.Ladder) > 0 {
		d.doc.fault(d.entry.at, "give an environment of its own the ladder", "environments.%s is a pattern, whose environments come and go: no daemon climbs a ladder of theirs", d.Name)
	}
	for _, s := range d.schedules {
		switch {
		case isPattern(d.Name):
			s.at.hint("give an environment of its own the schedule", "is of a pattern, whose environments come and go")
		case s.operation == envdb.OpReset && d.saysProtected():
			s.at.fault("%s is protected (tier %s): it is never reset", d.Name, d.Tier)
		case s.operation == envdb.OpReset && d.Mirror.From == "" && !d.Seed.Declared():
			s.at.hint("write mirror: or seed:", "%s has nothing to return to: neither mirror nor seed", d.Name)
		case s.operation == envdb.OpMigrate && d.saysProtected():
			s.at.hint("run envdb migrate "+d.Name+" yourself", "%s is protected (tier %s): a person confirms each of its migrations", d.Name, d.Tier)
		}
	}
	if !d.Mirror.Schedule.IsZero() && !d.Seed.Schedule.IsZero() {
		d.doc.warn(d.entry.at, "environments.%s has a schedule for its mirror and one for its seed: each replaces what the other made", d.Name)
	}
}
