package envdb_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
)

func TestParseRef(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]envdb.Ref{
		"prod":                        {Environment: "prod"},
		"prod@latest":                 {Environment: "prod", Pointed: true},
		"prod@t-1d":                   {Environment: "prod", Point: envdb.At(noon.Add(-envdb.Day)), Pointed: true},
		"Prod-Copy.2@20261120-140500": {Environment: "Prod-Copy.2", Point: envdb.AtBackup("20261120-140500"), Pointed: true},
		"bücher_2@1d ago":             {Environment: "bücher_2", Point: envdb.At(noon.Add(-envdb.Day)), Pointed: true},
		"t-1d@t-1d":                   {Environment: "t-1d", Point: envdb.At(noon.Add(-envdb.Day)), Pointed: true},
		"7":                           {Environment: "7"},
	} {
		got, err := envdb.ParseRef(text, noon, time.UTC)
		if err != nil || got != want {
			t.Errorf("ParseRef(%q) = %v, %v; want %v", text, got, err, want)
		}
		again, err := envdb.ParseRef(got.String(), noon, time.UTC)
		if err != nil || again != got {
			t.Errorf("%v is written %s and read %v, %v", got, got, again, err)
		}
	}
}

func TestParseRefRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "the name is empty",
		"@latest":                 "the name is empty",
		"prod@":                   "the point is empty",
		"prod@x":                  `"x" is not a point`,
		"prod@latest@latest":      `"latest@latest" is not a point`,
		"prod/../qa@latest":       `name "prod/../qa" holds '/'`,
		"..":                      `name ".." holds '.'`,
		"-rf":                     `name "-rf" holds '-'`,
		"two words":               `name "two words" holds ' '`,
		"a\x00b":                  `name "a\x00b" holds '\x00'`,
		"a\xffb":                  `name "a\xffb" is not UTF-8`,
		strings.Repeat("a", 64):   `name "` + strings.Repeat("a", 64) + `" is 64 bytes long`,
		"prod@2026-11-20T14:05Zx": `"2026-11-20T14:05Zx" is not a point`,
	} {
		_, err := envdb.ParseRef(text, noon, time.UTC)
		if err == nil || err.Error() != want || !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("ParseRef(%q): %v; want %s", text, err, want)
		}
		if _, next := envdb.Advice(err); next == "" {
			t.Errorf("ParseRef(%q) gives no advice", text)
		}
	}
}
