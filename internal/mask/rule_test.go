package mask_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/mask"
)

// key is one for tests.
func key(t *testing.T, secret string) mask.Key {
	t.Helper()
	k, err := mask.NewKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const secret = "a secret for tests only"

// table is a table of one column, of the type.
func table(typeName string) mask.Shape {
	return mask.Shape{Name: mask.Name{Schema: "public", Name: "t"}, Holds: true, Columns: []mask.ShapeColumn{{Name: "c", Type: typeName}}}
}

// masker returns what masks the one column of table.
func masker(t *testing.T, typeName string, rule mask.Rule, binary bool) *mask.Masker {
	t.Helper()
	shape := table(typeName)
	rules := &mask.Rules{File: "mask.yaml", Tables: []mask.TableRules{{Name: shape.Name, Columns: []mask.ColumnRule{{Column: "c", At: "mask.yaml:1:1", Rule: rule}}}}}
	plan, findings := mask.Match(rules, []mask.Shape{shape}, false, 0)
	if len(findings) > 0 {
		t.Fatalf("%s on %s: %v", rule.Name, typeName, findings)
	}
	return plan.Table(shape.Name).Masker(key(t, secret), []string{"c"}, binary, 1, mask.NewSamples())
}

// masked masks values in COPY's text format.
func masked(t *testing.T, typeName string, rule mask.Rule, values ...string) []string {
	t.Helper()
	in := strings.Join(values, "\n") + "\n"
	r := masker(t, typeName, rule, false).Reader(strings.NewReader(in), 0, int64(len(values)))
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s on %s: %v", rule.Name, typeName, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// maskedBinary masks one value in the binary format.
func maskedBinary(t *testing.T, typeName string, rule mask.Rule, value []byte) []byte {
	t.Helper()
	row := append(binary.BigEndian.AppendUint32([]byte{0, 1}, uint32(len(value))), value...)
	out, err := io.ReadAll(masker(t, typeName, rule, true).Reader(bytes.NewReader(row), 0, 1))
	if err != nil {
		t.Fatalf("%s on %s: %v", rule.Name, typeName, err)
	}
	if len(out) < 6 || int(binary.BigEndian.Uint32(out[2:])) != len(out)-6 {
		t.Fatalf("%s on %s: the row is %x", rule.Name, typeName, out)
	}
	return out[6:]
}

func named(name string) mask.Rule {
	if name == mask.ShiftDate {
		return mask.Rule{Name: name, Days: 30}
	}
	return mask.Rule{Name: name}
}

func TestNamedRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, typeName, value, want string }{
		{mask.Email, "text", "ada@corp.example", `^[0-9a-f]{32}@example\.invalid$`},
		{mask.Email, "character varying(30)", "ada@corp.example", `^[0-9a-f]{14}@example\.invalid$`},
		{mask.Email, "character varying(12)", "ada@corp.ex", `^[0-9a-f]{12}$`},
		{mask.Email, "shop.citext", "ada@corp.example", `^[0-9a-f]{32}@example\.invalid$`},
		{mask.FullName, "text", "Someone Real", `^[A-Z][a-z]+ [A-Z][a-z]+$`},
		{mask.FullName, "character varying(4)", "Someone Real", `^.{4}$`},
		{mask.FirstName, "text", "Someone", `^[A-Z][a-z]+$`},
		{mask.LastName, "text", "Real", `^[A-Z][a-z]+$`},
		{mask.Username, "text", "someone77", `^user-[0-9a-f]{32}$`},
		{mask.Company, "text", "Real Ltd", `^[A-Z][a-z]+ and [A-Z][a-z]+$`},
		{mask.Phone, "text", "+49 170 1234567", `^\+999[0-9]{12}$`},
		{mask.Phone, "character(10)", "0170123456", `^[0-9]{10}$`},
		{mask.Address, "text", "1 Real Road", `^[0-9]+ [A-Z][a-z]+ Street$`},
		{mask.City, "text", "Realtown", `^[A-Z][a-z]+$`},
		{mask.URL, "text", "https://real.example/x", `^https://example\.invalid/[0-9a-f]{32}$`},
		{mask.IP, "text", "203.0.113.77", `^198\.1[89]\.[0-9]+\.[0-9]+$`},
		{mask.IP, "inet", "203.0.113.77", `^198\.1[89]\.[0-9]+\.[0-9]+$`},
		{mask.Hash, "text", "x", `^[0-9a-f]{32}$`},
		{mask.Hash, "bytea", `\\x00ff`, `^\\\\x[0-9a-f]{32}$`},
		{mask.UUID, "uuid", "6fa459ea-ee8a-3ca4-894e-db77e160355e", `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		{mask.Number, "integer", "-12345", `^-[1-9][0-9]{4}$`},
		{mask.Number, "smallint", "31000", `^[123][0-9]{4}$`},
		{mask.Number, "bigint", "4111111111111111", `^[1-9][0-9]{15}$`},
		{mask.Number, "numeric(10,2)", "-1234.50", `^-[0-9]{4}\.[0-9]{2}$`},
		{mask.Number, "text", "4111-1111 A", `^[0-9]{4}-[0-9]{4} A$`},
		{mask.Number, "double precision", "1234.5", `^[0-9.e+]+$`},
		{mask.ShiftDate, "date", "1980-05-17", `^1980-0[456]-[0-9]{2}$`},
		{mask.ShiftDate, "date", "infinity", `^infinity$`},
		{mask.ShiftDate, "timestamp with time zone", "1980-05-17 12:34:56.789+00", `^1980-0[456]-[0-9]{2} 12:34:56\.789\+00$`},
		{mask.ShiftDate, "timestamp(0) without time zone", "1980-05-17 12:34:56", `^1980-0[456]-[0-9]{2} 12:34:56$`},
		{mask.Redact, "text", "secret", `^redacted$`},
		{mask.Redact, "character varying(3)", "secret", `^red$`},
		{mask.Redact, "jsonb", `{"a": 1}`, `^\{\}$`},
		{mask.Redact, "integer", "7", `^0$`},
		{mask.Null, "public.colour", "red", `^\\N$`},
		{mask.Hash, "text[]", `{real,NULL,"a b,\\"c"}`, `^\{"[0-9a-f]{32}",NULL,"[0-9a-f]{32}"\}$`},
	} {
		if got := masked(t, c.typeName, named(c.rule), c.value)[0]; !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s on %s makes %q of %q, want %s", c.rule, c.typeName, got, c.value, c.want)
		}
	}
}

func TestEqualStaysEqual(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, a, b, valueA, valueB string }{
		{mask.Email, "text", "character varying(64)", "ada@corp.example", "ada@corp.example"},
		{mask.Email, "text", "citext", "ada@corp.example", "Ada@Corp.example"},
		{mask.Hash, "text", "character(40)", "abc", "abc     "},
		{mask.UUID, "text", "uuid", "6fa459ea-ee8a-3ca4-894e-db77e160355e", "6fa459ea-ee8a-3ca4-894e-db77e160355e"},
		{mask.Number, "integer", "bigint", "12345", "12345"},
	} {
		a, b := masked(t, c.a, named(c.rule), c.valueA)[0], masked(t, c.b, named(c.rule), c.valueB)[0]
		if a != b {
			t.Errorf("%s: %s %q becomes %q, and %s %q becomes %q", c.rule, c.a, c.valueA, a, c.b, c.valueB, b)
		}
	}
	twice := masked(t, "text", named(mask.Email), "x@y.example", "", "x@y.example", `\N`)
	if twice[0] != twice[2] || twice[1] != "" || twice[3] != `\N` {
		t.Errorf("got %q", twice)
	}
}

