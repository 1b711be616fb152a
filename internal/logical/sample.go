package logical

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/postgres"
)

// Sample is a choice of the rows of a backup: some tables whole, and of others
// some chunks.
type Sample struct {
	Whole  map[Name]bool
	Chunks []TableChunks
	// Left are tables that are neither: large ones without a key by which their
	// rows could be looked up, when the share was used up.
	Left []Name
	// Bytes of Total are chosen.
	Bytes, Total int64
}

// TableChunks is the chosen chunks of a table, and what its rows are looked up by.
type TableChunks struct {
	Table Table
	Refs  []backup.Ref
	key   tableKey
}

// Sampling says how a sample is chosen.
type Sampling struct {
	Share float64 // of the bytes, above 0
	Seed  uint64
	// Whole is the size up to which a table is chosen whole in any case.
	Whole int64
}

// Choose draws a sample of a backup for a database that was loaded from it. Of
// every table too large to be taken whole that has a key, at least one chunk is
// in it, so that no table goes unseen. Those without a key are taken whole, in
// random order, as long as the share is not used up.
func (s Sampling) Choose(ctx context.Context, conn *pgx.Conn, cat *Catalogue, r ChunkReader) (Sample, error) {
	keys, err := readKeys(ctx, conn)
	if err != nil {
		return Sample{}, err
	}
	random := rand.New(rand.NewPCG(s.Seed, 2))
	chosen := Sample{Whole: map[Name]bool{}}
	whole := func(g []Table) {
		for _, t := range g {
			chosen.Whole[Name{t.Schema, t.Name}] = true
			chosen.Bytes += t.Bytes
		}
	}
	var unkeyed [][]Table
	for _, g := range groups(cat) {
		size := bytesOf(g)
		chosen.Total += size
		key, keyed := keys[root(g[0])]
		switch {
		case size <= s.Whole || g[0].Extension != "":
			whole(g)
		case !keyed:
			unkeyed = append(unkeyed, g)
		default:
			for _, t := range g {
				refs := s.chunks(random, r.Chunks(t.Part))
				chosen.Chunks = append(chosen.Chunks, TableChunks{t, refs, key})
				chosen.Bytes += sizeOf(refs)
			}
		}
	}
	random.Shuffle(len(unkeyed), func(i, j int) { unkeyed[i], unkeyed[j] = unkeyed[j], unkeyed[i] })
	for _, g := range unkeyed {
		if size := bytesOf(g); float64(chosen.Bytes+size/2) <= s.Share*float64(chosen.Total) {
			whole(g)
			continue
		}
		for _, t := range g {
			chosen.Left = append(chosen.Left, Name{t.Schema, t.Name})
		}
	}
	slices.SortFunc(chosen.Left, func(a, b Name) int {
		return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name))
	})
	return chosen, nil
}

