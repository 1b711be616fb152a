package manager

import (
	"context"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/restore"
)

// resolve finds the backup that answers a point. The warnings name newer ones
// that would have answered and cannot be restored: nobody should take an older
// moment for the newest without a word.
func (m *Manager) resolve(ctx context.Context, repository *backup.Repository, env string, at envdb.Point) (answer backup.Backup, warnings []string, err error) {
	found, err := repository.List(ctx, env)
	if err != nil {
		return backup.Backup{}, nil, err
	}
	answer, err = restore.Resolve(found, at)
	if err != nil && len(found) == 0 {
		others, unlisted := repository.OtherProjects(ctx)
		if text := elsewhere(repository.Project(), others); text != "" && unlisted == nil {
			return answer, nil, envdb.Fail(envdb.ErrNotFound, "%s: %w: %s", env, err, text).WithNext("%s", otherwise("envdb backup "+env))
		}
	}
	if err != nil {
		return backup.Backup{}, nil, unanswered(env, err)
	}
	moment, dated := at.Moment()
	for _, b := range notDeleted(found) {
		passedOver := !b.Usable() && b.ID() > answer.ID() && (!dated || !b.ID().Time().After(moment))
		if passedOver {
			warnings = append(warnings, fmt.Sprintf("backup %s of %s is newer and cannot be restored (%s): %s is used; envdb verify %s says more",
				b.ID(), env, backupLine(env, b).State(), answer.ID(), env))
		}
	}
	return answer, warnings, nil
}

// unanswered names the environment in the error of a point that no backup of it
// answers, and how to list those that there are.
func unanswered(env string, err error) error {
	_, next := envdb.Advice(err)
	return envdb.Fail(nil, "%s: %w", env, err).WithNext("envdb backups %s lists what there is; %s", env, next)
}

// warn tells a person what a plan warns of.
func (m *Manager) warn(p *Plan) {
	for _, w := range p.Warnings {
		m.log.Warn(w)
	}
}