// The two formats of COPY give one mask, or a join between tables of which one
// has a column of a user's type would no longer hold.
func TestFormatsAgree(t *testing.T) {
	t.Parallel()
	uuid := []byte("\x6f\xa4\x59\xea\xee\x8a\x3c\xa4\x89\x4e\xdb\x77\xe1\x60\x35\x5e")
	for _, c := range []struct {
		rule, typeName, text string
		binary               []byte
	}{
		{mask.Email, "text", "ada@corp.example", []byte("ada@corp.example")},
		{mask.Hash, "bytea", `\\x00ff`, []byte{0, 255}},
		{mask.UUID, "uuid", "6fa459ea-ee8a-3ca4-894e-db77e160355e", uuid},
		{mask.Number, "integer", "12345", binary.BigEndian.AppendUint32(nil, 12345)},
		{mask.Number, "bigint", "-7", binary.BigEndian.AppendUint64(nil, ^uint64(6))},
		{mask.IP, "inet", "203.0.113.77", []byte{2, 32, 0, 4, 203, 0, 113, 77}},
		{mask.ShiftDate, "date", "1999-12-31", binary.BigEndian.AppendUint32(nil, ^uint32(0))},
		{mask.ShiftDate, "timestamp with time zone", "2000-01-01 00:00:01.5+00", binary.BigEndian.AppendUint64(nil, 1_500_000)},
		{mask.Number, "numeric(12,3)", "-1234567.890", []byte{0, 3, 0, 1, 0x40, 0, 0, 3, 0, 123, 0x11, 0xd7, 0x22, 0xc4}},
	} {
		asText := masked(t, c.typeName, named(c.rule), c.text)[0]
		asBinary := maskedBinary(t, c.typeName, named(c.rule), c.binary)
		if got := shown(c.typeName, asBinary); got != asText {
			t.Errorf("%s on %s: text becomes %q, binary %q (%x)", c.rule, c.typeName, asText, got, asBinary)
		}
	}
}

