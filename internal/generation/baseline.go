package generation

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Sealing is the state of a baseline whose version is not live yet. It comes
// into force with the promote of that version, in the same transaction; one
// that is found later was left by a run that died.
const Sealing envdb.VersionState = "sealing"

// sealed reports whether versions in the state are closed, and must have been
// ever since they were made.
func sealed(state envdb.VersionState) bool {
	return state == Sealing || state == envdb.Baseline || state == envdb.Spare
}

// unsealed says why nobody can tell any more what the version holds, or
// returns "".
//
// A database that was created closed can only have been connected to after
// somebody changed its row in pg_database, whoever they were; and a changed row
// has another xmin. Freezing keeps it, and a comment lies elsewhere, so the
// marker can hold it.
func (v Version) unsealed() string {
	switch {
	case v.Marker == nil || !sealed(v.State):
		return ""
	case !v.closed:
		return "somebody allowed connections to it"
	case v.row != v.Marker.Sealed:
		return "somebody altered the database after it was sealed, and may have connected to it"
	}
	return ""
}

// BaselineName returns the name that Seal gives to the copy of the version
// with the id, for the run's record.
func (g *Generations) BaselineName(id string) string { return Name(g.base, envdb.Baseline, id) }

// SpareName returns the name of the spare with the id, for the run's record.
func (g *Generations) SpareName(id string) string { return Name(g.base, envdb.Spare, id) }

// Seal makes a closed copy of a version that this run has built, while nobody
// is in it: the version is shut, who is in it is ended, and it stays shut until
// it is promoted. [PromoteOptions.Baseline] makes the copy the environment's
// baseline. op is the operation that w must allow.
func (g *Generations) Seal(ctx context.Context, w envdb.Writable, op envdb.Operation, from Version) (Version, error) {
	if err := g.allowed(w, op); err != nil {
		return Version{}, err
	}
	if from.State != Building || from.Marker == nil || from.Marker.Run != g.run {
		return Version{}, envdb.Fail(envdb.ErrRefused, "%s is not being built by this run: it is %s", from.Name, from.State).WithState("nothing was changed")
	}
	// They are no part of a copy, so a reset would lose them.
	subscriptions, err := g.subscriptions(ctx, from)
	if err != nil {
		return Version{}, err
	}
	if len(subscriptions) > 0 {
		return Version{}, envdb.Fail(envdb.ErrPreflight, "%s has subscriptions (%s), which CREATE DATABASE does not copy", from.Name, strings.Join(subscriptions, ", ")).
			WithState("no baseline was made").WithNext("a reset restores the backup instead")
	}
	if err := g.empty(ctx, from); err != nil {
		return Version{}, err
	}
	return g.duplicate(ctx, from, g.BaselineName(from.ID), func(m *Marker, row uint32) {
		m.State, m.Sealed, m.Baseline = Sealing, row, ""
	})
}

// Clone makes a version that is a copy of a sealed baseline, or of a spare. It
// is complete, but nobody can connect to it before it is promoted.
func (g *Generations) Clone(ctx context.Context, w envdb.Writable, op envdb.Operation, from Version, id string) (*Dark, error) {
	if err := g.copyable(w, op, from, id); err != nil {
		return nil, err
	}
	url, err := g.URL(g.DarkName(id))
	if err != nil {
		return nil, err
	}
	v, err := g.duplicate(ctx, from, g.DarkName(id), func(m *Marker, _ uint32) {
		m.ID, m.State, m.Sealed, m.Baseline = id, Building, 0, from.ID
	})
	if err != nil {
		return nil, err
	}
	return &Dark{Version: v, URL: url}, nil
}

// Spare makes a sealed copy of a baseline that waits to be promoted.
func (g *Generations) Spare(ctx context.Context, w envdb.Writable, op envdb.Operation, from Version, id string) (Version, error) {
	if err := g.copyable(w, op, from, id); err != nil {
		return Version{}, err
	}
	return g.duplicate(ctx, from, g.SpareName(id), func(m *Marker, row uint32) {
		m.ID, m.State, m.Sealed, m.Baseline = id, envdb.Spare, row, from.ID
	})
}

// copyable fails unless from is sealed.
func (g *Generations) copyable(w envdb.Writable, op envdb.Operation, from Version, id string) error {
	if err := g.allowed(w, op); err != nil {
		return err
	}
	switch {
	case id == "":
		return envdb.Fail(envdb.ErrMisuse, "a version needs an id")
	case from.State != envdb.Baseline:
		return envdb.Fail(envdb.ErrRefused, "%s is no baseline: it is %s", from.Name, from.State).WithState("nothing was changed")
	case from.Unsealed != "":
		return g.broken(from)
	}
	return nil
}

func (g *Generations) broken(v Version) error {
	return envdb.Fail(envdb.ErrRefused, "%s %s is not what was sealed: %s", v.State, v.Name, v.Unsealed).
		WithState("nothing was changed").WithNext("envdb reset %s, which makes a new one", g.env.Name)
}

