package manager

import (
	"context"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// VerifyRequest asks whether backups are whole. A nil Point means all of them.
type VerifyRequest struct {
	Environment string
	Point       *envdb.Point
	ReadData    bool
}

// VerifyResult is what a verification found.
type VerifyResult struct {
	backup.VerifyReport
	Run     string        `json:"run"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// Verify checks backups of an environment. When one is not whole it returns
// the result and an error of kind ErrVerification.
func (m *Manager) Verify(ctx context.Context, req VerifyRequest) (*VerifyResult, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	var only envdb.BackupID
	if req.Point != nil {
		if id, named := req.Point.Backup(); named {
			only = id // it may be a damaged one
		} else {
			found, _, err := m.resolve(ctx, repository, req.Environment, *req.Point)
			if err != nil {
				return nil, err
			}
			only = found.ID()
		}
	}
	var result *VerifyResult
	started := m.now()
	err = m.run(ctx, job{operation: envdb.OpVerify, environment: req.Environment, backup: only, offline: true}, func(ctx context.Context, x *execution) error {
		x.step("verify")
		report, err := repository.Verify(ctx, req.Environment, only, backup.VerifyOptions{ReadData: req.ReadData, Report: x.report})
		if err != nil {
			return err
		}
		if len(report.Backups) == 0 {
			return m.nothingToVerify(req.Environment)
		}
		result = &VerifyResult{VerifyReport: report, Run: x.id(), Elapsed: m.now().Sub(started)}
		return report.Err()
	})
	return result, err
}

// nothingToVerify is an error: who asks expects backups, and a mistyped name in
// a crontab must not look like a clean bill.
func (m *Manager) nothingToVerify(env string) error {
	if _, err := m.config.Environment(env); isNotFound(err) {
		return err
	}
	return envdb.Fail(envdb.ErrNotFound, "there are no backups of %s to verify", env).WithNext("envdb backup %s", env)
}
