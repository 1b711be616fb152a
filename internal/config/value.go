package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/envdb/envdb"
)

// value is a node of the document with its path. Its readers record a fault
// and return the zero value where the node is not what they read.
type value struct {
	doc  *document
	node ast.Node
	// path names the value for people ("environments.prod.url"), schema for
	// the table of refused keys ("environments.*.url").
	path, schema string
	// key is where the value's key stands; nil for the items of a list.
	key *token.Position
}

// entry is one key of a mapping with its value.
type entry struct {
	name string
	at   *token.Position // of the name
	value
}

// fields says what reads the value of each key that a mapping may have.
type fields map[string]func(value)

func (v value) at() *token.Position {
	if v.node == nil {
		return &token.Position{Line: 1, Column: 1}
	}
	return start(v.node)
}

// start is where a node begins. The parser says of a mapping where its first
// colon is.
func start(n ast.Node) *token.Position {
	if m, isMapping := n.(*ast.MappingNode); isMapping && !m.IsFlowStyle && len(m.Values) > 0 {
		return start(m.Values[0].Key)
	}
	if pair, isPair := n.(*ast.MappingValueNode); isPair {
		return start(pair.Key)
	}
	return n.GetToken().Position
}

// fault records what is wrong with the value.
func (v value) fault(format string, args ...any) {
	v.hint("", format, args...)
}

// hint is fault with a word behind the caret.
func (v value) hint(hint, format string, args ...any) {
	v.doc.fault(v.at(), hint, "%s", v.sentence(fmt.Sprintf(format, args...)))
}

// predicate is the beginning of a message whose subject is the value.
var predicate = regexp.MustCompile(`^(is|has|names|begins|holds) `)

// sentence puts the value's path before a message.
func (v value) sentence(message string) string {
	if predicate.MatchString(message) {
		return v.title() + " " + message
	}
	return v.title() + ": " + message
}

// failed records an error of the vocabulary: its advice is the hint.
func (v value) failed(err error) {
	var p *envdb.Problem
	if errors.As(err, &p) {
		v.hint(p.Next, "%s", p.Text)
		return
	}
	v.fault("%v", err)
}

func (v value) title() string {
	if v.path == "" {
		return "the file"
	}
	return v.path
}

// object reads a mapping whose keys are known, and returns what it has.
func (v value) object(known fields) map[string]entry {
	seen := map[string]entry{}
	for _, e := range v.entries() {
		e.schema = join(v.schema, e.name)
		read, found := known[e.name]
		if !found {
			if meant := v.unknown(e, known); meant != "" {
				seen[meant] = e // it is not missing, then
			}
			continue
		}
		seen[e.name] = e
		read(e.value)
	}
	return seen
}

// unknown records a key that is not known, or not yet, and returns the one that
// was probably meant.
func (v value) unknown(e entry, known fields) (meant string) {
	if v.path == "" && strings.HasPrefix(e.name, "x-") {
		return "" // a place for anchors, as in other tools' files
	}
	if what, later := notInThisVersion[e.schema]; later {
		v.doc.fault(e.at, "remove it", "%s: this version of envdb has no %s", e.path, what)
		return ""
	}
	if key, moved := elsewhere[e.schema]; moved {
		section, below, _ := strings.Cut(key, ".")
		v.doc.fault(e.at, fmt.Sprintf("write it below %s: %[1]s: {%s: …}", section, below), "%s: the key is %s", e.path, key)
		return ""
	}
	names := slices.Sorted(maps.Keys(known))
	meant = nearest(e.name, names)
	hint := ""
	switch {
	case meant != "":
		hint = fmt.Sprintf("did you mean %q?", meant)
	case !v.doc.listed[v.schema]:
		hint = "known are " + strings.Join(names, ", ")
		v.doc.listed[v.schema] = true
	}
	message := fmt.Sprintf("unknown key %q", e.name)
	if v.path != "" {
		message += " in " + v.path
	}
	v.doc.fault(e.at, hint, "%s", message)
	return meant
}

// require records each key that a mapping must have and does not.
func (v value) require(seen map[string]entry, keys ...string) {
	if _, isMapping := mappingOf(v.plain()); !isMapping {
		return
	}
	at := v.key
	if at == nil {
		at = v.at()
	}
	for _, key := range keys {
		if _, found := seen[key]; !found {
			v.doc.fault(at, "", "%s: the key %q is missing", v.title(), key)
		}
	}
}

// entries reads a mapping whose keys are free.
func (v value) entries() []entry {
	pairs, isMapping := mappingOf(v.plain())
	if !isMapping {
		v.fault("is %s; keys with values are expected", v.kind())
		return nil
	}
	return v.collect(pairs, 0)
}

// mostMerges bounds how deep merge keys go: an anchor may merge itself.
const mostMerges = 8

