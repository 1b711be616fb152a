package generation

import (
	"context"
	"slices"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Destruction is what Destroy did.
type Destruction struct {
	// Dropped are the databases that are gone, in the order in which they went.
	Dropped []string `json:"dropped"`
	// Left are databases that are named as versions are and that envdb did not
	// make, each with the reason.
	Left map[string]string `json:"left,omitempty"`
}

// Destroyable returns the versions that Destroy would drop, in its order. It
// fails for an environment whose live version envdb did not make.
func (g *Generations) Destroyable(ctx context.Context, recorded Recorded) (doomed []Version, left map[string]string, err error) {
	versions, err := g.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	slices.Reverse(versions)
	if i := slices.IndexFunc(versions, func(v Version) bool { return v.Name == g.base }); i >= 0 {
		live := versions[i]
		versions = append(slices.Delete(versions, i, i+1), live) // last: until then it serves
	}
	for _, v := range versions {
		if why := g.destroyable(v, recorded); why == nil {
			doomed = append(doomed, v)
		} else if v.Name == g.base {
			return nil, nil, why
		} else {
			if left == nil {
				left = map[string]string{}
			}
			left[v.Name] = why.Error()
		}
	}
	return doomed, left, nil
}

// destroyable is droppable for an environment that goes as a whole.
func (g *Generations) destroyable(v Version, recorded Recorded) error {
	if v.Name != g.base {
		return g.droppable(v, recorded)
	}
	if err := g.unclaimed(&v); err != nil {
		return err
	}
	if !v.ours() {
		return envdb.Fail(envdb.ErrRefused, "database %s of %s was not made by envdb (%s): it is not dropped", v.Name, g.env.Name, reason(v)).
			WithState("nothing was changed").
			WithNext("if nobody needs it: DROP DATABASE %s", postgres.Quote(v.Name))
	}
	return nil
}

// Destroy drops every version that envdb made, the live one last, whatever is
// connected to them. Nothing brings them back. What failed half-way is carried
// on with by the next call.
func (g *Generations) Destroy(ctx context.Context, w envdb.Writable, op envdb.Operation, recorded Recorded) (Destruction, error) {
	d := Destruction{Dropped: []string{}}
	if err := g.allowed(w, op); err != nil {
		return d, err
	}
	doomed, left, err := g.Destroyable(ctx, recorded)
	if err != nil {
		return d, err
	}
	d.Left = left
	may := func(now Version) error { return g.destroyable(now, recorded) }
	for _, v := range doomed {
		if err := g.dropIf(ctx, v, may); err != nil {
			return d, err
		}
		d.Dropped = append(d.Dropped, v.Name)
	}
	return d, nil
}
