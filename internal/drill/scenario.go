package drill

import (
	"strings"

	"github.com/envdb/envdb"
)

// Scenario is what goes wrong before the restore.
type Scenario string

// The scenarios. Restore is none: the backup is restored beside what is live,
// and checked. Schema migrates down and up again. Earthquake has nothing left
// but the bucket, a key and the configuration. The others damage what is live in
// the target, which the restore repairs.
const (
	Restore            Scenario = "restore"
	DropTable          Scenario = "drop-table"
	UpdateWithoutWhere Scenario = "update-without-where"
	DeleteRows         Scenario = "delete-rows"
	BadMigration       Scenario = "bad-migration"
	DropSchema         Scenario = "drop-schema"
	DropDatabase       Scenario = "drop-database"
	OwnSQL             Scenario = "sql"
	Schema             Scenario = "schema"
	Earthquake         Scenario = "earthquake"
)

// Scenarios lists all, each with a sentence on it.
func Scenarios() []struct {
	Name  Scenario
	Means string
} {
	return []struct {
		Name  Scenario
		Means string
	}{
		{Restore, "nothing is damaged: a backup is restored beside what is live, checked, and discarded"},
		{DropTable, "the largest table is dropped, with what depends on it"},
		{UpdateWithoutWhere, "a column of the largest table is overwritten in every row"},
		{DeleteRows, "every third row of the largest table that nothing refers to is deleted"},
		{BadMigration, "a migration makes a column anew under its name, and its values are lost"},
		{DropSchema, "a schema is dropped with all that is in it"},
		{DropDatabase, "the live database is dropped"},
		{OwnSQL, "what the drill's sql says"},
		{Schema, "the newest migration is taken back and applied again; the schemas must be equal"},
		{Earthquake, "an empty PostgreSQL cluster and an empty home; only the bucket, a key and the configuration are left"},
	}
}

// ScenarioNames are the names of all scenarios.
func ScenarioNames() []string {
	var names []string
	for _, s := range Scenarios() {
		names = append(names, string(s.Name))
	}
	return names
}

// Damages reports whether the scenario damages what is live in the target.
func (s Scenario) Damages() bool {
	switch s {
	case DropTable, UpdateWithoutWhere, DeleteRows, BadMigration, DropSchema, DropDatabase, OwnSQL:
		return true
	}
	return false
}

// ParseScenario returns the scenario of that name.
func ParseScenario(name string) (Scenario, error) {
	for _, s := range Scenarios() {
		if string(s.Name) == name {
			return s.Name, nil
		}
	}
	return "", envdb.Fail(envdb.ErrMisuse, "there is no scenario %q", name).WithNext("one of: %s", strings.Join(ScenarioNames(), ", "))
}
