package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/envdb/envdb"
)

// Fault is one thing that is wrong with the file, and where.
type Fault struct {
	File         string
	Line, Column int // from 1
	Message      string
	// Hint stands behind the caret: what was probably meant.
	Hint string

	excerpt string
}

// Error returns position and message, and below them the line with a caret.
func (f Fault) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s\n%s", f.File, f.Line, f.Column, f.Message, f.excerpt)
}

// Faults is everything that is wrong with a file, in the order of its lines.
type Faults []Fault

// mostFaults is how many faults are written out: the first ones matter.
const mostFaults = 12

// Error returns all faults, up to a number that a person reads.
func (fs Faults) Error() string {
	var texts []string
	for i, f := range fs {
		if i == mostFaults {
			texts = append(texts, fmt.Sprintf("… and %d more", len(fs)-mostFaults))
			break
		}
		texts = append(texts, f.Error())
	}
	return strings.Join(texts, "\n")
}

// problem returns the faults as an error for a person.
func (fs Faults) problem(kind error) *envdb.Problem {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	p := envdb.Fail(kind, "%w", fs).WithState("nothing was changed")
	return p.WithNext("correct the file, then check it with `envdb doctor`")
}

// Warning is something that works, and that a person should look at.
type Warning struct {
	File string
	Line int // 0 when the warning is not about a line
	Text string
}

// String returns the warning behind its position.
func (w Warning) String() string {
	if w.Line == 0 {
		return w.Text
	}
	return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Text)
}

// secrets are the places where a line of the file may show a password: in the
// authority of a URL, as the value of a telling key, in the path of a chat's
// URL, and in an age identity.
var secrets = []*regexp.Regexp{
	regexp.MustCompile(`(://hooks\.slack\.com/)([^\s"',}]+)()`),
	regexp.MustCompile(`(?i)((?:authorization|cookie|api[_-]?key|signature|credential)[A-Za-z_-]*["']?\s*:\s*)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,}]+)()`),
	regexp.MustCompile(`(s3://)([^\s]*)(@)`),
	regexp.MustCompile(`(?i)(AGE-SECRET-KEY-)([A-Z0-9-]+)()`),
	regexp.MustCompile(`(://[^:/@\s]*:)([^\s]*)(@)`),
	regexp.MustCompile(`(?i)((?:password|passwd|passphrase|secret|token)["']?\s*[:=]\s*)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s&,}]+)()`),
}

// byReference matches a value that names a secret without holding it.
var byReference = regexp.MustCompile(`^["']?(env:|file:|\$\{)`)

// redact hides what may be a password in text.
func redact(text string) string {
	for _, form := range secrets {
		text = form.ReplaceAllStringFunc(text, func(found string) string {
			groups := form.FindStringSubmatch(found)
			if byReference.MatchString(groups[2]) {
				return found
			}
			return groups[1] + "xxxxx" + groups[3]
		})
	}
	return text
}

// excerpt shows a line with the one before it, and a caret below the column.
func excerpt(lines []string, line, column int, hint string) string {
	if line < 1 || line > len(lines) {
		return ""
	}
	var b strings.Builder
	for n := max(1, line-1); n <= line; n++ {
		if n == line || strings.TrimSpace(lines[n-1]) != "" {
			fmt.Fprintf(&b, "%6d | %s\n", n, redact(lines[n-1]))
		}
	}
	fmt.Fprintf(&b, "       | %s^", pad(lines[line-1], column))
	if hint != "" {
		b.WriteString(" " + hint)
	}
	b.WriteString("\n")
	return b.String()
}

// pad returns blanks up to the column, with tabs where the line has tabs.
func pad(line string, column int) string {
	before := []rune(line)
	if column-1 < len(before) {
		before = before[:max(0, column-1)]
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, redact(string(before)))
}
