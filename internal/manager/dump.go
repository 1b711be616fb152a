package manager

import (
	"context"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed"
)

// DumpRequest asks to write rows of an environment as fixtures.
type DumpRequest struct {
	Environment string
	// Version is a version of it; "" is the live one.
	Version string
	// Tables are names as fixtures know them; none means all.
	Tables []string
	// Dir is where the files go.
	Dir string
	// Overwrite lets files be replaced.
	Overwrite bool
}

// DumpResult is what was written.
type DumpResult struct {
	Run         string   `json:"run"`
	Environment string   `json:"environment"`
	Files       []string `json:"files"`
	// Warning says that the rows are production's.
	Warning string `json:"warning,omitempty"`
}

// DumpFixtures writes rows of an environment as fixtures, all as of one moment.
func (m *Manager) DumpFixtures(ctx context.Context, req DumpRequest) (*DumpResult, error) {
	env, err := m.environment(ctx, req.Environment)
	if err != nil {
		return nil, err
	}
	url := env.Direct()
	if req.Version != "" {
		named, err := m.URL(ctx, req.Environment, req.Version)
		if err != nil {
			return nil, err
		}
		url = envdb.ConnString(named.URL)
	}
	result := &DumpResult{Environment: env.Name}
	err = m.run(ctx, job{operation: envdb.OpDump, environment: env.Name}, func(ctx context.Context, x *execution) error {
		result.Run = x.id()
		conn, err := postgres.Connect(ctx, url, postgres.Options{App: x.app(), Pin: true})
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		x.step("dump")
		result.Files, err = seed.Dump(ctx, conn, seed.DumpSpec{Tables: req.Tables, Dir: req.Dir, Overwrite: req.Overwrite})
		x.facts("files", len(result.Files), "tables", req.Tables)
		return err
	})
	if err != nil {
		return nil, err
	}
	if env.Protected() {
		result.Warning = "the files hold rows of " + env.Name + " as they are: think before they go into a repository"
	}
	return result, nil
}
