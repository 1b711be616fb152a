package statement

import "strings"

// Token is a word, a quoted name or literal, or a single other character of
// SQL text, with the bytes it lies at.
type Token struct {
	Text       string
	Start, End int
}

// Tokens returns the tokens of SQL text, without space and comments.
func Tokens(sql string) []Token {
	var out []Token
	s := scanner{sql: sql}
	for s.at < len(sql) {
		at, depth := s.at, s.began
		s.began = false
		s.step()
		if s.began || sql[at] == ';' {
			out = append(out, Token{Text: sql[at:s.at], Start: at, End: s.at})
		}
		s.began = s.began || depth
	}
	return out
}

// Is reports whether the token is the keyword, which is given in capitals. A
// quoted name is never a keyword.
func (t Token) Is(keyword string) bool { return strings.EqualFold(t.Text, keyword) }

// Name returns the identifier that the token is, as the server reads it.
func (t Token) Name() string {
	if len(t.Text) >= 2 && t.Text[0] == '"' {
		return strings.ReplaceAll(t.Text[1:len(t.Text)-1], `""`, `"`)
	}
	return strings.ToLower(t.Text)
}
