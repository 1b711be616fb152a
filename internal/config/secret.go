package config

import (
	"log/slog"
	"strings"
)

// Secret is a value of the file that is not shown: what it refers to is read
// each time that it is revealed, so that a file that was replaced counts. The
// zero Secret is none.
type Secret struct {
	from  text
	get   lookup
	check func(string) (wrong, next string)
}

// IsZero reports whether the file has none.
func (s Secret) IsZero() bool { return s.from.empty() }

// Reveal returns the value. A reference that leads nowhere is ErrUnset.
func (s Secret) Reveal() (string, error) {
	if s.IsZero() {
		return "", nil
	}
	held, err := s.from.resolve(s.get)
	switch {
	case err != nil:
		return "", err
	case s.check == nil:
		return held, nil
	}
	if wrong, next := s.check(held); wrong != "" {
		return "", s.from.problem("what it refers to "+wrong, next, nil)
	}
	return held, nil
}

// String returns what the value refers to, and nothing of one that is written
// out.
func (s Secret) String() string {
	switch {
	case s.IsZero():
		return ""
	case s.from.isWhole() || s.from.soleVariable() != "":
		return s.from.raw
	}
	return "xxxxx"
}

// GoString keeps %#v from showing more.
func (s Secret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// hidden reads a value that is not shown, and that may stand in the file only
// by reference.
func (v value) hidden(get lookup, check func(string) (wrong, next string)) Secret {
	t := v.references()
	if !t.empty() && !t.refers() {
		v.hint("write env:NAME or file:PATH", "is written out; a secret does not stand in the file")
	}
	return Secret{from: t, get: get, check: check}
}

// Address is a URL that is no secret and stands in no file.
func Address(url string) Secret { return Secret{from: text{raw: url}, check: checkAddress} }

// address reads the URL of a service, which may stand in the file if nobody
// says that it is a secret.
func (v value) address(get lookup) Secret {
	t := v.references()
	if !t.empty() && !t.refers() {
		if wrong, next := checkAddress(t.raw); wrong != "" {
			v.hint(next, "%s", wrong)
		}
		if _, query, found := strings.Cut(t.raw, "?"); found && telling.MatchString(query) {
			v.hint("write env:NAME, which holds the whole URL", "holds a secret; a secret does not stand in the file")
		}
		if strings.HasPrefix(t.raw, "http:") && !loopbackURL(t.raw) {
			v.doc.warn(v.at(), "%s is http: whoever is on the way can read and change what is sent; write https if the service has it", v.path)
		}
	}
	return Secret{from: t, get: get, check: checkAddress}
}
