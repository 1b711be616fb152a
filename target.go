package envdb

import (
	"slices"
	"strconv"
)

// Writable is an environment that an operation may write to. It is implemented
// by [Target] and [Sanctioned] alone.
type Writable interface {
	// Environment returns the environment that may be written to.
	Environment() Environment
	// Allows returns nil if op may write to the environment.
	Allows(op Operation) error

	sealed()
}

// Target is an environment that may be overwritten. Its only constructor is
// [Environment.Target], so a protected environment cannot become one. The zero
// Target allows nothing.
type Target struct{ env Environment }

// Target returns e as something that may be overwritten. It fails with
// ErrRefused for production, unknown tiers and protected environments.
func (e Environment) Target() (Target, error) {
	if e.Protected() {
		return Target{}, Fail(ErrRefused, "%s is protected (tier %s): it is never overwritten", e.Name, e.Tier).
			WithState("nothing was changed").
			WithNext("name an environment of another tier, or see `envdb env list`")
	}
	return Target{env: e}, nil
}

// Environment returns the environment that may be overwritten.
func (t Target) Environment() Environment { return t.env }

// Allows returns nil for every operation, and an error for the zero Target.
func (t Target) Allows(op Operation) error {
	if t.env.Name == "" {
		return Fail(ErrRefused, "%s has no target", op)
	}
	return nil
}

func (Target) sealed() {}

// Confirmation is a person's word that an operation may write to an
// environment: they named both.
type Confirmation struct {
	Environment string
	Operation   Operation
}

// Sanctioned is an environment, possibly protected, that one named operation
// may write to. The zero Sanctioned allows nothing.
type Sanctioned struct {
	env Environment
	op  Operation
}

// sanctionable are the operations that may write to a protected environment:
// a dark version from its own backups, a migration after a backup, and making a
// version live.
var sanctionable = []Operation{OpRestore, OpMigrate, OpPromote, OpRollback, OpDiscard}

// Sanction returns e as something that the confirmed operation may write to.
// It fails with ErrRefused if the confirmation names another environment, or
// an operation that is never allowed on a protected environment.
func (e Environment) Sanction(c Confirmation) (Sanctioned, error) {
	if c.Environment != e.Name {
		text := "is protected, and needs its name typed again"
		if c.Environment != "" {
			text = "is protected, and the name typed was " + strconv.Quote(c.Environment)
		}
		return Sanctioned{}, Fail(ErrRefused, "%s of %s: it %s", c.Operation, e.Name, text).
			WithState("nothing was changed").
			WithNext("repeat with --confirm %s", e.Name)
	}
	if !slices.Contains(sanctionable, c.Operation) {
		return Sanctioned{}, Fail(ErrRefused, "%s is never done to %s (tier %s)", c.Operation, e.Name, e.Tier).
			WithState("nothing was changed")
	}
	return Sanctioned{env: e, op: c.Operation}, nil
}

// Environment returns the environment that the operation may write to.
func (s Sanctioned) Environment() Environment { return s.env }

// Allows returns nil for the confirmed operation only.
func (s Sanctioned) Allows(op Operation) error {
	if s.env.Name == "" || s.op != op {
		return Fail(ErrRefused, "%s of %s is not confirmed", op, s.env.Name).WithState("nothing was changed")
	}
	return nil
}

func (Sanctioned) sealed() {}
