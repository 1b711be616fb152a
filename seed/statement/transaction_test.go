package statement_test

import (
	"testing"

	"github.com/envdb/envdb/seed/statement"
)

func TestTransaction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sql string
		word      string // that the statement begins with; "" for none
		line      int
	}{
		{"none", "select 1; insert into t values ('commit; rollback')", "", 0},
		{"commit", "select 1;\n  commit;", "COMMIT", 2},
		{"end", "end", "END", 1},
		{"rollback", "/* a */ rollback work", "ROLLBACK", 1},
		{"a chain", "rollback and chain", "ROLLBACK", 1},
		{"begin", "\nbegin; select 1", "BEGIN", 2},
		{"start", "start transaction read only", "START", 1},
		{"abort", "abort", "ABORT", 1},
		{"two phases", "prepare transaction 'x'", "PREPARE", 1},
		{"a prepared statement", "prepare x as select 1", "", 0},
		{"savepoints", "savepoint a; rollback to a; rollback work to savepoint a; release a", "", 0},
		{"a body", "do $$ begin commit; end $$; create function f() returns int begin atomic select 1; end", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, found := statement.Transaction(c.sql)
			if found != (c.word != "") || found && s.Words[0] != c.word {
				t.Fatalf("found %t, %+v", found, s)
			}
			if line, _ := statement.Place(c.sql, s.Offset); found && line != c.line {
				t.Errorf("in line %d, want %d", line, c.line)
			}
		})
	}
}

func TestPlace(t *testing.T) {
	t.Parallel()
	if line, column := statement.Place("é\nüx;", 6); line != 2 || column != 3 {
		t.Errorf("%d:%d", line, column)
	}
}
