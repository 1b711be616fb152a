package archive

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrFormat is returned for input that is not an archive that this package
// reads: another format, a newer version, or a truncated or corrupt file.
var ErrFormat = errors.New("not a readable pg_dump archive")

// Version is the version of the archive format: major, minor and revision.
type Version struct{ Major, Minor, Revision byte }

// String returns "1.14-0", as `pg_restore -l` shows it.
func (v Version) String() string { return fmt.Sprintf("%d.%d-%d", v.Major, v.Minor, v.Revision) }

// The minor versions that this package knows, all of major version 1.
const (
	minorAccessMethod = 14 // PostgreSQL 12 to 15
	minorCompression  = 15 // 16: the compression algorithm, one byte, instead of a level
	minorRelKind      = 16 // 17 and later: relkind in each entry
)

// customFormat is archCustom of pg_backup.h.
const customFormat = 1

// Archive is the header and the table of contents of an archive.
type Archive struct {
	Version       Version
	Database      string // that was dumped
	ServerVersion string // of the server that was dumped
	DumpVersion   string // of pg_dump
	Entries       []Entry
}

// Read reads the header and the table of contents of a custom-format archive.
// It stops before the data. Whatever the input, it returns an error that wraps
// ErrFormat, or the reader's own, and never panics.
func Read(r io.Reader) (*Archive, error) {
	d := newDecoder(r)
	a := d.header()
	if d.err == nil {
		a.Entries = d.entries()
	}
	if d.err != nil {
		return nil, fmt.Errorf("read archive: %w", d.err)
	}
	return a, nil
}

// BackslashEscapes reports whether backslashes escape in the archive's plain
// literals: whether it was written under standard_conforming_strings = off.
func (a *Archive) BackslashEscapes() bool {
	return a != nil && slices.ContainsFunc(a.Entries, func(e Entry) bool {
		return e.Type == "STDSTRINGS" && strings.Contains(e.Definition, "'off'")
	})
}

// header reads what ReadHead of pg_backup_archiver.c reads.
func (d *decoder) header() *Archive {
	if magic := d.bytes(5); d.err == nil && string(magic) != "PGDMP" {
		d.fail("it does not begin with PGDMP")
	}
	a := &Archive{Version: Version{d.byte(), d.byte(), d.byte()}}
	d.version(a.Version)
	d.intSize = int(d.byte())
	d.offsetSize = int(d.byte())
	format := d.byte()
	switch {
	case d.err != nil:
	case d.intSize < 1 || d.intSize > 8:
		d.fail("integers of %d bytes", d.intSize)
	case d.offsetSize < 1 || d.offsetSize > 8:
		d.fail("offsets of %d bytes", d.offsetSize)
	case format != customFormat:
		d.fail("format %d is not the custom format", format)
	}
	if d.minor >= minorCompression {
		d.byte()
	} else {
		d.int()
	}
	for range 7 { // the local time of the dump, without its zone
		d.int()
	}
	a.Database = d.string()
	a.ServerVersion = d.string()
	a.DumpVersion = d.string()
	return a
}

// version refuses what this package was not written for: a newer format may
// say something that must not be overlooked.
func (d *decoder) version(v Version) {
	d.minor = v.Minor
	switch {
	case d.err != nil:
	case v.Major != 1 || v.Minor > minorRelKind:
		d.fail("format version %s is newer than this build knows (1.%d)", v, minorRelKind)
	case v.Minor < minorAccessMethod:
		d.fail("format version %s is older than PostgreSQL 12's (1.%d)", v, minorAccessMethod)
	}
}
