package mask

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
)

// documentField masks what stands at some places in a JSON document; versioned
// ones begin with a byte that says which version of jsonb they are. What the
// paths reached is counted.
func (k *Key) documentField(paths []PathRule, versioned bool, counts *reach) field {
	places := make([]place, len(paths))
	for i, p := range paths {
		places[i] = place{strings.Split(p.Path, "."), p.Rule.Name, k.textField(p.Rule, sort{kind: text}), &counts.places[i]}
	}
	return func(dst, in []byte) ([]byte, bool, error) {
		if versioned {
			if len(in) == 0 {
				return dst, false, malformed("jsonb")
			}
			dst, in = append(dst, in[0]), in[1:]
		}
		decoder := json.NewDecoder(bytes.NewReader(in))
		decoder.UseNumber()
		var v any
		if err := decoder.Decode(&v); err != nil {
			return dst, false, malformed("json")
		}
		counts.documents.Add(1)
		for _, p := range places {
			v = k.at(p, p.path, v)
		}
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			return dst, false, malformed("json")
		}
		return append(dst, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...), false, nil
	}
}

// place is a place in documents, and what masks it.
type place struct {
	path []string
	rule string
	text field
	hits *atomic.Int64
}

// anyKey stands for every key of an object and every element of an array.
const anyKey = "*"

// at masks what lies on the rest of the place's path below v.
func (k *Key) at(p place, path []string, v any) any {
	if len(path) == 0 {
		p.hits.Add(1)
		return k.inside(p, v)
	}
	switch x := v.(type) {
	case map[string]any:
		for key, below := range x {
			if path[0] == key || path[0] == anyKey {
				x[key] = k.at(p, path[1:], below)
			}
		}
	case []any:
		for i, below := range x {
			if path[0] == anyKey || path[0] == strconv.Itoa(i) {
				x[i] = k.at(p, path[1:], below)
			}
		}
	}
	return v
}

// inside masks a value, or every value in it.
func (k *Key) inside(p place, v any) any {
	if p.rule == Keep {
		return v
	}
	if p.rule == Null {
		return nil
	}
	switch x := v.(type) {
	case map[string]any:
		for key, below := range x {
			x[key] = k.inside(p, below)
		}
	case []any:
		for i, below := range x {
			x[i] = k.inside(p, below)
		}
	case string:
		out, _, err := p.text(nil, []byte(x))
		if err != nil {
			return nil
		}
		return string(out)
	case json.Number:
		return k.jsonNumber(p, x)
	case bool:
		if p.rule == Redact {
			return nil
		}
	}
	return v
}

// jsonNumber masks a number: by one with as many digits, if the rule is number,
// by 0, or by what masks its text.
func (k *Key) jsonNumber(p place, n json.Number) any {
	switch p.rule {
	case Redact:
		return json.Number("0")
	case Number:
		if v, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
			return json.Number(strconv.FormatInt(k.integer(v, 8), 10))
		}
		v, err := n.Float64()
		if err != nil {
			return json.Number("0")
		}
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', -1, 64), "e")
		masked, err := strconv.ParseFloat(string(k.digits(nil, []byte(mantissa)))+"e"+exponent, 64)
		if err != nil {
			return json.Number("0")
		}
		return masked
	}
	out, _, err := p.text(nil, []byte(n.String()))
	if err != nil {
		return nil
	}
	return string(out)
}
