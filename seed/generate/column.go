package generate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/seed/fake"
	"github.com/envdb/envdb/seed/fixture"
)

// kinds reads what makes a column, by the key that says so.
func kinds() map[string]func(c *Column, v fixture.Value, all fixture.Value) (kind, error) {
	return map[string]func(*Column, fixture.Value, fixture.Value) (kind, error){
		"sequence":   readSequence,
		"serial":     readSequence,
		"fake":       readFake,
		"choice":     readChoice,
		"range":      readRange,
		"time":       readTimes,
		"value":      func(_ *Column, v, _ fixture.Value) (kind, error) { return constant{v}, nil },
		"format":     readFormat,
		"references": readReference,
		"uuid":       func(*Column, fixture.Value, fixture.Value) (kind, error) { return uuids{}, nil },
		"text":       readText,
	}
}

// modifiers are the keys beside the one that says what makes a column.
var modifiers = []string{"null", "unique", "weights", "decimals", "args"}

// column reads what makes a column: a word, or a mapping.
func column(f fixture.Cell) (Column, error) {
	c := Column{Name: f.Name, At: f.At}
	var err error
	switch f.Value.Kind {
	case fixture.Map:
		err = c.read(f.Value)
	case fixture.Text:
		err = c.word(f.Value)
	case fixture.List:
		err = c.fail("is a list; {choice: […]} picks one of it")
	default:
		c.kind = constant{f.Value}
	}
	return c, err
}

// word reads a column that is one word: sequence, uuid, or a kind of fake data.
func (c *Column) word(v fixture.Value) (err error) {
	switch v.Text {
	case "sequence", "serial":
		c.kind = sequence{step: 1}
	case "uuid":
		c.kind = uuids{}
	default:
		if c.kind, err = readFake(c, v, fixture.Value{}); err != nil {
			p := c.fail("%q makes nothing: it is neither sequence, uuid nor a kind of fake data", v.Text)
			return p.WithNext("for a value that is always the same write {value: %s}", v.Text)
		}
	}
	return nil
}

// read reads a column that is a mapping.
func (c *Column) read(v fixture.Value) error {
	known := kinds()
	for _, f := range v.Fields {
		reader, isKind := known[f.Name]
		switch {
		case isKind && c.kind != nil:
			return c.fail("has two keys that make values, %s is one too many", f.Name)
		case isKind:
			made, err := reader(c, f.Value, v)
			if err != nil {
				return err
			}
			c.kind = made
		case !slices.Contains(modifiers, f.Name):
			return f.At.Fail("unknown key %q for the column %s", f.Name, c.Name).
				WithNext("values are made by sequence, uuid, fake, choice, range, time, value, format, text or references; beside it stand null, unique, weights, decimals and args")
		}
	}
	if c.kind == nil {
		return c.fail("says nothing that makes values").
			WithNext("add sequence, uuid, fake, choice, range, time, value, format, text or references")
	}
	return c.modify(v)
}

// modify reads the keys that any kind may have.
func (c *Column) modify(v fixture.Value) error {
	if n, found := v.Field("null"); found {
		share, err := fraction(n.Text)
		if err != nil || share < 0 || share > 1 {
			return n.At.Fail("null: %q is not a share of the rows", n.Text).WithNext("write 0.2 or 20%%")
		}
		c.Null = share
	}
	if u, found := v.Field("unique"); found {
		if u.Kind != fixture.Bool {
			return u.At.Fail("unique is %s; true or false is expected", u.Kind)
		}
		c.Unique = strings.EqualFold(u.Text, "true")
	}
	return nil
}

func fraction(text string) (float64, error) {
	if percent, found := strings.CutSuffix(text, "%"); found {
		n, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
		return n / 100, err
	}
	return strconv.ParseFloat(text, 64)
}

func readSequence(c *Column, v, _ fixture.Value) (kind, error) {
	s := sequence{step: 1}
	var err error
	switch v.Kind {
	case fixture.Null, fixture.Bool:
	case fixture.Number:
		s.start, err = strconv.ParseInt(v.Decimal(), 10, 64)
		s.set = true
	case fixture.Map:
		for _, f := range v.Fields {
			n, notNumber := strconv.ParseInt(f.Value.Decimal(), 10, 64)
			switch {
			case notNumber != nil:
				err = notNumber
			case f.Name == "start":
				s.start, s.set = n, true
			case f.Name == "step" && n != 0:
				s.step = n
			default:
				return nil, f.At.Fail("a sequence has start and step, not %s: %s", f.Name, f.Value.Text)
			}
		}
	default:
		return nil, c.fail("sequence is %s; a first number, or {start: 1, step: 1}, is expected", v.Kind)
	}
	if err != nil {
		return nil, c.fail("sequence: %w", err)
	}
	return s, nil
}

func readFake(c *Column, v, all fixture.Value) (kind, error) {
	var args []string
	if list, found := all.Field("args"); found {
		for _, a := range list.Items {
			args = append(args, a.Decimal())
		}
	}
	k, err := fake.Find(v.Text, args...)
	if err != nil {
		_, next := envdb.Advice(err)
		return nil, c.fail("%w", err).WithNext("%s", next)
	}
	return fakes{k}, nil
}

