package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

// statusReaders is how many servers are asked at once.
const statusReaders = 8

// Status looks at every environment. A server or a store that does not answer
// is a line of the result, not an error: somebody asks because something is
// wrong.
func (m *Manager) Status(ctx context.Context) (*Status, error) {
	s := &Status{At: m.now().UTC()}
	repository, storeErr := m.open(ctx)
	known, records, unknown := m.known(ctx)
	s.Environments = make([]EnvironmentStatus, len(known))
	if unknown != nil {
		s.Unknown = unknown.Error()
	}
	if storeErr == nil {
		s.Drills, _ = m.DrillStates(ctx) // which drills there are is the doctor's to complain of
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(statusReaders)
	for i, env := range known {
		group.Go(func() error {
			line := &s.Environments[i]
			line.Name, line.Tier = env.Name, env.Tier
			m.statusOfServer(ctx, line)
			m.statusOfRecord(line, records[env.Name])
			if storeErr != nil {
				line.Notes = append(line.Notes, "store: "+storeErr.Error())
				return nil
			}
			m.statusOfBackups(ctx, repository, line)
			m.statusOfRuns(ctx, line)
			return context.Cause(ctx)
		})
	}
	return s, group.Wait()
}

func (m *Manager) statusOfServer(ctx context.Context, line *EnvironmentStatus) {
	env, err := m.config.Environment(line.Name)
	switch {
	case errors.Is(err, config.ErrUnset):
		line.State = "url not set here"
		return
	case err != nil:
		line.State = err.Error()
		return
	}
	versions, err := m.versionsOf(ctx, env)
	if err != nil {
		line.State = "unreachable"
		line.Notes = append(line.Notes, err.Error())
		return
	}
	line.State = "no database yet"
	line.Versions = versionLines(versions)
	if note := baselineNote(env, versions); note != "" {
		line.Notes = append(line.Notes, note)
	}
	dark := 0
	for _, v := range line.Versions {
		switch v.State {
		case envdb.Live:
			line.State = "up"
			line.DataSource, line.DataPoint, line.Neutrality = v.Source, v.Point, v.Neutrality
			if v.Digest != "" {
				line.Digest, line.Labels, line.Seeded = v.Digest, v.Labels, v.Created
			}
			line.Masked = v.Masked
		case envdb.Dark:
			dark++
		}
	}
	if live := liveOf(versions); live != nil && live.Closed() {
		line.State = "closed"
		line.Notes = append(line.Notes, fmt.Sprintf("nobody can connect to %s: %s (%s)", live.Name, whyClosed(*live), openAgain(*live)))
	}
	if dark > 0 {
		line.Notes = append(line.Notes, fmt.Sprintf("%d dark (envdb versions %s)", dark, line.Name))
	}
}

// baselineNote says whether the environment can be reset in a moment. Where
// none of its versions had a baseline there is nothing to say.
func baselineNote(env config.Environment, versions []generation.Version) string {
	baseline, err := usable(env, versions)
	live := liveOf(versions)
	had := live != nil && live.Marker != nil && live.Marker.Baseline != "" ||
		slices.ContainsFunc(versions, func(v generation.Version) bool { return v.State == envdb.Baseline })
	switch spares := len(generation.SparesOf(baseline, versions)); {
	case err != nil && had:
		return err.Error()
	case err != nil:
		return ""
	case spares > 0:
		return fmt.Sprintf("baseline intact, %s", counted(spares, "spare"))
	}
	return "baseline intact"
}

// statusOfRecord says what is known of an environment that was created, or that
// hibernates; there may be nothing.
func (m *Manager) statusOfRecord(line *EnvironmentStatus, record *ledger.Environment) {
	if record == nil {
		return
	}
	if i := record.Instance; i != nil {
		line.Expires = moment(i.Expires)
		if i.ProtectedUntil.After(m.now()) {
			line.ProtectedUntil = moment(i.ProtectedUntil)
		}
		if state := stateOf(i); state != "created" {
			line.State = state
		}
	}
	if h := record.Hibernation; h != nil {
		line.State, line.HibernatingSince, line.HibernatedBytes = "hibernating", &h.Since, h.Bytes
	}
}

func (m *Manager) statusOfBackups(ctx context.Context, repository *backup.Repository, line *EnvironmentStatus) {
	found, err := repository.List(ctx, line.Name)
	if err != nil {
		line.Notes = append(line.Notes, "backups: "+err.Error())
		return
	}
	found = notDeleted(found)
	line.Backups = len(found)
	flawed := 0
	for _, b := range found {
		if !b.Usable() {
			flawed++
			continue
		}
		newest := backupLine(line.Name, b)
		line.Newest = &newest
	}
	if flawed > 0 {
		line.Notes = append(line.Notes, fmt.Sprintf("%d of %d backups cannot be restored (envdb verify %s)", flawed, line.Backups, line.Name))
	}
}

func (m *Manager) statusOfRuns(ctx context.Context, line *EnvironmentStatus) {
	runs, err := m.ledger.Runs(ctx, ledger.Filter{Environment: line.Name, Limit: 1})
	if err != nil {
		line.Notes = append(line.Notes, "runs: "+err.Error())
		return
	}
	if len(runs) == 0 {
		return
	}
	last := runs[0]
	line.LastRun = last.ID
	switch last.Outcome {
	case ledger.Running:
		line.Notes = append(line.Notes, fmt.Sprintf("%s runs (envdb runs show %s)", last.Operation, last.ID))
	case ledger.Failed, ledger.Interrupted:
		line.Notes = append(line.Notes, fmt.Sprintf("the last %s %s (envdb runs show %s)", last.Operation, last.Outcome, last.ID))
	}
}
