package archive

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Section is the part of a restore that an entry belongs to.
type Section int

// The sections of pg_dump. SectionNone is for comments, ACLs and the like,
// which follow what they speak of.
const (
	SectionNone     Section = 1
	SectionPreData  Section = 2
	SectionData     Section = 3
	SectionPostData Section = 4
)

// Entry is one object of the table of contents. Type is pg_dump's description
// of the kind ("TABLE", "FK CONSTRAINT", …), Tag its name as people read it.
// All names are unquoted.
type Entry struct {
	ID           int
	HadDumper    bool
	ClassOID     uint32 // of the catalogue that the object is in
	OID          uint32
	Tag          string
	Type         string
	Section      Section
	Definition   string
	Drop         string
	Copy         string
	Schema       string
	Tablespace   string
	AccessMethod string
	RelKind      byte // 0 where the archive does not say
	Owner        string
	DependsOn    []int // ids of entries, not all of which need exist
}

// String describes the entry as an error message should: its kind and name.
func (e Entry) String() string {
	if e.Schema == "" {
		return e.Type + " " + e.Tag
	}
	return e.Type + " " + e.Schema + "." + e.Tag
}

// entries reads what ReadToc of pg_backup_archiver.c reads.
func (d *decoder) entries() []Entry {
	n := d.int()
	if d.err == nil && n < 0 {
		d.fail("%d entries", n)
	}
	entries := make([]Entry, 0, min(max(n, 0), 4096))
	seen := map[int]bool{}
	for range n {
		e := d.entry()
		if d.err != nil {
			return nil
		}
		if seen[e.ID] {
			d.fail("entry %d appears twice", e.ID)
			return nil
		}
		seen[e.ID] = true
		entries = append(entries, e)
	}
	return entries
}

func (d *decoder) entry() Entry {
	e := Entry{ID: d.int()}
	if d.err == nil && e.ID <= 0 {
		d.fail("entry id %d", e.ID)
	}
	e.HadDumper = d.int() != 0
	e.ClassOID = d.number()
	e.OID = d.number()
	e.Tag = d.string()
	e.Type = d.string()
	e.Section = Section(d.int())
	if d.err == nil && (e.Section < SectionNone || e.Section > SectionPostData) {
		d.fail("section %d of entry %d", e.Section, e.ID)
	}
	e.Definition = d.string()
	e.Drop = d.string()
	e.Copy = d.string()
	e.Schema = d.string()
	e.Tablespace = d.string()
	e.AccessMethod = d.string()
	if d.minor >= minorRelKind {
		e.RelKind = byte(d.int())
	}
	e.Owner = d.string()
	d.string() // WITH OIDS, which no supported server has
	e.DependsOn = d.dependencies()
	d.byte() // whether there is an offset of data, and the offset
	d.bytes(d.offsetSize)
	return e
}

// dependencies reads numbers up to the string that is not there.
func (d *decoder) dependencies() []int {
	var ids []int
	for {
		s, ok := d.optional()
		if !ok {
			return ids
		}
		id, err := strconv.Atoi(s)
		if err != nil {
			d.fail("dependency %q is not a number", s)
			return nil
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
}

// relKindPartitionedTable is RELKIND_PARTITIONED_TABLE of pg_class.
const relKindPartitionedTable = 'p'

// SQL returns the statements that create the object, as text that may hold
// several; the owner is not set by it. It is empty for an entry that has none,
// such as the schema "public" that every database begins with.
func (e Entry) SQL() string {
	sql := e.Definition
	if isComment(sql) {
		sql = ""
	}
	if e.RelKind == relKindPartitionedTable && e.AccessMethod != "" {
		// A partitioned table has no storage: its access method is a default
		// for new partitions, and is set as pg_restore does it.
		sql += fmt.Sprintf("ALTER TABLE %s SET ACCESS METHOD %s;\n", qualified(e.Schema, e.Tag), Quote(e.AccessMethod))
	}
	return sql
}

// isComment reports whether sql is one line of comment, which is what pg_dump
// writes in place of a statement that is not to be run.
func isComment(sql string) bool {
	s := strings.TrimSpace(sql)
	return strings.HasPrefix(s, "--") && !strings.Contains(s, "\n")
}

// DefaultAccessMethod returns the value that default_table_access_method must
// have while SQL runs; empty means that it does not matter.
func (e Entry) DefaultAccessMethod() string {
	if e.RelKind == relKindPartitionedTable {
		return ""
	}
	return e.AccessMethod
}