// InForce returns the baseline to which a reset returns the environment: the
// newest, if its seal is unbroken and what is live has one. It fails with
// ErrNotFound, and says why there is none.
func InForce(env envdb.Environment, versions []Version) (Version, error) {
	none := func(format string, args ...any) (Version, error) {
		return Version{}, envdb.Fail(envdb.ErrNotFound, format, args...).
			WithState("nothing was changed").WithNext("envdb reset %s builds it anew", env.Name)
	}
	var live Marker
	if i := slices.IndexFunc(versions, func(v Version) bool { return v.State == envdb.Live && v.Marker != nil }); i >= 0 {
		live = *versions[i].Marker
	}
	i := slices.IndexFunc(versions, func(v Version) bool { return v.State == envdb.Baseline && v.Marker != nil })
	switch {
	case i < 0 && live.Baseline != "":
		return none("the baseline of what is live is not there any more: somebody dropped it")
	case i < 0:
		return none("there is no baseline")
	}
	switch b := versions[i]; {
	case b.Broken:
		return none("dropping baseline %s was begun", b.Name)
	case b.Unsealed != "":
		return none("baseline %s is not used: %s", b.Name, b.Unsealed)
	case live.hasNone():
		return none("baseline %s is of another version than what is live, which was built dark and has none", b.Name)
	default:
		return b, nil
	}
}

// hasNone reports whether what is live was filled without leaving a baseline:
// built dark, or larger than one is kept of. One of another version would take
// a reset to other rows than it was filled with. A database that envdb did not
// make is no fill.
func (m Marker) hasNone() bool {
	return m.Environment != "" && !m.Foreign && m.Baseline == ""
}

// heir returns the id of the baseline that a version has when it becomes live:
// its own, or else the one in force if that stays so. It does when the version
// is the environment's own past, which fills nothing, and when a rollback
// brings back what was live before the baseline was made.
func heir(env envdb.Environment, next Version, versions []Version) string {
	m := *next.Marker
	if m.Baseline != "" || m.Foreign {
		return m.Baseline
	}
	inForce, err := InForce(env, versions)
	switch {
	case err != nil:
		return ""
	case m.Source == m.Environment, next.State == envdb.Previous && m.Promoted.Before(inForce.Created):
		return inForce.ID
	}
	return ""
}

// Baseline returns the baseline to which a reset returns the environment; see
// [InForce].
func (g *Generations) Baseline(ctx context.Context) (Version, error) {
	versions, err := g.versions(ctx, func(v Version) bool { return v.State == envdb.Baseline })
	if err != nil {
		return Version{}, err
	}
	return InForce(g.env, versions)
}

// SparesOf returns the spares that hold what the baseline holds, oldest first.
func SparesOf(baseline Version, versions []Version) []Version {
	spares := slices.DeleteFunc(slices.Clone(versions), func(v Version) bool {
		return v.State != envdb.Spare || v.Marker == nil || v.Broken || v.Unsealed != "" || v.Marker.Baseline != baseline.ID
	})
	slices.Reverse(spares)
	return spares
}

// Obsolete returns the baselines and spares that no reset uses, if so many
// spares are to be kept.
func (g *Generations) Obsolete(ctx context.Context, spares int) ([]Version, error) {
	versions, err := g.unmeasured(ctx)
	if err != nil {
		return nil, err
	}
	var used []string
	if baseline, err := InForce(g.env, versions); err == nil {
		used = append(used, baseline.Name)
		for i, spare := range SparesOf(baseline, versions) {
			if i < spares {
				used = append(used, spare.Name)
			}
		}
	}
	return slices.DeleteFunc(versions, func(v Version) bool {
		copies := v.State == envdb.Baseline || v.State == envdb.Spare
		return !copies || !v.ours() || slices.Contains(used, v.Name)
	}), nil
}

// emptyPatience is how long the sessions in a version may take to die once
// they were ended.
const emptyPatience = 10 * time.Second

// empty shuts a version that nobody serves from, ends who is in it, and waits
// until they are gone: CREATE DATABASE refuses a template with sessions, and
// whoever is not locked out first may come back.
func (g *Generations) empty(ctx context.Context, v Version) error {
	err := g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		now, err := g.read(ctx, conn, v.Name)
		if err != nil {
			return err
		}
		if now.OID != v.OID || now.State != v.State {
			return g.meddled()
		}
		err = exec(ctx, conn, "ALTER DATABASE "+postgres.Quote(v.Name)+" ALLOW_CONNECTIONS false")
		return g.explain(err, "shut database "+v.Name)
	})
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(emptyPatience); ; {
		left, err := g.endAll(ctx, v)
		if err != nil || left == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return envdb.Fail(envdb.ErrBusy, "%d sessions stay in database %s", left, v.Name).WithState("nothing was changed").WithNext("see pg_stat_activity")
		}
		select {
		case <-ctx.Done():
			return interrupted(ctx)
		case <-time.After(enderPoll):
		}
	}
}

// endAll ends the sessions in a database, and returns how many there were.
// Autovacuum is ended by CREATE DATABASE itself.
func (g *Generations) endAll(ctx context.Context, v Version) (left int, err error) {
	err = g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		if err := g.mayEnd(ctx, conn, v.OID); err != nil {
			return err
		}
		err := conn.QueryRow(ctx, `
			SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datid = $1 AND usesysid IS NOT NULL AND pid <> pg_backend_pid()`, v.OID).Scan(&left)
		return g.explain(err, "end the sessions in "+v.Name)
	})
	return left, err
}
