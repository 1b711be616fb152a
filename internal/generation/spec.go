package generation

import (
	"fmt"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Spec says what database to build and what it will hold.
type Spec struct {
	// ID names the version for ever; usually the run's.
	ID string

	// What the marker says of the data.
	Source string
	Backup string
	Point  time.Time
	Digest string

	// What the database is created as; all empty is the server's default.
	Encoding       string
	LocaleProvider string // "c" libc, "i" ICU, "b" builtin; as pg_database.datlocprovider
	Collate, CType string
	Locale         string // of ICU or builtin
	ICURules       string // 16 and later
}

// create returns the statement that creates the database so that nobody can
// connect.
func (s Spec) create(name string, version postgres.ServerVersion) (string, error) {
	words := []string{"CREATE DATABASE " + postgres.Quote(name), "TEMPLATE template0", "ALLOW_CONNECTIONS false"}
	add := func(option, value string) {
		if value != "" {
			words = append(words, option+" "+postgres.Literal(value))
		}
	}
	add("ENCODING", s.Encoding)
	add("LC_COLLATE", s.Collate)
	add("LC_CTYPE", s.CType)
	switch s.LocaleProvider {
	case "":
	case "c":
		words = append(words, "LOCALE_PROVIDER libc")
	case "i":
		words = append(words, "LOCALE_PROVIDER icu")
		add("ICU_LOCALE", s.Locale)
		if s.ICURules != "" && version.Major() < 16 {
			return "", s.unsupported("ICU collation rules", 16, version)
		}
		add("ICU_RULES", s.ICURules)
	case "b":
		if version.Major() < 17 {
			return "", s.unsupported("the builtin locale provider", 17, version)
		}
		words = append(words, "LOCALE_PROVIDER builtin")
		add("BUILTIN_LOCALE", s.Locale)
	default:
		return "", envdb.Fail(envdb.ErrPreflight, "the source's locale provider %q is unknown to this envdb", s.LocaleProvider).
			WithState("nothing was changed").WithNext("use a newer envdb")
	}
	return strings.Join(words, " "), nil
}

func (s Spec) unsupported(what string, since int, version postgres.ServerVersion) error {
	return envdb.Fail(envdb.ErrPreflight, "the source uses %s, which the target (PostgreSQL %s) does not know", what, version).
		WithState("nothing was changed").WithNext("use PostgreSQL %d or newer as the target", since)
}

// locale describes the encoding and locale for people.
func (s Spec) locale() string {
	parts := []string{}
	for _, p := range []struct{ name, value string }{
		{"encoding", s.Encoding}, {"collation", s.Collate}, {"character type", s.CType}, {"locale", s.Locale},
	} {
		if p.value != "" {
			parts = append(parts, fmt.Sprintf("%s %s", p.name, p.value))
		}
	}
	return strings.Join(parts, ", ")
}
