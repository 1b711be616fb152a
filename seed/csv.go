package seed

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb/seed/fixture"
)

// csvFile is a CSV file whose first line names columns. It is streamed, twice:
// for the digest, and when it is loaded.
type csvFile struct {
	item    *item
	columns []string
}

// byteOrderMark is what spreadsheets put before a file.
const byteOrderMark = "\ufeff"

// open returns the contents without the byte order mark. Everything that is
// read of the file passes seen.
func (f *csvFile) open(seen io.Writer) (*bufio.Reader, io.Closer, error) {
	file, err := f.item.source.FS.Open(f.item.source.Path)
	if err != nil {
		return nil, nil, f.at(0).Fail("%w", err)
	}
	r := bufio.NewReaderSize(io.TeeReader(file, seen), 64<<10)
	if mark, err := r.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		_, _ = r.Discard(len(byteOrderMark)) // it was peeked
	}
	return r, file, nil
}

func (f *csvFile) at(line int) fixture.Position {
	return fixture.Position{File: f.item.source.Name, Line: line}
}

// header reads the names of the columns.
func (f *csvFile) header() ([]string, error) {
	r, closer, err := f.open(io.Discard)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	names, err := csv.NewReader(r).Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, f.at(1).Fail("is empty; the first line names the columns")
	case err != nil:
		return nil, f.csvFault(err)
	}
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		if slices.Contains(names[:i], names[i]) {
			return nil, f.at(1).Fail("the column %q is named twice", names[i])
		}
	}
	return names, nil
}

func (f *csvFile) csvFault(err error) error {
	if parse := new(csv.ParseError); errors.As(err, &parse) {
		return f.at(parse.Line).Fail("%w", parse.Err)
	}
	return f.at(1).Fail("%w", err)
}

// copyCSV sends the file to the server as it is: an empty field is NULL, unless
// it has quotes.
func (l *loader) copyCSV(ctx context.Context, u *unit, f *csvFile) error {
	sum := sha256.New()
	r, closer, err := f.open(sum)
	if err != nil {
		return err
	}
	defer closer.Close()
	for _, c := range u.table.columns {
		if !slices.Contains(f.columns, c.name) {
			l.noteDefault(u.table, c)
		}
	}
	sql := fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT csv, HEADER true, ENCODING 'UTF8')", u.table.sql(), quoteAll(f.columns))
	tag, err := l.conn.PgConn().CopyFrom(ctx, r, sql)
	if err != nil {
		return l.copyFault(err, u, f)
	}
	if err := f.unchanged(r, sum); err != nil {
		return err
	}
	u.rows += tag.RowsAffected()
	l.progress(u, 0)
	return nil
}

// unchanged fails if what was loaded is not what the digest was made of.
func (f *csvFile) unchanged(r io.Reader, sum hash.Hash) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return f.at(0).Fail("%w", err)
	}
	if [sha256.Size]byte(sum.Sum(nil)) != f.item.hash {
		return f.at(0).Fail("was changed while it was read").WithNext("run this again")
	}
	return nil
}

// copyLine is where COPY says that it was: COPY users, line 3, column id: "x".
var copyLine = regexp.MustCompile(`line (\d+)(?:, column ([^:]+))?`)

// copyFault says which line of the file the server refused, and why.
func (l *loader) copyFault(err error, u *unit, f *csvFile) error {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) {
		return fmt.Errorf("copy %s: %w", f.item.source.Name, err)
	}
	at := f.at(1)
	if parts := copyLine.FindStringSubmatch(pgErr.Where); parts != nil {
		at.Line, _ = strconv.Atoi(parts[1]) // it matched digits
	}
	if pgErr.Code == codeForeignKey {
		if line := f.lineOf(pgErr); line > 0 {
			at.Line = line
		}
		return l.dangling(at, u.table.String(), pgErr, u.table)
	}
	if pgErr.Code == codeUnique {
		p := wrapped(at.Fail("%s has %s twice", u.table, keyOf(pgErr)), err)
		if line := f.lineWith(detailColumns(pgErr, detailTwice)); line > 0 && line != at.Line {
			p.Text += fmt.Sprintf(": here and at %s", f.at(line))
		}
		return p.WithNext("remove or change one of the rows")
	}
	return wrapped(at.Fail("%s: %s", u.table, sentence(pgErr)), err).WithNext("correct the line")
}

// detailTwice is how the server shows a key that is there already.
var detailTwice = regexp.MustCompile(`^Key \((.*?)\)=\((.*)\) already exists`)

// detailColumns returns the columns and values of a detail that has one column.
func detailColumns(pgErr *pgconn.PgError, form *regexp.Regexp) (column, value string) {
	parts := form.FindStringSubmatch(pgErr.Detail)
	if parts == nil {
		return "", ""
	}
	return strings.Trim(parts[1], `"`), parts[2]
}

func (f *csvFile) lineOf(pgErr *pgconn.PgError) int {
	return f.lineWith(detailColumns(pgErr, detailKey))
}

// lineWith returns the first line that has the value in the column, or 0.
func (f *csvFile) lineWith(column, value string) int {
	i := slices.Index(f.columns, column)
	if i < 0 {
		return 0
	}
	r, closer, err := f.open(io.Discard)
	if err != nil {
		return 0
	}
	defer closer.Close()
	lines := csv.NewReader(r)
	for {
		record, err := lines.Read()
		if err != nil {
			return 0
		}
		if record[i] == value {
			line, _ := lines.FieldPos(i)
			return line
		}
	}
}