// readChoice reads a list of values, or a mapping of values to weights.
func readChoice(c *Column, v, all fixture.Value) (kind, error) {
	made := choice{}
	switch v.Kind {
	case fixture.List:
		made.values = v.Items
	case fixture.Map:
		for _, f := range v.Fields {
			made.values = append(made.values, fixture.Value{At: f.At, Kind: fixture.Text, Text: f.Name})
		}
	}
	if len(made.values) == 0 {
		return nil, c.fail("choice is %s; a list of values is expected, or values with their weights", v.Kind)
	}
	weights, given := all.Field("weights")
	if v.Kind == fixture.Map {
		weights, given = fixture.Value{At: v.At, Kind: fixture.List}, true
		for _, f := range v.Fields {
			weights.Items = append(weights.Items, f.Value)
		}
	}
	if !given {
		return made, nil
	}
	if len(weights.Items) != len(made.values) {
		return nil, weights.At.Fail("column %s: %d weights for %d values", c.Name, len(weights.Items), len(made.values))
	}
	total := 0.0
	for _, w := range weights.Items {
		n, err := fraction(w.Text)
		if err != nil || n < 0 {
			return nil, w.At.Fail("column %s: the weight %q is not a number", c.Name, w.Text)
		}
		total += n
		made.bounds = append(made.bounds, total)
	}
	if total == 0 {
		return nil, weights.At.Fail("column %s: all weights are 0", c.Name)
	}
	return made, nil
}

func readRange(c *Column, v, all fixture.Value) (kind, error) {
	if len(v.Items) != 2 {
		return nil, c.fail("range takes the least and the largest number: [1, 100]")
	}
	decimals := 0
	if d, found := all.Field("decimals"); found {
		n, err := strconv.Atoi(d.Decimal())
		if err != nil || n < 0 || n > 15 {
			return nil, d.At.Fail("decimals: %q is not a number from 0 to 15", d.Text)
		}
		decimals = n
	}
	var bounds [2]int64
	for i, item := range v.Items {
		n, err := scaled(item.Decimal(), decimals)
		if err != nil {
			return nil, item.At.Fail("column %s: %q is not a number with %d decimals", c.Name, item.Text, decimals).
				WithNext("say how many decimals: there are: {range: [0, 9.99], decimals: 2}")
		}
		bounds[i] = n
	}
	if bounds[0] > bounds[1] {
		return nil, v.At.Fail("column %s: the range begins after it ends", c.Name)
	}
	return numbers{least: bounds[0], most: bounds[1], decimals: decimals}, nil
}

// scaled reads a decimal number as a multiple of its last decimal.
func scaled(text string, decimals int) (int64, error) {
	whole, part, _ := strings.Cut(text, ".")
	if len(part) > decimals {
		part = strings.TrimRight(part, "0")
	}
	if len(part) > decimals {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(whole+part+strings.Repeat("0", decimals-len(part)), 10, 64)
}

func readTimes(c *Column, v, _ fixture.Value) (kind, error) {
	if len(v.Items) != 2 {
		return nil, c.fail(`time takes the first and the last moment: ["90d ago", now]`)
	}
	var bounds [2]moment
	for i, item := range v.Items {
		m, err := readMoment(item.Text)
		if err != nil {
			return nil, item.At.Fail("column %s: %q is not a moment", c.Name, item.Text).
				WithNext(`write now, "3d ago", "in 3d", 2026-01-31 or 2026-01-31T12:00:00Z`)
		}
		bounds[i] = m
	}
	return times{from: bounds[0], to: bounds[1]}, nil
}

// moment is a time, or a distance from the clock.
type moment struct {
	relative bool
	offset   time.Duration
	fixed    time.Time
}

func (m moment) at(clock time.Time) time.Time {
	if m.relative {
		return clock.Add(m.offset)
	}
	return m.fixed
}

func readMoment(text string) (moment, error) {
	if text == "now" {
		return moment{relative: true}, nil
	}
	if span, found := strings.CutSuffix(text, " ago"); found {
		d, err := envdb.ParseDuration(span)
		return moment{relative: true, offset: -d}, err
	}
	if span, found := strings.CutPrefix(text, "in "); found {
		d, err := envdb.ParseDuration(span)
		return moment{relative: true, offset: d}, err
	}
	var err error
	for _, layout := range []string{time.DateOnly, time.DateTime, time.RFC3339} {
		var t time.Time
		if t, err = time.Parse(layout, text); err == nil {
			return moment{fixed: t.UTC()}, nil
		}
	}
	return moment{}, err
}

func readReference(c *Column, v, _ fixture.Value) (kind, error) {
	if v.Text == "" {
		return nil, c.fail("references names a table, or table.column")
	}
	c.References = v.Text
	return reference{}, nil
}

// readText reads how long filler text is: a number of characters, or bounds.
func readText(c *Column, v, _ fixture.Value) (kind, error) {
	bounds := v.Items
	if v.Kind == fixture.Number {
		bounds = []fixture.Value{v, v}
	}
	if len(bounds) != 2 {
		return nil, c.fail("text takes a number of characters, or the least and the most: [20, 200]")
	}
	least, err := strconv.Atoi(bounds[0].Decimal())
	most, err2 := strconv.Atoi(bounds[1].Decimal())
	if err != nil || err2 != nil || least < 0 || most < least {
		return nil, c.fail("text: from %s to %s characters is no length", bounds[0].Text, bounds[1].Text)
	}
	return filler{least, most}, nil
}

// readFormat reads a text with {row} and {column} in it.
func readFormat(c *Column, v, _ fixture.Value) (kind, error) {
	if !v.Scalar() {
		return nil, c.fail("format is %s; a text such as \"ORD-{row:06}\" is expected", v.Kind)
	}
	return format{text: v.Text}, nil
}
