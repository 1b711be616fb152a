package seed

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/envdb/envdb/seed/fixture"
)

// text returns a value as the input function of the column's type reads it.
// Null and expressions are not for it.
func (c *column) text(v fixture.Value) (string, error) {
	return textFor(v, c.base, c.category, c.element)
}

func textFor(v fixture.Value, base, category, element string) (string, error) {
	switch {
	case v.Kind == fixture.Expression:
		return "", v.At.Fail("RAW=%s is an SQL expression, which cannot stand here", v.Text)
	case base == "json" || base == "jsonb":
		return jsonText(v), nil
	case base == "bytea":
		return byteaText(v)
	case category == "A" && v.Kind == fixture.List:
		return arrayText(v, element)
	case v.Kind == fixture.Binary:
		return `\x` + hex.EncodeToString([]byte(v.Text)), nil
	case !v.Scalar():
		return v.JSON(), nil // as go-testfixtures does for any column
	case textual(base):
		return v.Text, nil
	}
	return v.Decimal(), nil
}

// textual reports whether a type takes words as they stand: "007" stays so.
func textual(base string) bool {
	switch base {
	case "text", "varchar", "bpchar", "name", "citext", "char":
		return true
	}
	return false
}

// jsonText takes a text that is JSON as it is, and makes JSON of any other
// value.
func jsonText(v fixture.Value) string {
	if v.Kind == fixture.Text && json.Valid([]byte(v.Text)) {
		return v.Text
	}
	return v.JSON()
}

// byteaText reads 0x… and PostgreSQL's own \x…; any other text is its bytes.
func byteaText(v fixture.Value) (string, error) {
	if digits, isHex := strings.CutPrefix(v.Text, "0x"); isHex && v.Kind != fixture.Binary && !v.Literal {
		if _, err := hex.DecodeString(digits); err != nil {
			return "", v.At.Fail("0x… is not hexadecimal: %w", err)
		}
		return `\x` + digits, nil
	}
	if strings.HasPrefix(v.Text, `\x`) && v.Kind == fixture.Text && !v.Literal {
		return v.Text, nil
	}
	if !v.Scalar() {
		return `\x` + hex.EncodeToString([]byte(v.JSON())), nil
	}
	return `\x` + hex.EncodeToString([]byte(v.Text)), nil
}

// arrayText writes an array; lists in a list are its further dimensions.
func arrayText(v fixture.Value, element string) (string, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, item := range v.Items {
		if i > 0 {
			b.WriteByte(',')
		}
		switch {
		case item.Kind == fixture.Null:
			b.WriteString("NULL")
			continue
		case item.Kind == fixture.List && element != "json" && element != "jsonb":
			inner, err := arrayText(item, element)
			if err != nil {
				return "", err
			}
			b.WriteString(inner)
			continue
		}
		text, err := textFor(item, element, "", "")
		if err != nil {
			return "", err
		}
		b.WriteByte('"')
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String(), nil
}

// keyText returns what stands for a label in a column of the type; ok is false
// where nothing does.
func (c *column) keyText(label string) (text string, ok bool) {
	switch {
	case c.base == "int4" || c.base == "int8" || c.base == "numeric":
		return decimal(fixture.ID(label)), true
	case c.base == "uuid":
		return fixture.UUID(label), true
	case textual(c.base):
		return label, true
	}
	return "", false
}

// couldBe reports whether a word may be a value of the column's type, rather
// than a label.
func (c *column) couldBe(word string) bool {
	switch c.base {
	case "int2", "int4", "int8", "numeric":
		return strings.Trim(word, "+-0123456789._") == "" && word != ""
	case "uuid":
		digits := strings.ReplaceAll(strings.Trim(word, "{}"), "-", "")
		_, err := hex.DecodeString(digits)
		return err == nil && len(digits) == 32
	}
	return true
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
