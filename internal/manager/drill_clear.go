package manager

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

// drillsCleared is how far back drills are looked for that died.
const drillsCleared = 2 * envdb.Day

// ClearDrills drops what drills that died left on the servers of their targets.
// The next run of the target would do so as well; a drill's copy of production
// does not wait for one.
func (m *Manager) ClearDrills(ctx context.Context) error {
	var errs []error
	var seen []string
	for _, d := range m.config.Drills() {
		if !slices.Contains(seen, d.Into) {
			seen = append(seen, d.Into)
			errs = append(errs, m.clearDrills(ctx, d.Into))
		}
	}
	return errors.Join(errs...)
}

func (m *Manager) clearDrills(ctx context.Context, name string) error {
	runs, err := m.ledger.Runs(ctx, ledger.Filter{Environment: name, Operation: envdb.OpDrill, Since: m.now().Add(-drillsCleared)})
	if err != nil {
		return err
	}
	var left []string
	for _, run := range runs {
		if run.Outcome == ledger.Interrupted {
			left = append(left, run.Versions...)
		}
	}
	if len(left) == 0 {
		return nil
	}
	env, target, err := m.target(ctx, name)
	if err != nil {
		return err
	}
	if there, err := m.anyOf(ctx, env, left); err != nil || !there {
		return err
	}
	return m.run(ctx, job{operation: envdb.OpDiscard, environment: name}, func(ctx context.Context, x *execution) error {
		g, ctx, closeAll, err := m.openGenerations(ctx, x, env)
		if err != nil {
			return err
		}
		defer closeAll()
		x.step("drop")
		return m.cleanServer(ctx, x, g, target, envdb.OpDiscard)
	})
}

// anyOf reports whether any of the databases exists.
func (m *Manager) anyOf(ctx context.Context, env config.Environment, names []string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	versions, err := m.versionsOf(ctx, env)
	return slices.ContainsFunc(versions, func(v generation.Version) bool {
		return slices.Contains(names, v.Name)
	}), err
}

// damageLooked is how far back a drill is looked for that damaged an environment
// and did not repair it.
const damageLooked = 30 * envdb.Day

// examineDamage finds out whether what is live is still as a drill's scenario left
// it: the drill ended before its repair, and nothing was made live since.
func (m *Manager) examineDamage(ctx context.Context, name string, d *Diagnosis) error {
	runs, err := m.ledger.Runs(ctx, ledger.Filter{Environment: name, Since: m.now().Add(-damageLooked)})
	if err != nil {
		return err
	}
	slices.SortFunc(runs, func(a, b ledger.Run) int { return b.Started.Compare(a.Started) })
	for _, run := range runs {
		switch undo, _ := run.Facts[ledger.FactUndo].(string); {
		case run.Outcome == ledger.Running:
		case undo != "":
			d.add(name, Caution, "the drill %s damaged it on purpose, and did not come to its repair", run.ID).Next = undo
			return nil
		case run.Outcome == ledger.Succeeded && slices.Contains([]envdb.Operation{envdb.OpMirror, envdb.OpRestore, envdb.OpReset, envdb.OpSeed, envdb.OpPromote, envdb.OpRollback, envdb.OpWake}, run.Operation),
			run.Operation == envdb.OpDrill && run.Facts[ledger.FactUndo] != nil:
			return nil
		}
	}
	return nil
}
