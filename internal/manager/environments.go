package manager

import (
	"context"
	"errors"
	"slices"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/postgres"
)

// Environments lists the environments of the configuration, in its order. One
// whose URL is not set here is listed nevertheless.
func (m *Manager) Environments() (*EnvironmentList, error) {
	list := &EnvironmentList{}
	for _, declared := range m.config.Environments() {
		line := EnvironmentLine{Name: declared.Name, Tier: declared.Tier, Protected: declared.Protected(), MirrorFrom: declared.Mirror.From}
		env, err := m.config.Environment(declared.Name)
		switch {
		case errors.Is(err, config.ErrUnset):
			line.URL = "not set on this machine"
		case err != nil:
			return nil, err
		default:
			line.URL = env.URL.String()
		}
		list.Environments = append(list.Environments, line)
	}
	return list, nil
}

// URL returns a connection string, secrets included: of the environment as
// applications reach it, or of the named version on its server.
func (m *Manager) URL(ctx context.Context, name, version string) (*EnvironmentURL, error) {
	env, err := m.config.Environment(name)
	if err != nil {
		return nil, err
	}
	if version == "" {
		return &EnvironmentURL{Environment: name, URL: env.URL.Reveal()}, nil
	}
	versions, err := m.versionsOf(ctx, env)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(versions, func(v generation.Version) bool { return v.Name == version || v.ID == version })
	if i < 0 {
		return nil, envdb.Fail(envdb.ErrNotFound, "%s has no version %q", name, version).WithNext("envdb versions %s", name)
	}
	url, err := postgres.WithDatabase(env.Direct(), versions[i].Name)
	if err != nil {
		return nil, err
	}
	return &EnvironmentURL{Environment: name, URL: url.Reveal()}, nil
}

// Versions lists the versions of an environment, live first.
func (m *Manager) Versions(ctx context.Context, name string) (*VersionList, error) {
	env, err := m.config.Environment(name)
	if err != nil {
		return nil, err
	}
	versions, err := m.versionsOf(ctx, env)
	if err != nil {
		return nil, err
	}
	return &VersionList{Environment: name, Versions: versionLines(versions)}, nil
}

// versionsOf asks the environment's server.
func (m *Manager) versionsOf(ctx context.Context, env config.Environment) ([]generation.Version, error) {
	g, err := m.look(ctx, env)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	return g.List(ctx)
}

// look opens the versions of an environment for reading.
func (m *Manager) look(ctx context.Context, env config.Environment) (*generation.Generations, error) {
	return generation.Open(ctx, env.Environment, generation.Options{Run: "look", Log: m.log, Now: m.now})
}

func versionLines(versions []generation.Version) []VersionLine {
	lines := make([]VersionLine, 0, len(versions))
	for _, v := range versions {
		line := VersionLine{Name: v.Name, State: v.State, Size: v.Size, Unsealed: v.Unsealed}
		if v.Marker != nil {
			line.Source, line.Backup, line.Point, line.Neutrality = v.Marker.Source, v.Marker.Backup, v.Marker.Point, v.Marker.Neutrality
			line.Digest, line.Labels, line.Created = v.Marker.Digest, v.Marker.Labels, v.Marker.Created
			line.Masked = v.Marker.Masked
		}
		lines = append(lines, line)
	}
	return lines
}