// chunks draws the share of a table's chunks, and at least one.
func (s Sampling) chunks(random *rand.Rand, all []backup.Ref) []backup.Ref {
	want := int64(s.Share * float64(sizeOf(all)))
	var refs []backup.Ref
	var taken int64
	for _, i := range random.Perm(len(all)) {
		if len(refs) > 0 && taken+all[i].Size/2 > want {
			continue
		}
		refs = append(refs, all[i])
		taken += all[i].Size
	}
	slices.SortFunc(refs, func(a, b backup.Ref) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	return refs
}

// root is where the rows of a table are loaded into.
func root(t Table) Name {
	if t.LoadInto != nil {
		return *t.LoadInto
	}
	return Name{t.Schema, t.Name}
}

// groups returns the tables that hold rows, those that share a root together:
// their rows may have changed places among them.
func groups(cat *Catalogue) [][]Table {
	at := map[Name]int{}
	var all [][]Table
	for _, t := range cat.Tables {
		if t.SchemaOnly {
			continue
		}
		name := root(t)
		i, known := at[name]
		if !known {
			i, all = len(all), append(all, nil)
			at[name] = i
		}
		all[i] = append(all[i], t)
	}
	return all
}

func bytesOf(tables []Table) (n int64) {
	for _, t := range tables {
		n += t.Bytes
	}
	return n
}

// lookUpKeysQuery lists the unique indexes that find any row of their table: valid,
// over columns alone that are never NULL and no arrays, without a
// condition. Of several the
// primary key comes first, then the shortest. Columns come with their types, and
// with the operator that the index compares them by.
const lookUpKeysQuery = `
SELECT DISTINCT ON (n.nspname, c.relname) n.nspname::text, c.relname::text, c.relkind = 'p',
       array_agg(a.attname::text ORDER BY k.i), array_agg(a.atttypid ORDER BY k.i), array_agg(pg_catalog.format_type(a.atttypid, -1) ORDER BY k.i),
       array_agg(pg_catalog.quote_ident(opn.nspname) || '.' || o.oprname ORDER BY k.i)
  FROM pg_catalog.pg_index x
  JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_am m ON m.oid = i.relam AND m.amname = 'btree'
  JOIN pg_catalog.pg_class c ON c.oid = x.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(x.indkey::int2[]), pg_catalog.unnest(x.indclass::oid[])) WITH ORDINALITY AS k(attnum, opclass, i)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum AND a.attnotnull AND a.attgenerated = ''
  JOIN pg_catalog.pg_type y ON y.oid = a.atttypid AND y.typcategory <> 'A'
  JOIN pg_catalog.pg_opclass p ON p.oid = k.opclass
  JOIN pg_catalog.pg_amop q ON q.amopfamily = p.opcfamily AND q.amopstrategy = 3 AND q.amoplefttype = p.opcintype AND q.amoprighttype = p.opcintype
  JOIN pg_catalog.pg_operator o ON o.oid = q.amopopr JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace
 WHERE x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL AND k.i <= x.indnkeyatts
 GROUP BY x.indexrelid, n.nspname, c.relname, c.relkind, x.indisprimary, x.indnkeyatts
HAVING count(*) = x.indnkeyatts
 ORDER BY n.nspname, c.relname, x.indisprimary DESC, x.indnkeyatts, x.indexrelid`

// tableKey is what finds a row of a table.
type tableKey struct {
	Schema, Table string
	Partitioned   bool
	Columns       []string
	Types         []uint32
	TypeNames     []string
	Equality      []string
}

func readKeys(ctx context.Context, conn *pgx.Conn) (map[Name]tableKey, error) {
	all, err := query[tableKey](ctx, conn, lookUpKeysQuery)
	if err != nil {
		return nil, postgres.Explain(err, "list the keys")
	}
	keys := map[Name]tableKey{}
	for _, k := range all {
		keys[Name{k.Schema, k.Table}] = k
	}
	return keys, nil
}

// LookUp looks up every row of the sample's chunks, jobs chunks at once: the rows
// that have the chunk's keys must be as many as the chunk has, and have its
// fingerprint. Whole tables are [Reread]'s.
func (s Sample) LookUp(ctx context.Context, conn *pgx.Conn, cat *Catalogue, r ChunkReader, jobs int) (CheckResult, Compared, error) {
	type unit struct {
		of  TableChunks
		ref backup.Ref
	}
	var todo []unit
	compared := Compared{Tables: len(s.Chunks)}
	for _, t := range s.Chunks {
		for _, ref := range t.Refs {
			todo = append(todo, unit{t, ref})
			compared.Rows += ref.Rows
			compared.Bytes += ref.Size
		}
	}
	found := make([]string, len(todo))
	c := &checker{conn: conn, cat: cat, expect: Expect{Jobs: jobs}}
	err := c.parallel(ctx, len(todo), func(ctx context.Context, conn *pgx.Conn, i int) error {
		data, err := r.Fetch(ctx, todo[i].ref, nil)
		if err != nil {
			return err
		}
		if err := readyToLookUp(ctx, conn); err != nil {
			return err
		}
		found[i], err = todo[i].of.lookUp(ctx, conn, todo[i].ref, data)
		return stepError("look up rows of "+todo[i].of.Table.title(), err)
	})
	result := CheckResult{Outcome: Passed}
	for i, wrong := range found {
		if wrong != "" {
			t := todo[i].of.Table
			result.Outcome = Failed
			result.sort(Difference{Kind: Different, Class: "rows", Identity: Name{t.Schema, t.Name}.String(), Detail: wrong})
		}
	}
	return result, compared, err
}

// readyToLookUp sets up a session. Thirty thousand keys of a chunk make reading the
// whole table look cheaper than their index to the planner, and it is not: there
// are more chunks of the table to come, and its pages were read a moment ago.
func readyToLookUp(ctx context.Context, conn *pgx.Conn) error {
	const byIndex = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_mergejoin = off"
	if err := execute(ctx, conn, byIndex); err != nil {
		return explain(err, "set up the session")
	}
	return TakeBytesAsTheyAre(ctx, conn)
}

// lookUp returns what is wrong with the rows of a chunk, or "".
func (t TableChunks) lookUp(ctx context.Context, conn *pgx.Conn, ref backup.Ref, data []byte) (string, error) {
	keys, err := t.keysIn(data)
	if err != nil {
		return "", err
	}
	if there, err := t.askWhereTheyLie(ctx, conn, keys, ref); err != nil || there {
		return "", err
	}
	found, err := t.ask(ctx, conn, keys.all)
	switch {
	case err != nil:
		return "", err
	case found.rows != ref.Rows:
		return fmt.Sprintf("of %d rows of one chunk %d are there", ref.Rows, found.rows), nil
	case found.fingerprint != ref.Fingerprint:
		return fmt.Sprintf("the %d rows of one chunk are there, but they are not the same: fingerprint %s, in the backup %s", ref.Rows, found.fingerprint, ref.Fingerprint), nil
	}
	return "", nil
}
