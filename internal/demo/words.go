package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/envdb/envdb"
)

// typed returns a command line as a person would type it.
func typed(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = arg
		if strings.ContainsAny(arg, " '\"") {
			words[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// plain returns a value of a query's result for people.
func plain(value any) string {
	if n, ok := value.(pgtype.Numeric); ok {
		if text, err := n.Value(); err == nil {
			return fmt.Sprint(text)
		}
	}
	return fmt.Sprint(value)
}

// oldestBackup returns the id of the first backup of production: the demo
// looks where everything is, in the store.
func (d *demo) oldestBackup() (string, error) {
	found, err := filepath.Glob(filepath.Join(d.objects(), "*", "backups", "prod", "*"))
	if err != nil || len(found) == 0 {
		return "", envdb.Fail(envdb.ErrNotFound, "the demo's store holds no backup").WithNext("run the demo again")
	}
	slices.Sort(found)
	if _, err := os.Stat(found[0]); err != nil {
		return "", err
	}
	return filepath.Base(found[0]), nil
}
