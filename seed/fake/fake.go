// Package fake makes data up: names, addresses, sentences. Its one idea is that
// the same seed gives the same data on every machine and day, so kinds that look
// at the clock, or whose order is that of a Go map, are not among its kinds.
package fake

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/brianvoe/gofakeit/v7"

	"github.com/envdb/envdb"
)

// Faker is a source of made-up data.
type Faker struct{ faker *gofakeit.Faker }

// New returns the source of a seed.
func New(seed ...string) Faker {
	return Faker{gofakeit.NewFaker(rand.NewPCG(Seed(seed...)), false)}
}

// Seed returns the two halves of a seed for math/rand.
func Seed(seed ...string) (uint64, uint64) {
	h := fnv.New128a()
	for _, part := range seed {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	sum := h.Sum(nil)
	return binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])
}

// Kind is something that can be made up.
type Kind struct {
	name    string
	info    *gofakeit.Info
	params  *gofakeit.MapParams
	pattern string
}

// unsteady are the kinds whose values depend on the day.
var unsteady = []string{
	"date", "daterange", "pastdate", "futuredate", "year", "creditcard", "creditcardexp",
	"time", "timerange", "nanosecond",
	"generate", // whose pattern may name any of them
}

// outputs are the types that are one value.
var outputs = []string{
	"string", "bool", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64",
	"float", "float32", "float64",
}

// steady reports whether a kind gives one value that depends on the seed alone.
func steady(name string, info gofakeit.Info) bool {
	return slices.Contains(outputs, info.Output) && !slices.Contains(unsteady, name) && !needsParams(info) &&
		info.Category != "template" && info.Category != "file" && info.Category != "database"
}

// needsParams reports whether a kind has a parameter that must be given and is
// more than a word.
func needsParams(info gofakeit.Info) bool {
	return slices.ContainsFunc(info.Params, func(p gofakeit.Param) bool {
		return strings.HasPrefix(p.Type, "[]") && p.Default == "" && !p.Optional
	})
}

// Names returns all kinds, sorted.
func Names() []string {
	var names []string
	for name, info := range gofakeit.FuncLookups {
		if steady(name, info) {
			names = append(names, name)
		}
	}
	return slices.Sorted(slices.Values(names))
}

// Find returns a kind by its name, such as "email", with arguments in the order
// in which it has parameters; or by a pattern of kinds in braces, where # is a
// digit and ? a letter: "{firstname} {lastname}", "##-????".
func Find(name string, args ...string) (Kind, error) {
	if strings.ContainsAny(name, "{#?") {
		return Kind{name: name, pattern: name}, checkPattern(name)
	}
	info, found := gofakeit.FuncLookups[strings.ToLower(name)]
	if !found || !steady(strings.ToLower(name), info) {
		return Kind{}, unknown(name, found)
	}
	if len(args) > len(info.Params) {
		return Kind{}, envdb.Fail(envdb.ErrPreflight, "fake %s takes %d arguments, not %d", name, len(info.Params), len(args)).
			WithNext("give it %s", parameters(info))
	}
	params := gofakeit.NewMapParams()
	for i, a := range args {
		params.Add(info.Params[i].Field, a)
	}
	return Kind{name: name, info: &info, params: params}, nil
}

// checkPattern finds a kind of a pattern that is not one.
func checkPattern(pattern string) error {
	for rest := pattern; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return nil
		}
		inner, tail, closed := strings.Cut(after, "}")
		if !closed {
			return envdb.Fail(envdb.ErrPreflight, "the pattern %q has a { without its }", pattern)
		}
		kind, _, _ := strings.Cut(inner, ":")
		info, known := gofakeit.FuncLookups[strings.ToLower(kind)]
		if !known || !steady(strings.ToLower(kind), info) {
			return unknown(kind, known)
		}
		rest = tail
	}
}

func unknown(name string, found bool) error {
	if found {
		return envdb.Fail(envdb.ErrPreflight, "fake data of the kind %q is not the same every day, or not one value", name).
			WithNext("for times use {{ago \"3d\"}}, or time: in a generate block")
	}
	p := envdb.Fail(envdb.ErrPreflight, "there is no fake data of the kind %q", name)
	if near := nearest(strings.ToLower(name)); near != "" {
		return p.WithNext("did you mean %q?", near)
	}
	return p.WithNext("common kinds are name, firstname, lastname, email, username, phone, company, street, city, country, word, sentence")
}

// nearest returns the kind that differs least, if it is near.
func nearest(name string) string {
	names := Names()
	for _, n := range names {
		if strings.ReplaceAll(name, "_", "") == n || strings.HasPrefix(n, name) && len(name) > 3 {
			return n
		}
	}
	i := slices.IndexFunc(names, func(n string) bool { return len(n) == len(name) && differing(n, name) <= 1 })
	if i < 0 {
		return ""
	}
	return names[i]
}

func differing(a, b string) int {
	n := 0
	for i := range len(a) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func parameters(info gofakeit.Info) string {
	var names []string
	for _, p := range info.Params {
		names = append(names, p.Field)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Value makes one value up.
func (k Kind) Value(f Faker) (string, error) {
	if k.pattern != "" {
		return f.faker.Generate(k.pattern)
	}
	v, err := k.info.Generate(f.faker, k.params, k.info)
	if err != nil {
		return "", envdb.Fail(envdb.ErrPreflight, "fake %s: %w", k.name, err)
	}
	switch x := v.(type) {
	case string:
		return x, nil
	case int:
		return strconv.Itoa(x), nil
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64), nil
	case float32:
		return strconv.FormatFloat(float64(x), 'f', -1, 32), nil
	}
	return fmt.Sprint(v), nil
}
