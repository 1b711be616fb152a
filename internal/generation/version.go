package generation

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
)

// Version is one database of an environment.
type Version struct {
	Name  string             `json:"name"`
	State envdb.VersionState `json:"state"`
	// ID names the version through all its states; a foreign database that
	// was never touched has none.
	ID  string `json:"id,omitempty"`
	OID uint32 `json:"oid"`
	// Marker is nil if the database has no valid one; Unmarked then says why.
	Marker   *Marker `json:"marker,omitempty"`
	Unmarked string  `json:"unmarked,omitempty"`
	Comment  string  `json:"comment,omitempty"` // the user's
	// Size is in bytes; it is 0 if nobody asked, or if envdb's role may not ask.
	Size    int64     `json:"size"`
	Created time.Time `json:"created,omitzero"`
	// Broken says that a DROP DATABASE was interrupted: PostgreSQL lets
	// nobody connect, and it can only be dropped.
	Broken bool `json:"broken,omitempty"`
	// Unsealed says why nobody knows any more what a baseline or a spare
	// holds; it is empty for one that is as it was made.
	Unsealed string `json:"unsealed,omitempty"`
	// Copied says how the version was just copied from another.
	Copied *Copying `json:"copied,omitempty"`

	// claim is a marker that is valid, but another environment's.
	claim *Marker
	// closed says that nobody may connect; row is the xmin of the database's
	// row in pg_database.
	closed bool
	row    uint32
	// sizeable says that envdb's role may ask for the size.
	sizeable bool
}

// ours reports whether envdb may drop the version.
func (v Version) ours() bool { return v.Marker != nil && !v.Marker.Foreign }

// listSQL reads every database that may be a version. pg_database_size fails
// for a database that is dropped meanwhile or may not be connected to, so it
// is asked only where it is allowed, and apart. Of one that is dropped meanwhile
// has_database_privilege says NULL.
const listSQL = `
	SELECT d.oid, d.datname, coalesce(shobj_description(d.oid, 'pg_database'), ''), d.datconnlimit = -2, NOT d.datallowconn, d.xmin::text::bigint,
	       pg_has_role('pg_read_all_stats', 'USAGE') OR coalesce(has_database_privilege(d.oid, 'CONNECT'), false)
	FROM pg_database d WHERE d.datname NOT IN ('template0', 'template1')`

// Closed reports whether the server lets nobody connect to the version.
func (v Version) Closed() bool { return v.closed || v.Broken }

// List returns the versions of the environment: live first, then the dark
// ones, then the previous ones with the newest first, then what was moved
// aside, then the baseline and the spares. It also returns databases that are
// named as versions are but carry no valid marker.
func (g *Generations) List(ctx context.Context) ([]Version, error) {
	return g.versions(ctx, func(Version) bool { return true })
}

// unmeasured lists without the sizes: PostgreSQL looks at every file of a
// database for one, and nobody shall wait for that while a version is swapped.
func (g *Generations) unmeasured(ctx context.Context) ([]Version, error) {
	return g.versions(ctx, func(Version) bool { return false })
}

// versions lists, and measures those that are wanted.
func (g *Generations) versions(ctx context.Context, measured func(Version) bool) ([]Version, error) {
	var versions []Version
	err := g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) (err error) {
		if versions, err = g.list(ctx, conn); err != nil {
			return err
		}
		for i, v := range versions {
			if v.sizeable && !v.Broken && measured(v) {
				versions[i].Size = databaseSize(ctx, conn, v.OID)
			}
		}
		return nil
	})
	return versions, err
}

// list lists without the sizes.
func (g *Generations) list(ctx context.Context, conn *pgx.Conn) ([]Version, error) {
	rows, err := conn.Query(ctx, listSQL)
	if err != nil {
		return nil, g.explain(err, "list the databases")
	}
	versions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v Version, err error) {
		var comment string
		err = row.Scan(&v.OID, &v.Name, &comment, &v.Broken, &v.closed, &v.row, &v.sizeable)
		return g.describe(v, comment), err
	})
	if err != nil {
		return nil, g.explain(err, "list the databases")
	}
	versions = slices.DeleteFunc(versions, func(v Version) bool { return v.State == "" })
	slices.SortFunc(versions, inOrder)
	return versions, nil
}

// databaseSize returns 0 for a database that has gone meanwhile.
func databaseSize(ctx context.Context, conn *pgx.Conn, oid uint32) (size int64) {
	if conn.QueryRow(ctx, "SELECT pg_database_size($1::oid)", oid).Scan(&size) != nil {
		return 0
	}
	return size
}

// describe fills in what the name and the comment say. A database that is no
// version of the environment gets no state.
func (g *Generations) describe(v Version, comment string) Version {
	user, marker := SplitComment(comment)
	v.Comment = user
	if err := marker.check(g.env.Name, g.base, g.system, v.OID); err != nil {
		v.Unmarked = err.Error()
		if marker != nil && marker.SystemIdentifier == g.system && marker.OID == v.OID {
			v.claim = marker
		}
		v.State = g.stateByName(v.Name)
		return v
	}
	v.Marker, v.ID, v.State, v.Created = marker, marker.ID, marker.State, marker.Created
	if v.Name == g.base {
		v.State = envdb.Live
	} else if v.State == envdb.Live {
		v.State = envdb.Previous // somebody renamed it by hand
	}
	v.Unsealed = v.unsealed()
	return v
}

// stateByName returns the state that a name claims, or "".
func (g *Generations) stateByName(name string) envdb.VersionState {
	if name == g.base {
		return envdb.Live
	}
	for _, state := range []envdb.VersionState{envdb.Dark, envdb.Previous, envdb.Aside, envdb.Baseline, envdb.Spare} {
		head, id, ok := strings.Cut(name, "__"+string(state)+"_")
		if ok && head != "" && strings.HasPrefix(name, prefix(g.base, state, id)) {
			return state
		}
	}
	return ""
}

// inOrder sorts versions as List returns them.
func inOrder(a, b Version) int {
	order := []envdb.VersionState{envdb.Live, envdb.Dark, Building, envdb.Previous, envdb.Aside, envdb.Baseline, envdb.Spare, Sealing}
	return cmp.Or(
		cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State)),
		b.since().Compare(a.since()),
		cmp.Compare(a.Name, b.Name),
	)
}

// since returns when the version came into its state.
func (v Version) since() time.Time {
	if v.Marker == nil {
		return time.Time{}
	}
	if v.State == envdb.Previous || v.State == envdb.Aside {
		return v.Marker.Retired
	}
	return v.Marker.Created
}

// Live returns the live version, or ErrNotFound if no database has its name.
func (g *Generations) Live(ctx context.Context) (Version, error) { return g.Find(ctx, g.base) }

// Find returns the version with the given database name or id.
func (g *Generations) Find(ctx context.Context, nameOrID string) (Version, error) {
	versions, err := g.versions(ctx, func(v Version) bool { return v.Name == nameOrID || v.ID == nameOrID })
	if err != nil {
		return Version{}, err
	}
	return g.find(versions, nameOrID)
}

func (g *Generations) find(versions []Version, nameOrID string) (Version, error) {
	for _, v := range versions {
		if v.Name == nameOrID {
			return v, nil
		}
	}
	for _, v := range versions {
		if v.ID != "" && v.ID == nameOrID {
			return v, nil
		}
	}
	return Version{}, envdb.Fail(envdb.ErrNotFound, "%s has no version %q", g.env.Name, nameOrID).
		WithState("nothing was changed").WithNext("see `envdb versions %s`", g.env.Name)
}
