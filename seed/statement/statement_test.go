package statement_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/envdb/envdb/seed/statement"
)

func TestStatements(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, sql string
		want      []string
	}{
		{"none", " \n;; -- nothing\n; /* ; */", nil},
		{"two", "select 1; select 2", []string{"select 1", "select 2"}},
		{"literal", "select ';''; '; select 2;", []string{"select ';''; '", "select 2"}},
		{"escapes", `select E'\'; ', e'\\'; select 2`, []string{`select E'\'; ', e'\\'`, "select 2"}},
		{"backslash in a plain literal", `select '\'; select 2`, []string{`select '\'`, "select 2"}},
		{"identifier", `select ";""; "; select 2`, []string{`select ";""; "`, "select 2"}},
		{"dollars", "do $$ begin; end $$; do $a$ $$; $a $; $a$; x", []string{"do $$ begin; end $$", "do $a$ $$; $a $; $a$", "x"}},
		{"parameters", "select $1; select a$1$; select 2", []string{"select $1", "select a$1$", "select 2"}},
		{"comments", "select 1 -- ; '\n; /* ; /* ; */ ' */ select 2", []string{"select 1 -- ; '", "/* ; /* ; */ ' */ select 2"}},
		{"parentheses", "create rule r as on insert to v do (select 1; select 2); x", []string{"create rule r as on insert to v do (select 1; select 2)", "x"}},
		{"body", "create function f() returns int begin atomic select case when true then 1 end; select 2; end; x",
			[]string{"create function f() returns int begin atomic select case when true then 1 end; select 2; end", "x"}},
		{"begin is no body", "begin; select 1; end; x", []string{"begin", "select 1", "end", "x"}},
		{"unterminated", "select 1; select 'a; b", []string{"select 1", "select 'a; b"}},
		{"words of other scripts", "comment on table é is 'ü;'; x", []string{"comment on table é is 'ü;'", "x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := statement.Texts(test.sql); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSplitSaysWhereAndWhat(t *testing.T) {
	t.Parallel()
	const sql = "select 1;\n -- now\n  Commit and chain"
	got := statement.Split(sql)
	if len(got) != 2 || sql[got[1].Offset:] != "Commit and chain" || !slices.Equal(got[1].Words, []string{"COMMIT", "AND", "CHAIN"}) {
		t.Errorf("got %+v", got)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	tokens := statement.Tokens(`GRANT ALL ON x."Y "" z" TO "a""b", Public; -- end`)
	var names []string
	for _, k := range tokens {
		names = append(names, k.Name())
	}
	if want := []string{"grant", "all", "on", "x", ".", `Y " z`, "to", `a"b`, ",", "public", ";"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	literals := statement.Tokens(`a E'x\\''),' b 'it''s' c E'\'' d`)
	if len(literals) != 7 || literals[1].Text != `E'x\\''),'` || literals[5].Text != `E'\''` {
		t.Errorf("literals are taken apart: %v", literals)
	}
	if !tokens[9].Is("PUBLIC") || tokens[7].Is("A\"B") {
		t.Error("keywords are not told from names")
	}
}

// TestNoByteIsLost holds for any text: what Texts returns is in it, in
// order, and tokens are where they say.
func TestNoByteIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sql := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{
			"'", "''", `"`, `""`, "$$", "$a$", "$1", ";", "--", "\n", "/*", "*/", "(", ")", " ", "E'", `\`, "begin", "atomic", "end", "create function", "é", "x", "_1",
		})).Draw(t, "sql"), "")
		rest := sql
		for _, s := range statement.Texts(sql) {
			i := strings.Index(rest, s)
			if i < 0 {
				t.Fatalf("%q is not in %q", s, rest)
			}
			rest = rest[i+len(s):]
		}
		end := 0
		for _, k := range statement.Tokens(sql) {
			if k.Start < end || k.End <= k.Start || sql[k.Start:k.End] != k.Text {
				t.Fatalf("token %+v after byte %d", k, end)
			}
			end = k.End
			_ = k.Name()
		}
	})
}