// collect returns the entries of a mapping; those of merge keys come last and
// yield to what the mapping itself says.
func (v value) collect(pairs []*ast.MappingValueNode, depth int) []entry {
	var own, merged []entry
	for _, pair := range pairs {
		if _, isMerge := pair.Key.(*ast.MergeKeyNode); isMerge {
			from := v.doc.plain(pair.Value)
			more, isMapping := mappingOf(from)
			if !isMapping || depth == mostMerges {
				v.doc.fault(pair.Key.GetToken().Position, "", "%s: << merges one mapping, by its anchor", v.title())
				continue
			}
			merged = append(merged, v.collect(more, depth+1)...)
			continue
		}
		key, isScalar := v.doc.plain(pair.Key).(ast.ScalarNode)
		if !isScalar {
			v.doc.fault(pair.Key.GetToken().Position, "", "%s: a key is a text", v.title())
			continue
		}
		name := textOf(key)
		own = append(own, entry{name: name, at: key.GetToken().Position, value: value{
			doc: v.doc, node: pair.Value, path: join(v.path, name), schema: join(v.schema, "*"), key: key.GetToken().Position,
		}})
	}
	for _, e := range merged {
		if !slices.ContainsFunc(own, func(o entry) bool { return o.name == e.name }) {
			own = append(own, e)
		}
	}
	return own
}

// list reads a sequence.
func (v value) list() []value {
	sequence, isSequence := v.plain().(*ast.SequenceNode)
	if !isSequence {
		v.fault("is %s; a list is expected: [ … ]", v.kind())
		return nil
	}
	items := make([]value, len(sequence.Values))
	for i, n := range sequence.Values {
		items[i] = value{doc: v.doc, node: n, path: fmt.Sprintf("%s[%d]", v.path, i), schema: v.schema}
	}
	return items
}

// texts reads a sequence of texts.
func (v value) texts() []string {
	var texts []string
	for _, item := range v.list() {
		if text := item.text(); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// text reads a scalar that has no references. It may not be empty.
func (v value) text() string {
	text := v.raw()
	if strings.Contains(text, "${") {
		v.fault("${…} is resolved in URLs, database names and settings only")
	}
	return text
}

// raw reads a scalar as it stands in the file. It may not be empty.
func (v value) raw() string {
	switch n := v.plain().(type) {
	case *ast.NullNode:
		v.fault("has no value")
	case *ast.TagNode:
		v.fault("is %s; tags are not read", v.kind())
	case ast.ScalarNode:
		if textOf(n) == "" {
			v.fault("is empty")
		}
		return textOf(n)
	default:
		v.fault("is %s; one value is expected", v.kind())
	}
	return ""
}

// integer reads a whole number that is at least least.
func (v value) integer(least int) int {
	n, err := strconv.Atoi(v.plainText())
	switch {
	case err != nil:
		v.fault("is %s; a whole number is expected", v.kind())
	case n < least:
		v.fault("is %d; the least is %d", n, least)
	}
	return n
}

// boolean reads true or false.
func (v value) boolean() bool {
	b, isBool := v.plain().(*ast.BoolNode)
	if !isBool {
		v.fault("is %s; true or false is expected", v.kind())
		return false
	}
	return b.Value
}

// duration reads a span such as 15m or 7d.
func (v value) duration() time.Duration {
	text := v.text()
	if text == "" {
		return 0
	}
	d, err := envdb.ParseDuration(text)
	if err != nil {
		v.failed(err)
	}
	return d
}

// choice reads one of a few words; what names them.
func (v value) choice(what string, words ...string) string {
	text := v.text()
	if text == "" || slices.Contains(words, text) {
		return text
	}
	hint := "use one of " + strings.Join(words, ", ")
	if near := nearest(text, words); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	v.hint(hint, "unknown %s %q", what, text)
	return ""
}

// name reads the name of a project or an environment.
func (v value) name() string {
	text := v.text()
	if text == "" {
		return ""
	}
	if err := envdb.CheckName(text); err != nil {
		v.failed(err)
	}
	return text
}

// plain returns the node without anchors and aliases.
func (v value) plain() ast.Node { return v.doc.plain(v.node) }

func (v value) plainText() string {
	if n, isScalar := v.plain().(ast.ScalarNode); isScalar {
		return textOf(n)
	}
	return ""
}

func (d *document) plain(n ast.Node) ast.Node {
	for range mostMerges {
		switch x := n.(type) {
		case *ast.AnchorNode:
			n = x.Value
		case *ast.AliasNode:
			n = d.anchors[x.Value.GetToken().Value]
		case *ast.MappingKeyNode:
			n = x.Value
		default:
			return n
		}
	}
	return nil
}

// kind names what the node is, for people. It does not show the value, which
// may be a secret.
func (v value) kind() string {
	switch n := v.plain().(type) {
	case nil:
		return "an alias without its anchor"
	case *ast.NullNode:
		return "empty"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.TagNode:
		return "tagged with " + n.Start.Value
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	}
	return "a text"
}

func mappingOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch x := n.(type) {
	case *ast.MappingNode:
		return x.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{x}, true
	}
	return nil, false
}

// textOf returns a scalar as it stands in the file, without its quotes.
func textOf(n ast.Node) string {
	switch x := n.(type) {
	case *ast.StringNode:
		return x.Value
	case *ast.LiteralNode:
		return x.Value.Value
	}
	return n.GetToken().Value
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
