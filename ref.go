package envdb

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Ref is what a person types to name an environment as of a point:
// "prod", "prod@latest", "prod@t-1d".
type Ref struct {
	Environment string
	// Point is the latest when none was written.
	Point Point
	// Pointed says that a point was written.
	Pointed bool
}

// ParseRef returns the environment and the point that s names; see ParsePoint
// for now and loc. Whether there is such an environment it does not know.
func ParseRef(s string, now time.Time, loc *time.Location) (Ref, error) {
	name, point, pointed := strings.Cut(s, "@")
	if err := CheckName(name); err != nil {
		return Ref{}, err
	}
	if !pointed {
		return Ref{Environment: name}, nil
	}
	p, err := ParsePoint(point, now, loc)
	if err != nil {
		return Ref{}, err
	}
	return Ref{Environment: name, Point: p, Pointed: true}, nil
}

// String returns r as ParseRef reads it.
func (r Ref) String() string {
	if !r.Pointed {
		return r.Environment
	}
	return r.Environment + "@" + r.Point.String()
}

// maxName is PostgreSQL's limit for identifiers, which names meet everywhere.
const maxName = 63

// CheckName returns an error unless name can name an environment or a project:
// letters and digits of any script, dots, hyphens and underscores, beginning
// with a letter or a digit. Names are parts of keys in the store and stand
// before an @, so nothing else is let in. Their case is kept.
func CheckName(name string) error {
	const rule = "a name begins with a letter or a digit and goes on with letters, digits, dots, hyphens and underscores, 63 bytes at most"
	switch {
	case name == "":
		return Fail(ErrMisuse, "the name is empty").WithNext(rule)
	case len(name) > maxName:
		return Fail(ErrMisuse, "name %q is %d bytes long", name, len(name)).WithNext(rule)
	case !utf8.ValidString(name):
		return Fail(ErrMisuse, "name %q is not UTF-8", name).WithNext(rule)
	}
	for i, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || i > 0 && (strings.ContainsRune("._-", r) || unicode.IsMark(r)) {
			continue
		}
		return Fail(ErrMisuse, "name %q holds %q", name, r).WithNext(rule)
	}
	return nil
}
