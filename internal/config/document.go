package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/envdb/envdb"
)

// document is a parsed file that collects what is wrong with it, so that a
// person can correct everything at once.
type document struct {
	name     string // as shown to people
	dir      string // relative paths in the file start here
	lines    []string
	anchors  map[string]ast.Node
	faults   Faults
	warnings []Warning
	notes    []Warning
	daemon   bool            // it is noted that a daemon is needed
	listed   map[string]bool // mappings whose known keys were listed
}

// parse reads YAML. The error is a Problem with the position.
func parse(name, dir string, text []byte) (*document, value, error) {
	plain := strings.ReplaceAll(strings.TrimPrefix(string(text), "\ufeff"), "\r\n", "\n")
	d := &document{name: name, dir: dir, lines: strings.Split(plain, "\n"), anchors: map[string]ast.Node{}, listed: map[string]bool{}}
	file, err := parser.ParseBytes([]byte(plain), 0)
	if err != nil {
		return nil, value{}, d.syntax(err)
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case body == nil:
			body = doc.Body
		default:
			d.fault(start(doc.Body), "", "a second document begins here; the file holds one")
			return nil, value{}, d.faults.problem(envdb.ErrMisuse)
		}
	}
	if body == nil || body.Type() == ast.NullType {
		return nil, value{}, envdb.Fail(envdb.ErrMisuse, "%s is empty", name).WithState("nothing was changed").WithNext("envdb init writes a commented one")
	}
	ast.Walk(anchorFinder(d.anchors), body)
	return d, value{doc: d, node: body}, nil
}

// anchorFinder collects the anchors of a tree.
type anchorFinder map[string]ast.Node

// Visit implements ast.Visitor.
func (a anchorFinder) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		a[anchor.Name.GetToken().Value] = anchor.Value
	}
	return a
}

// syntax returns the parser's error as ours.
func (d *document) syntax(err error) error {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil {
		return envdb.Fail(envdb.ErrMisuse, "%s: %s", d.name, redact(err.Error())).WithNext("correct the file")
	}
	d.fault(at.GetToken().Position, "", "%s", redact(strings.ReplaceAll(at.GetMessage(), "\t", `\t`)))
	return d.faults.problem(envdb.ErrMisuse)
}

// fault records that something is wrong at a position.
func (d *document) fault(at *token.Position, hint, format string, args ...any) {
	d.faults = append(d.faults, d.faultAt(at, hint, fmt.Sprintf(format, args...)))
}

func (d *document) faultAt(at *token.Position, hint, message string) Fault {
	return Fault{
		File: d.name, Line: at.Line, Column: at.Column, Message: message, Hint: hint,
		excerpt: excerpt(d.lines, at.Line, at.Column, hint),
	}
}

// warn records that a person should look at a line.
func (d *document) warn(at *token.Position, format string, args ...any) {
	d.warnings = append(d.warnings, Warning{File: d.name, Line: at.Line, Text: fmt.Sprintf(format, args...)})
}

// note records what a person may not expect of a line that is right.
func (d *document) note(at *token.Position, format string, args ...any) {
	d.notes = append(d.notes, Warning{File: d.name, Line: at.Line, Text: fmt.Sprintf(format, args...)})
}
