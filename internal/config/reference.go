package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/envdb/envdb"
)

// ErrUnset is wrapped by the error of a reference that leads nowhere: a
// variable that is not set, a file that cannot be read.
var ErrUnset = errors.New("reference leads nowhere")

// lookup returns the value of a variable of the process.
type lookup func(name string) (string, bool)

// text is a string of the file that may hold references. It is resolved when
// it is needed, and until then holds no secret.
type text struct {
	value
	raw string
	// word takes the place of {name} in a pattern; empty in any other.
	word string
}

// embedded is ${NAME}; $${ stands for itself.
var (
	embedded     = regexp.MustCompile(`\$?\$\{[^}]*\}?`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// references reads a scalar that may hold references, and checks their form.
func (v value) references() text {
	t := text{value: v, raw: v.raw()}
	for _, name := range t.variables() {
		if !variableName.MatchString(name) {
			v.fault("%q is not the name of a variable; write ${NAME}", name)
		}
	}
	return t
}

func (t text) empty() bool { return t.raw == "" }

// refers reports whether the text holds a reference at all.
func (t text) refers() bool {
	return len(t.variables()) > 0 || t.isFile()
}

// isWhole reports whether the text is one reference, and nothing beside it.
func (t text) isWhole() bool { return strings.HasPrefix(t.raw, "env:") || t.isFile() }

// isFile reports whether the whole text is file:PATH. A store's URL is not: it
// begins with the same word and means a directory.
func (t text) isFile() bool { return strings.HasPrefix(t.raw, "file:") }

// variables returns the names of the variables that the text refers to.
func (t text) variables() []string {
	if name, whole := strings.CutPrefix(t.raw, "env:"); whole {
		return []string{name}
	}
	var names []string
	for _, found := range embedded.FindAllString(t.raw, -1) {
		if !strings.HasPrefix(found, "$$") {
			names = append(names, nameIn(found))
		}
	}
	return names
}

// soleVariable returns the name of the variable that holds all of the text, or
// "" if the text is more than one reference, or none.
func (t text) soleVariable() string {
	names := t.variables()
	if len(names) != 1 || t.raw != "env:"+names[0] && t.raw != "${"+names[0]+"}" {
		return ""
	}
	return names[0]
}

// nameIn returns the name in ${NAME}. Without its brace it is returned as it
// stands, which is no name.
func nameIn(found string) string {
	if !strings.HasSuffix(found, "}") {
		return found
	}
	return strings.TrimSuffix(strings.TrimPrefix(found, "${"), "}")
}

// resolve returns the text with its references replaced.
func (t text) resolve(get lookup) (string, error) {
	var held string
	var err error
	switch {
	case strings.HasPrefix(t.raw, "env:"):
		held, err = t.variable(strings.TrimPrefix(t.raw, "env:"), get)
	case t.isFile():
		held, err = t.file()
	default:
		return t.expand(get)
	}
	if t.word != "" {
		held = named(held, t.word)
	}
	return held, err
}

// expand replaces every ${NAME}. What a variable holds is not looked at again.
func (t text) expand(get lookup) (string, error) {
	var errs error
	written := t.raw
	if t.word != "" {
		written = t.named(t.word)
	}
	expanded := embedded.ReplaceAllStringFunc(written, func(found string) string {
		if rest, escaped := strings.CutPrefix(found, "$$"); escaped {
			return "$" + rest
		}
		held, err := t.variable(nameIn(found), get)
		if errs == nil {
			errs = err
		}
		return held
	})
	return expanded, errs
}

func (t text) variable(name string, get lookup) (string, error) {
	held, set := get(name)
	switch {
	case !set:
		return "", t.unset("export "+name+" and try again", "the variable %s is not set", name)
	case strings.TrimSpace(held) == "":
		return "", t.unset("export "+name+" and try again", "the variable %s is empty", name)
	}
	return held, nil
}

// mostSecret bounds what is read from a file that should hold one line.
const mostSecret = 64 << 10

// file returns the content of file:PATH without the newline at its end.
func (t text) file() (string, error) {
	path := t.path()
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", t.unset("write the value into that file, or correct the path", "%v", err)
	case !info.Mode().IsRegular() || info.Size() > mostSecret:
		return "", t.unset("write the value into a file of its own", "%s is not a small file", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", t.unset("make the file readable for the user that runs envdb", "%v", err)
	}
	held := strings.TrimRight(string(content), "\r\n")
	if strings.TrimSpace(held) == "" {
		return "", t.unset("write the value into that file", "the file %s is empty", path)
	}
	return held, nil
}

// path returns the absolute path in file:PATH.
func (t text) path() string {
	path := strings.TrimPrefix(t.raw, "file:")
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.doc.dir, path)
	}
	return filepath.Clean(path)
}

// unset returns the error of a reference that leads nowhere.
func (t text) unset(next, format string, args ...any) error {
	return t.problem(fmt.Sprintf(format, args...), next, ErrUnset)
}

// problem returns an error about the text's place in the file, or about the
// variable or flag that it came from.
func (t text) problem(message, next string, cause error) error {
	if t.doc.name == "" {
		return &envdb.Problem{Kind: envdb.ErrPreflight, Text: t.sentence(message), Err: cause, State: "nothing was changed", Next: next}
	}
	f := t.doc.faultAt(t.at(), "", t.sentence(message))
	return &envdb.Problem{
		Kind: envdb.ErrPreflight, Text: f.Error(), Err: errors.Join(Faults{f}, cause),
		State: "nothing was changed", Next: next,
	}
}
