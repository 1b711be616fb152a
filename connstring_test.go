package envdb_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/envdb/envdb"
)

// Whatever form a connection string has, its password is shown nowhere but by
// Reveal.
func TestConnStringHidesItsPassword(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"postgres://u:s3cr3t@h/db",
		"postgres://u:s3cr3t@h:5432/db?sslmode=require",
		"postgres://u:s3cr3t@[::1]:1,[::2]:2/db",
		"postgres://u:s3cr3t%zz@h/db",
		"postgres://u:s 3cr3t@h/db",
		"postgres://u:a/s3cr3t@h/db",
		"postgres://u:a@s3cr3t@h/db",
		"postgres://u:a?s3cr3t@h/db",
		"postgresql://h/db?user=u&password=s3cr3t&sslpassword=s3cr3t",
		"host=h user=u password=s3cr3t dbname=db",
		"host=h password = 's3cr3t with \\' s3cr3t' dbname=db",
		`host=h password=a\ s3cr3t dbname=db`,
		"host=h password='s3cr3t",
	} {
		c := envdb.ConnString(s)
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, shown := range []string{c.String(), c.LogValue().String(), string(text)} {
			if strings.Contains(shown, "3cr3t") {
				t.Errorf("%q is shown as %q", s, shown)
			}
		}
		if c.Reveal() != s {
			t.Errorf("%q is revealed as %q", s, c.Reveal())
		}
	}
}

// What is not secret stays readable.
func TestConnStringShowsTheRest(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"postgres://u:p@h:5432/db?sslmode=require": "postgres://u:xxxxx@h:5432/db?sslmode=require",
		"postgres://u@h:5432/db":                   "postgres://u@h:5432/db",
		"postgres://h:5432/db":                     "postgres://h:5432/db",
		"postgres:///db?host=/run/postgresql":      "postgres:///db?host=/run/postgresql",
		"host=h password=p dbname=db":              "host=h password=xxxxx dbname=db",
	} {
		if got := envdb.ConnString(s).String(); got != want {
			t.Errorf("%q is shown as %q, want %q", s, got, want)
		}
	}
}
