package manager

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/postgres"
)

// Environments lists the environments of the configuration, in its order, and
// those that were created. One whose URL is not set here is listed nevertheless.
// It asks the store and no server.
func (m *Manager) Environments(ctx context.Context) (*EnvironmentList, error) {
	all, records, unknown := m.known(ctx)
	list := &EnvironmentList{At: m.now().UTC()}
	for _, env := range all {
		list.Environments = append(list.Environments, m.environmentLine(env, records[env.Name]))
	}
	for _, pattern := range m.config.Patterns() {
		list.Patterns = append(list.Patterns, pattern.Name)
	}
	if unknown != nil {
		list.Unknown = unknown.Error()
	}
	return list, context.Cause(ctx)
}

// environmentLine says of an environment what the configuration and its record,
// which may be nil, say.
func (m *Manager) environmentLine(env config.Environment, record *ledger.Environment) EnvironmentLine {
	line := EnvironmentLine{Name: env.Name, Tier: env.Tier, Protected: env.Protected(), MirrorFrom: env.Mirror.From, State: "declared"}
	resolved, err := m.config.Environment(env.Name)
	switch {
	case errors.Is(err, config.ErrUnset):
		line.URL = "not set on this machine"
	case err != nil:
		line.URL = err.Error()
	default:
		line.URL = resolved.URL.String()
	}
	if record == nil {
		return line
	}
	if i := record.Instance; i != nil {
		line.Pattern, line.Labels, line.Created, line.By, line.From = i.Pattern, i.Labels, &i.Created, i.By, i.From
		line.Protected = line.Protected || i.ProtectedUntil.After(m.now())
		line.State = stateOf(i)
		line.Expires, line.ProtectedUntil = moment(i.Expires), moment(i.ProtectedUntil)
		line.describeUse(i.Use, env.Idle)
	}
	if record.Hibernation != nil {
		line.State, line.Hibernating = "hibernating", &record.Hibernation.Since
	}
	return line
}

// describeUse says for how long nobody came, as far as anyone looked.
func (line *EnvironmentLine) describeUse(use ledger.Use, idle time.Duration) {
	if line.Idle = idle; idle == 0 || use.Last.IsZero() {
		return
	}
	line.Observed, line.LastUsed, line.IdleDue = moment(use.At), moment(use.Last), moment(use.Last.Add(idle))
}

// stateOf says how far an instance is.
func stateOf(i *ledger.Instance) string {
	switch {
	case !i.Destroying.IsZero():
		return "being destroyed"
	case i.Ready.IsZero():
		return "being created"
	}
	return "created"
}

// moment returns nil for a zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// URL returns a connection string, secrets included: of the environment as
// applications reach it, or of the named version on its server.
func (m *Manager) URL(ctx context.Context, name, version string) (*EnvironmentURL, error) {
	env, err := m.environment(ctx, name)
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
	v, err := versionNamed(name, versions, version)
	if err != nil {
		return nil, err
	}
	if err := reachable(env, v); err != nil {
		return nil, err
	}
	url, err := postgres.WithDatabase(env.Direct(), v.Name)
	if err != nil {
		return nil, err
	}
	return &EnvironmentURL{Environment: name, URL: url.Reveal()}, nil
}

// versionNamed returns the version with a database's name or an id, or the only
// one in a state: previous, dark.
func versionNamed(environment string, versions []generation.Version, called string) (generation.Version, error) {
	var found []generation.Version
	for _, v := range versions {
		switch {
		case v.Name == called, v.ID != "" && v.ID == called && !v.Closed():
			return v, nil
		case v.ID == called && v.ID != "", string(v.State) == called:
			found = append(found, v)
		}
	}
	switch len(found) {
	case 0:
		return generation.Version{}, envdb.Fail(envdb.ErrNotFound, "%s has no version %q", environment, called).WithNext("envdb versions %s", environment)
	case 1:
		return found[0], nil
	}
	var names []string
	for _, v := range found {
		names = append(names, v.Name)
	}
	return generation.Version{}, envdb.Fail(envdb.ErrMisuse, "%s has %d versions %q", environment, len(found), called).
		WithNext("name one of them: %s", strings.Join(names, ", "))
}

// reachable fails for a version that nobody can connect to.
func reachable(env config.Environment, v generation.Version) error {
	switch {
	case v.State == envdb.Baseline || v.State == envdb.Spare:
		return envdb.Fail(envdb.ErrRefused, "%s is a %s: it is sealed, and nobody can connect to it", v.Name, v.State).
			WithState("nothing was changed").WithNext("envdb reset %s makes a copy of it live", env.Name)
	case v.Closed():
		return envdb.Fail(envdb.ErrRefused, "nobody can connect to %s: %s", v.Name, whyClosed(v)).
			WithState("nothing was changed").WithNext("%s", openAgain(v))
	}
	return nil
}

// whyClosed says why a server lets nobody into a database.
func whyClosed(v generation.Version) string {
	if v.Broken {
		return "a DROP DATABASE of it was interrupted"
	}
	return "it does not allow connections"
}

// openAgain is the statement that ends it.
func openAgain(v generation.Version) string {
	if v.Broken {
		return "DROP DATABASE " + postgres.Quote(v.Name)
	}
	return "ALTER DATABASE " + postgres.Quote(v.Name) + " ALLOW_CONNECTIONS true"
}

// Versions lists the versions of an environment, live first.
func (m *Manager) Versions(ctx context.Context, name string) (*VersionList, error) {
	env, err := m.environment(ctx, name)
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
		line := VersionLine{Name: v.Name, State: v.State, Unsealed: v.Unsealed}
		if v.Size > 0 { // no database is empty on disk
			line.Size = &v.Size
		}
		if v.Marker != nil {
			line.Source, line.Backup, line.Point, line.Neutrality = v.Marker.Source, v.Marker.Backup, v.Marker.Point, v.Marker.Neutrality
			line.Digest, line.Labels, line.Created = v.Marker.Digest, v.Marker.Labels, v.Marker.Created
			line.Masked = v.Marker.Masked
		}
		lines = append(lines, line)
	}
	return lines
}
