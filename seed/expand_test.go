package seed_test

import (
	"slices"
	"testing"

	"github.com/envdb/envdb/seed"
)

func TestExpand(t *testing.T) {
	t.Parallel()
	fsys := files(map[string]string{
		"fixtures/authors.yml": "", "fixtures/last.sql": "", "fixtures/zones.csv": "", "fixtures/README.md": "", "volume/orders.yml": "",
	})
	for name, c := range map[string]struct{ patterns, want []string }{
		"a directory, by name": {
			[]string{"fixtures/"}, []string{"fixtures/authors.yml", "fixtures/last.sql", "fixtures/zones.csv"},
		},
		"a file of a directory comes where it is named": {
			[]string{"fixtures/", "volume/*.yml", "fixtures/last.sql"},
			[]string{"fixtures/authors.yml", "fixtures/zones.csv", "volume/orders.yml", "fixtures/last.sql"},
		},
		"also before it": {
			[]string{"fixtures/zones.csv", "fixtures"}, []string{"fixtures/zones.csv", "fixtures/authors.yml", "fixtures/last.sql"},
		},
		"a file of a glob, too": {
			[]string{"fixtures/*.sql", "fixtures/*.csv", "./fixtures/last.sql"}, []string{"fixtures/zones.csv", "fixtures/last.sql"},
		},
		"of globs the first counts": {
			[]string{"fixtures/*.sql", "fixtures", "fixtures/*l*"}, []string{"fixtures/last.sql", "fixtures/authors.yml", "fixtures/zones.csv"},
		},
		"named twice": {
			[]string{"fixtures/last.sql", "volume", "fixtures/last.sql"}, []string{"fixtures/last.sql", "volume/orders.yml"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := seed.Expand(fsys, c.patterns)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v: %v (%v), want %v", c.patterns, got, err, c.want)
			}
		})
	}
}