func TestDifferentStaysDifferent(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for _, c := range []struct{ rule, typeName string }{
		{mask.Email, "text"}, {mask.Hash, "text"}, {mask.Username, "text"}, {mask.Number, "integer"}, {mask.Number, "smallint"}, {mask.Number, "text"},
	} {
		var values []string
		for i := range n {
			values = append(values, itoa(i))
		}
		seen := map[string]bool{}
		for _, v := range masked(t, c.typeName, named(c.rule), values...) {
			seen[v] = true
		}
		if len(seen) != n {
			t.Errorf("%s on %s makes %d masks of %d values", c.rule, c.typeName, len(seen), n)
		}
	}
}

func TestKeyDecides(t *testing.T) {
	t.Parallel()
	shape := table("text")
	rules := &mask.Rules{Tables: []mask.TableRules{{Name: shape.Name, Columns: []mask.ColumnRule{{Column: "c", Rule: named(mask.Email)}}}}}
	plan, _ := mask.Match(rules, []mask.Shape{shape}, false, 0)
	var got [2]string
	for i, s := range []string{secret, secret + "!"} {
		out, err := io.ReadAll(plan.Table(shape.Name).Masker(key(t, s), []string{"c"}, false, 1, mask.NewSamples()).Reader(strings.NewReader("x\n"), 0, 1))
		if err != nil {
			t.Fatal(err)
		}
		got[i] = string(out)
	}
	if got[0] == got[1] {
		t.Errorf("two keys make %q", got[0])
	}
	if _, err := mask.NewKey("short"); err == nil {
		t.Error("a short secret is taken")
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	rule := mask.Rule{Name: mask.JSON, Paths: []mask.PathRule{
		{Path: "email", Rule: named(mask.Email)}, {Path: "address.*", Rule: named(mask.Redact)}, {Path: "phones.*.number", Rule: named(mask.Phone)},
		{Path: "card", Rule: named(mask.Number)}, {Path: "gone", Rule: named(mask.Null)}, {Path: "list.1", Rule: named(mask.Hash)},
	}}
	doc := `{"email": "a@b.example", "address": {"street": "Real", "zip": 12345}, "phones": [{"number": "1", "kind": "home"}], "card": 4111, "gone": [1], "list": ["a", "b"], "kept": 1.50, "empty": null}`
	want := regexp.MustCompile(`^\{"address":\{"street":"redacted","zip":0\},"card":[1-9]\d{3},"email":"[0-9a-f]{32}@example.invalid","empty":null,"gone":null,"kept":1.50,"list":\["a","[0-9a-f]{32}"\],"phones":\[\{"kind":"home","number":"\+999\d{12}"\}\]\}$`)
	if got := masked(t, "jsonb", rule, doc)[0]; !want.MatchString(got) {
		t.Errorf("got %s", got)
	}
	if got := maskedBinary(t, "jsonb", rule, []byte("\x01"+doc)); got[0] != 1 || !want.Match(got[1:]) {
		t.Errorf("got %q", got)
	}
}

// A path that no document has is one that its author got wrong, unless it may
// be missing; where there are no documents nothing is known.
func TestUnreached(t *testing.T) {
	t.Parallel()
	shape := table("jsonb")
	path := func(text string, optional bool, rule string) mask.PathRule {
		return mask.PathRule{Path: text, At: "mask.yaml:" + text, Optional: optional, Rule: named(rule)}
	}
	rules := &mask.Rules{Tables: []mask.TableRules{{Name: shape.Name, Columns: []mask.ColumnRule{{Column: "c", Rule: mask.Rule{Name: mask.JSON, Paths: []mask.PathRule{
		path("a", false, mask.Hash), path("b.*.c", false, mask.Redact), path("b.*.d", false, mask.Redact), path("kept", false, mask.Keep), path("nosuch", true, mask.Hash),
	}}}}}}}
	for rows, want := range map[string]string{
		"\\N\n\\N\n": "",
		"{\"a\": 1, \"b\": [{\"c\": null}]}\n{\"kept\": true, \"b\": {\"x\": {\"d\": 1}}}\n": "",
		"{\"a\": 1}\n{\"b\": [{\"c\": 1}], \"kept\": 1}\n":                                   "mask.yaml:b.*.d: public.t.c: nothing is at b.*.d in 2 documents",
		"{}\n\\N\n": "mask.yaml:a: public.t.c: nothing is at a in 1 documents; mask.yaml:b.*.c: public.t.c: nothing is at b.*.c in 1 documents; " +
			"mask.yaml:b.*.d: public.t.c: nothing is at b.*.d in 1 documents; mask.yaml:kept: public.t.c: nothing is at kept in 1 documents",
	} {
		plan, _ := mask.Match(rules, []mask.Shape{shape}, false, 0)
		r := plan.Table(shape.Name).Masker(key(t, secret), []string{"c"}, false, 2, mask.NewSamples()).Reader(strings.NewReader(rows), 0, 2)
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(plan.Unreached(), "; "); got != want {
			t.Errorf("%q: %s, want %s", rows, got, want)
		}
	}
}
