package statement

import "slices"

// transactionWords begin the statements that begin or end a transaction.
var transactionWords = []string{"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"}

// ControlsTransaction reports whether the statement begins or ends a
// transaction. Savepoints do not, and neither does what returns to one.
func (s Statement) ControlsTransaction() bool {
	if len(s.Words) == 0 || !slices.Contains(transactionWords, s.Words[0]) {
		return false
	}
	switch s.Words[0] {
	case "PREPARE":
		return len(s.Words) > 1 && s.Words[1] == "TRANSACTION"
	case "ROLLBACK":
		return !slices.Contains(s.Words, "TO")
	}
	return true
}

// Transaction returns the first statement of a text that begins or ends a
// transaction.
func Transaction(sql string) (s Statement, found bool) {
	for _, s := range Split(sql) {
		if s.ControlsTransaction() {
			return s, true
		}
	}
	return Statement{}, false
}

// Place returns the line and the column, both from 1, of a byte of a text.
func Place(text string, offset int) (line, column int) {
	line, column = 1, 1
	for _, r := range text[:min(offset, len(text))] {
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}
