package logical

import (
	"fmt"
	"strings"

	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed/statement"
)

// Neutralisation makes a copy harmless before anyone can connect to it:
// subscriptions are disabled and forget their slot and where they connect to,
// publications, user mappings and secret options of foreign servers are not
// created, jobs of pg_cron and event triggers are off, and the user's SQL files
// are run.
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

// harmlessConnection is where a neutralised subscription connects to. It names
// a password because PostgreSQL demands one of whoever is not a superuser.
const harmlessConnection = "host=/nonexistent dbname=neutralised password=neutralised"

// subscriptionStatements creates a subscription, which pg_dump writes such
// that it neither connects nor runs. A neutralised one cannot be enabled
// either, leads nowhere, and dropping it drops no slot at the publisher.
func (d *loader) subscriptionStatements(e archive.Entry) []string {
	owner := d.ownerStatement(e)
	if d.Neutralise == nil {
		return compact(e.SQL(), owner)
	}
	d.record.didNeutralise(fmt.Sprintf("subscription %s is disabled, has no slot, and its connection string was replaced by one that leads nowhere", e.Tag))
	return compact(withoutConnection(e.SQL()), owner)
}

// withoutConnection replaces the connection string of a CREATE SUBSCRIPTION as
// a whole, because there are too many ways to write a password into one, and
// the name of the slot, which need not be one that the server accepts.
func withoutConnection(sql string) string {
	var out strings.Builder
	written := 0
	replace := func(t statement.Token, text string) {
		out.WriteString(sql[written:t.Start] + text)
		written = t.End
	}
	tokens := statement.Tokens(sql)
	connected := false
	for i, t := range tokens {
		switch {
		case i+1 < len(tokens) && t.Is("CONNECTION") && !connected && strings.HasSuffix(tokens[i+1].Text, "'"):
			replace(tokens[i+1], postgres.Literal(harmlessConnection))
			connected = true
		case i+2 < len(tokens) && t.Is("SLOT_NAME") && tokens[i+1].Text == "=":
			replace(tokens[i+2], "NONE")
		}
	}
	return out.String() + sql[written:]
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
