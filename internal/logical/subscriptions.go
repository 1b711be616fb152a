package logical

import (
	"context"
	"slices"
	"strings"
)

// leaveOutSubscriptions takes out of the catalogue what pg_dump leaves out of
// the schema: only a superuser may read where a subscription connects to, so a
// backup by anyone else does not have them, and a restore need not look.
func (a *attempt) leaveOutSubscriptions(ctx context.Context) error {
	if len(a.catalogue.Subscriptions) == 0 {
		return nil
	}
	superuser, err := queryValue(ctx, a.sessions.leader, "SELECT current_setting('is_superuser')")
	if err != nil {
		return explain(err, "ask for the role's rights")
	}
	if superuser == "on" {
		return nil
	}
	for _, name := range a.catalogue.Subscriptions {
		a.note("subscription " + name + " is not in the backup: only a superuser may read it")
	}
	a.catalogue.Subscriptions = nil
	a.catalogue.Objects = slices.DeleteFunc(a.catalogue.Objects, func(o Object) bool {
		return o.Class == "subscription" || strings.HasPrefix(o.Identity, "subscription ")
	})
	return nil
}
