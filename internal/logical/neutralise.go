package logical

import (
	"fmt"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/internal/postgres"
)

// Neutralisation makes a copy harmless before anyone can connect to it:
// subscriptions are disabled and forget their slot and password, publications
// and user mappings of foreign servers are not created, jobs of pg_cron and
// event triggers are off, and the user's SQL files are run.
type Neutralisation struct {
	// KeepSettings are custom (dotted) settings of the source's database that
	// are carried over all the same.
	KeepSettings []string
	// SQLFiles are run in order, each in a transaction of its own, when all
	// rows are loaded and before there are indexes, constraints or triggers.
	SQLFiles []SQLFile
}

// SQLFile is a file of SQL statements.
type SQLFile struct{ Name, SQL string }

// leavesOut returns what to record of an object that is not created at all, or
// "" for one that is. A nil Neutralisation leaves nothing out.
func (n *Neutralisation) leavesOut(e archive.Entry) string {
	if n == nil {
		return ""
	}
	switch {
	case e.Type == "PUBLICATION":
		return fmt.Sprintf("publication %s was not created", e.Tag)
	case strings.HasPrefix(e.Type, "PUBLICATION "), annotations[e.Type] && strings.HasPrefix(e.Tag, "PUBLICATION "):
		return fmt.Sprintf("%s %s was not created", strings.ToLower(e.Type), e.Tag)
	case e.Type == "USER MAPPING":
		return fmt.Sprintf("user mapping%s was not created", strings.TrimPrefix(e.Tag, "USER MAPPING"))
	}
	return ""
}

// subscriptionStatements creates a subscription, which pg_dump writes such
// that it neither connects nor runs. A neutralised one cannot be enabled
// either, and dropping it drops no slot at the publisher.
func (d *loader) subscriptionStatements(e archive.Entry) []string {
	owner := d.ownerStatement(e)
	if d.Neutralise == nil {
		return compact(e.SQL(), owner)
	}
	d.record.didNeutralise(fmt.Sprintf("subscription %s is disabled, and has no slot and no password", e.Tag))
	sql := withoutPassword(e.SQL())
	return compact(sql+"\nALTER SUBSCRIPTION "+postgres.Quote(e.Tag)+" SET (slot_name = NONE);", owner)
}

// withoutPassword masks the password in the CONNECTION of a CREATE
// SUBSCRIPTION.
func withoutPassword(sql string) string {
	tokens := archive.Tokens(sql)
	for i, t := range tokens[:max(0, len(tokens)-1)] {
		if literal := tokens[i+1]; t.Is("CONNECTION") && strings.HasPrefix(literal.Text, "'") {
			conninfo := strings.ReplaceAll(literal.Text[1:len(literal.Text)-1], "''", "'")
			masked := envdb.ConnString(conninfo).String()
			return sql[:literal.Start] + postgres.Literal(masked) + sql[literal.End:]
		}
	}
	return sql
}

// eventTriggerStatements creates an event trigger; a neutralised one is
// disabled by the same transaction, so that it never fires.
func (d *loader) eventTriggerStatements(e archive.Entry) []string {
	sql := e.SQL()
	if d.Neutralise != nil {
		sql += "\nALTER EVENT TRIGGER " + postgres.Quote(e.Tag) + " DISABLE;"
		d.record.didNeutralise(fmt.Sprintf("event trigger %s is disabled", e.Tag))
	}
	return compact(sql, d.ownerStatement(e))
}
