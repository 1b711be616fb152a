package logical

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/envdb/envdb/seed/statement"
)

// PostgreSQL keeps expressions parsed and writes them out anew when asked. What
// it writes is not always what it would write of that again: a cast of an array
// becomes a cast of each element, and an output column without a name gets that
// of the type it is cast to. Both texts mean the same; a copy has the second.

// reworded reports whether two definitions differ in nothing but where
// PostgreSQL puts casts, the parentheses around what is cast, and the names that
// follow from casts. Operators, operands and their order, functions, names,
// literals, what is grouped with what, and the set of types that is cast to must
// be the same.
func reworded(before, after string) bool {
	a, b := readWording(before), readWording(after)
	return a.whole && b.whole && a.text() == b.text() && maps.Equal(a.casts, b.casts)
}

// shortened is reworded, where the second definition may besides lack what the
// first has in front of a column: the name of the relation and a period.
func shortened(before, after string) bool {
	a, b := readWording(before), readWording(after)
	return a.whole && b.whole && maps.Equal(a.casts, b.casts) && unqualified(a.nodes, b.nodes)
}

// unqualified reports whether b is a, less some qualifiers.
func unqualified(a, b []node) bool {
	for len(a) > 0 && len(b) > 0 {
		if qualifies(a) && !qualifies(b) {
			a = a[2:]
		}
		if a[0].token != b[0].token || !unqualified(a[0].inner, b[0].inner) {
			return false
		}
		a, b = a[1:], b[1:]
	}
	return len(a) == len(b)
}

// qualifies reports whether the first node is a name in front of another.
func qualifies(nodes []node) bool {
	return len(nodes) > 2 && nodes[0].word() && nodes[1].token == "." && (nodes[2].word() || nodes[2].token == "*")
}

// wording is a definition without its casts, and the types that they are to; of
// an array type, its element's.
type wording struct {
	nodes []node
	casts map[string]bool
	whole bool // every bracket has its other
}

// node is a token or what stands between two brackets.
type node struct {
	token string // "(" or "[" of brackets
	inner []node
	// column is the name that an output column has which is this and has no
	// other: that of the type it is cast to.
	column string
}

func readWording(definition string) wording {
	p := bracketParser{tokens: joinOperators(statement.Tokens(definition)), whole: true}
	nodes := p.until("")
	w := wording{casts: map[string]bool{}, whole: p.whole}
	w.nodes = w.plain(nodes)
	return w
}

// text writes the nodes such that no two sequences of them look the same.
func (w wording) text() string {
	var out strings.Builder
	var write func([]node)
	write = func(nodes []node) {
		for _, n := range nodes {
			out.WriteString(n.token + "\x00")
			if n.brackets() {
				write(n.inner)
				out.WriteString(")\x00")
			}
		}
	}
	write(w.nodes)
	return out.String()
}

func (n node) brackets() bool { return n.token == "(" || n.token == "[" }

func (n node) is(keyword string) bool { return statement.Token{Text: n.token}.Is(keyword) }

// word reports whether the node is a name or a keyword.
func (n node) word() bool {
	r, _ := utf8.DecodeRuneInString(n.token)
	return r == '_' || r == '"' || r >= utf8.RuneSelf || unicode.IsLetter(r) && !strings.Contains(n.token, "'")
}

// joinOperators puts the characters of an operator together, so that a < -1 and
// a <- 1 are not the same.
func joinOperators(tokens []statement.Token) []statement.Token {
	operator := func(s string) bool { return strings.Trim(s, "+-*/<>=~!@#%^&|`?:") == "" }
	var out []statement.Token
	for _, t := range tokens {
		last := len(out) - 1
		if last >= 0 && operator(t.Text) && operator(out[last].Text) && out[last].End == t.Start {
			out[last].Text += t.Text
			out[last].End = t.End
			continue
		}
		out = append(out, t)
	}
	return out
}

// bracketParser makes a tree of tokens.
type bracketParser struct {
	tokens []statement.Token
	at     int
	whole  bool
}

// until reads up to the closing bracket and over it; "" is the end.
func (p *bracketParser) until(closing string) []node {
	var out []node
	for p.at < len(p.tokens) {
		t := p.tokens[p.at].Text
		p.at++
		switch t {
		case "(":
			out = append(out, node{token: t, inner: p.until(")")})
		case "[":
			out = append(out, node{token: t, inner: p.until("]")})
		case ")", "]":
			p.whole = p.whole && t == closing
			return out
		default:
			out = append(out, node{token: t})
		}
	}
	p.whole = p.whole && closing == ""
	return out
}

// plain takes out casts, the names that follow from them, and the parentheses
// that only casts needed.
func (w *wording) plain(nodes []node) []node {
	var out []node
	for i := 0; i < len(nodes); i++ {
		n := nodes[i]
		switch last := len(out) - 1; {
		case n.token == "::" && last >= 0:
			name, column, length := castType(nodes[i+1:])
			w.casts[name] = true
			out[last].column = column
			i += length
		case n.is("AS") && last >= 0 && out[last].column != "" && i+1 < len(nodes) && plainWord(nodes[i+1]) == out[last].column:
			i++
		case n.brackets():
			n.inner = w.plain(n.inner)
			called := last >= 0 && out[last].word()
			field := i+1 < len(nodes) && nodes[i+1].token == "."
			out = append(out, unwrapped(n, called || field)...)
		default:
			out = append(out, n)
		}
	}
	return out
}

// plainWord returns the name that a node is.
func plainWord(n node) string { return statement.Token{Text: n.token}.Name() }

// unwrapped returns what brackets hold in as few brackets as mean the same. What
// follows a word stays in brackets: it may be what a function is given.
func unwrapped(n node, keep bool) []node {
	n.column = columnOf(n.inner)
	if n.token == "(" && len(n.inner) == 1 && n.inner[0].token == "(" && !listOrQuery(n.inner[0].inner) {
		n.inner = n.inner[0].inner
	}
	if n.token == "[" || keep || !primary(n.inner) {
		return []node{n}
	}
	out := slices.Clone(n.inner)
	out[len(out)-1].column = n.column
	return out
}

// columnOf returns what an output column is called that is nothing but what the
// brackets hold.
func columnOf(inner []node) string {
	if len(inner) == 0 {
		return ""
	}
	if len(inner) > 1 && !inner[0].is("SELECT") && !slices.ContainsFunc(inner, func(n node) bool { return n.is("COLLATE") }) && !primary(inner) {
		return ""
	}
	for _, n := range inner {
		if n.column != "" || n.token == "," || n.is("FROM") {
			return n.column
		}
	}
	return ""
}

func listOrQuery(inner []node) bool {
	if len(inner) > 0 && (inner[0].is("SELECT") || inner[0].is("WITH") || inner[0].is("VALUES")) {
		return true
	}
	return slices.ContainsFunc(inner, func(n node) bool { return n.token == "," })
}

// primary reports whether the nodes need no brackets to belong together: a
// literal, a name, an array, a function's call.
func primary(nodes []node) bool {
	if len(nodes) == 0 || nodes[0].is("NOT") {
		return false
	}
	if len(nodes) == 1 {
		return !nodes[0].brackets() || !listOrQuery(nodes[0].inner)
	}
	for i, n := range nodes {
		switch last := i == len(nodes)-1; {
		case last && n.brackets() && nodes[i-1].word():
			return true
		case i%2 == 0 && !n.word(), i%2 == 1 && n.token != ".":
			return false
		}
	}
	return len(nodes)%2 == 1
}
