package statement

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Texts splits SQL text at the semicolons that end statements. Those in
// quotes, dollar quotes, comments, parentheses and the BEGIN ATOMIC bodies of
// functions end none. The statements come without semicolon, comments kept;
// pieces of nothing but space and comments are left out. An unterminated
// quote reaches to the end of the text, where the server will complain.
func Texts(sql string) []string {
	var out []string
	for _, s := range Split(sql) {
		out = append(out, s.Text)
	}
	return out
}

// Statement is a statement of a longer text and the byte at which it begins.
type Statement struct {
	Text   string
	Offset int
	// Words are its first words in capitals, as many as tell what it is.
	Words []string
}

// keptWords is how many leading words a Statement remembers: enough for
// "CREATE OR REPLACE FUNCTION".
const keptWords = 4

// Split is Texts with positions and leading words.
func Split(sql string) []Statement {
	s := scanner{sql: sql}
	for s.at < len(sql) {
		s.step()
	}
	s.end(len(sql))
	return s.out
}

// scanner walks over SQL text token by token.
type scanner struct {
	sql    string
	at     int
	start  int // of the statement
	began  bool
	first  int // byte of its first token, once it began
	parens int
	atomic int // open BEGIN … END and CASE … END of a function body
	words  []string
	last   string // word
	out    []Statement
}

// step consumes one token or one character.
func (s *scanner) step() {
	rest := s.sql[s.at:]
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "--"):
		s.at += lineLength(rest)
	case strings.HasPrefix(rest, "/*"):
		s.at += commentLength(rest)
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
		s.at++
	case c == ';' && s.parens == 0 && s.atomic == 0:
		s.end(s.at)
		s.at++
		s.start = s.at
	default:
		s.token(rest)
	}
}

// token consumes a token of a statement.
func (s *scanner) token(rest string) {
	if !s.began {
		s.began, s.first = true, s.at
	}
	switch c := rest[0]; {
	case c == '\'':
		s.at += quotedLength(rest, '\'')
	case c == '"':
		s.at += quotedLength(rest, '"')
	case (c == 'e' || c == 'E') && len(rest) > 1 && rest[1] == '\'':
		s.at += 1 + escapedLength(rest[1:])
	case c == '$':
		s.at += dollarLength(rest)
	case c == '(':
		s.parens++
		s.at++
	case c == ')':
		s.parens = max(0, s.parens-1)
		s.at++
	default:
		n := wordLength(rest)
		s.word(strings.ToUpper(rest[:n]))
		s.at += max(1, n)
	}
}

// word keeps account of a word: a function's body in standard SQL stands
// between BEGIN ATOMIC and END, with CASE … END inside.
func (s *scanner) word(w string) {
	if w == "" {
		return
	}
	switch {
	case w == "ATOMIC" && s.atomic == 0 && s.last == "BEGIN" && s.definesRoutine():
		s.atomic = 1
	case s.atomic > 0 && (w == "CASE" || w == "BEGIN"):
		s.atomic++
	case s.atomic > 0 && w == "END":
		s.atomic--
	}
	s.last = w
	if len(s.words) < keptWords {
		s.words = append(s.words, w)
	}
}

func (s *scanner) definesRoutine() bool {
	if len(s.words) == 0 || s.words[0] != "CREATE" {
		return false
	}
	for _, w := range s.words[1:] {
		if w == "FUNCTION" || w == "PROCEDURE" {
			return true
		}
	}
	return false
}

// end closes the statement that reaches to byte at.
func (s *scanner) end(at int) {
	if s.began {
		s.out = append(s.out, Statement{
			Text:   strings.TrimSpace(s.sql[s.start:at]),
			Offset: s.first,
			Words:  s.words,
		})
	}
	s.began, s.words, s.parens, s.atomic = false, nil, 0, 0
}

func lineLength(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i + 1
	}
	return len(s)
}

// commentLength returns the length of a block comment; they nest.
func commentLength(s string) int {
	depth := 0
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(s)
}

// quotedLength returns the length of a quoted token, in which a doubled quote
// stands for one.
func quotedLength(s string, quote byte) int {
	for i := 1; i < len(s); i++ {
		if s[i] != quote {
			continue
		}
		if i+1 == len(s) || s[i+1] != quote {
			return i + 1
		}
		i++
	}
	return len(s)
}

// escapedLength is quotedLength for the literal of an E'…' string.
func escapedLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == '\'':
			return i + 1
		}
	}
	return len(s)
}

// dollarLength returns the length of a dollar-quoted string, or 1 for a dollar
// that begins none.
func dollarLength(s string) int {
	n := wordLength(s[1:])
	if strings.Contains(s[1:1+n], "$") {
		n = strings.IndexByte(s[1:], '$')
	}
	if 1+n >= len(s) || s[1+n] != '$' || n > 0 && unicode.IsDigit(rune(s[1])) {
		return 1
	}
	tag := s[:n+2]
	if i := strings.Index(s[len(tag):], tag); i >= 0 {
		return 2*len(tag) + i
	}
	return len(s)
}

// wordLength returns the length of the identifier or number that s begins
// with, 0 for anything else.
func wordLength(s string) int {
	n := 0
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		inner := n > 0 && (r == '$' || unicode.IsDigit(r))
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && r < utf8.RuneSelf && !inner {
			break
		}
		n += size
	}
	return n
}
