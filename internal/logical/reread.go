package logical

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// Content is what a database holds, as a backup of it would say: the catalogue
// with the fingerprint of every table, and that of the large objects' pages.
type Content struct {
	Catalogue    *Catalogue
	LargeObjects envdb.Fingerprint
	// Unread is how many large objects the role may not read: there is no right
	// to the pages of one's own.
	Unread int64
}

// Reread reads a database as Take does, and keeps sums where a backup keeps
// rows. Tables that only does not name are passed over; a nil only names all.
func Reread(ctx context.Context, src Source, only func(Name) bool) (*Content, error) {
	sums := &sums{of: map[string]envdb.Fingerprint{}}
	src = src.withDefaults()
	for try := 1; ; try++ {
		a := &attempt{src: src, put: &puts{to: sums}, number: try, rereads: true, only: only}
		err := a.run(ctx)
		if err == nil {
			return &Content{Catalogue: a.catalogue, LargeObjects: sums.of[PartBlobData], Unread: a.unread}, nil
		}
		again, ok := err.(*passing)
		if !ok {
			return nil, err
		}
		if try == attempts {
			return nil, again.final(try)
		}
		sums.of = map[string]envdb.Fingerprint{}
		if err := pause(ctx, again.pause(src.LockPatience, try)); err != nil {
			return nil, err
		}
	}
}

// sums is a ChunkWriter that keeps the sum of each part only.
type sums struct {
	mu sync.Mutex
	of map[string]envdb.Fingerprint
}

// Put implements ChunkWriter.
func (s *sums) Put(_ context.Context, c backup.Chunk) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[c.Part] = s.of[c.Part].Add(c.Fingerprint)
	return nil
}

// Rows returns the fingerprint of all that was read, for people to compare.
func (c *Content) Rows() envdb.Fingerprint {
	all := c.LargeObjects
	for _, t := range c.Catalogue.Tables {
		all = all.Add(HashRow([]byte(t.Schema + "\x00" + t.Name + "\x00" + t.Fingerprint.String())))
	}
	return all
}

// Compared is how much two contents were compared in.
type Compared struct {
	Tables      int
	Rows, Bytes int64
}

// SameRows compares the rows of a database that was loaded with those that the
// backup holds: by count and by the order-independent fingerprint of every table
// that was read, those that share a partition root together, and of the large
// objects. Loaded says what the load left out.
func (c *Content) SameRows(cat *Catalogue, loaded *Loaded, r ChunkReader, skipped []string) (CheckResult, Compared) {
	var result CheckResult
	var compared Compared
	have := map[Name]Table{}
	for _, t := range c.Catalogue.Tables {
		have[Name{t.Schema, t.Name}] = t
	}
	type sum struct {
		rows        int64
		fingerprint envdb.Fingerprint
	}
	want, got := map[Name]sum{}, map[Name]sum{}
	var order []Name
	add := func(to map[Name]sum, root Name, t Table) {
		s := to[root]
		to[root] = sum{s.rows + t.Rows, s.fingerprint.Add(t.Fingerprint)}
	}
	for _, t := range cat.Tables {
		name := Name{t.Schema, t.Name}
		if t.SchemaOnly || t.Extension != "" && slices.Contains(skipped, t.Extension) {
			continue
		}
		mine, read := have[name]
		if !read {
			continue
		}
		root := name
		if t.LoadInto != nil {
			root = *t.LoadInto
		}
		if _, known := want[root]; !known {
			order = append(order, root)
		}
		add(want, root, t)
		add(got, root, mine)
		compared.Tables++
		compared.Rows += mine.Rows
		compared.Bytes += mine.Bytes
	}
	for _, root := range order {
		w, g := want[root], got[root]
		switch {
		case w.rows != g.rows:
			result.sort(Difference{Kind: Different, Class: "rows", Identity: root.String(), Detail: fmt.Sprintf("%d rows, %d in the backup", g.rows, w.rows)})
		case w.fingerprint != g.fingerprint:
			result.sort(Difference{Kind: Different, Class: "rows", Identity: root.String(), Detail: fmt.Sprintf("as many rows, but not the same: fingerprint %s, in the backup %s", g.fingerprint, w.fingerprint)})
		}
	}
	c.sameLargeObjects(cat, r, &result)
	slices.SortFunc(result.Differences, func(a, b Difference) int { return strings.Compare(a.Identity, b.Identity) })
	result.Outcome = Passed
	if len(result.Differences) > 0 {
		result.Outcome = Failed
	}
	return result, compared
}

func (c *Content) sameLargeObjects(cat *Catalogue, r ChunkReader, result *CheckResult) {
	if cat.LargeObjects.Count == 0 || c.Unread > 0 {
		return
	}
	var want envdb.Fingerprint
	for _, ref := range r.Chunks(PartBlobData) {
		want = want.Add(ref.Fingerprint)
	}
	if c.LargeObjects != want {
		result.sort(Difference{Kind: Different, Class: "large objects", Identity: "of the database", Detail: fmt.Sprintf("their pages have the fingerprint %s, in the backup %s", c.LargeObjects, want)})
	}
}

// ReadVersions returns which migration and which release a database is at.
func ReadVersions(ctx context.Context, src Source) (*backup.Migration, string, error) {
	a := &attempt{src: src.withDefaults(), number: 1, catalogue: &Catalogue{Version: catalogueVersion}}
	defer a.sessions.close(ctx)
	if err := a.open(ctx); err != nil {
		return nil, "", err
	}
	for _, step := range []func(context.Context) error{a.takeSnapshot, a.readServer, a.listTables, a.readMigration, a.readRelease} {
		if err := step(ctx); err != nil {
			return nil, "", err
		}
	}
	return a.catalogue.Migration, a.catalogue.Release, nil
}
