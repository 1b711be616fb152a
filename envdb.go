// Package envdb is the vocabulary of envdb, the database environment lifecycle
// manager for PostgreSQL: environments and their tiers, backups and points,
// versions of an environment, and the errors that a person reads.
//
// It imports nothing of the module, so every package may speak it. The one idea
// in it is that danger has a type: a writer takes a [Target] or a [Sanctioned],
// and neither can be made from a production environment by accident.
package envdb

// Operation names what a run does. Every operation is a run, and every run is
// recorded.
type Operation string

// The operations of envdb.
const (
	OpBackup    Operation = "backup"
	OpVerify    Operation = "verify"
	OpMirror    Operation = "mirror"
	OpRestore   Operation = "restore"
	OpSeed      Operation = "seed"
	OpReset     Operation = "reset"
	OpMigrate   Operation = "migrate"
	OpCreate    Operation = "create"
	OpDestroy   Operation = "destroy"
	OpHibernate Operation = "hibernate"
	OpWake      Operation = "wake"
	OpPromote   Operation = "promote"
	OpRollback  Operation = "rollback"
	OpDiscard   Operation = "discard"
	OpIdentity  Operation = "identity"
	OpDump      Operation = "dump"
	OpDrill     Operation = "drill"
	OpExpire    Operation = "expire"
	OpDelete    Operation = "delete"
	OpUndelete  Operation = "undelete"
)

// Reads reports whether the operation leaves its environment as it is, so that
// several of them may share the environment's lease.
func (op Operation) Reads() bool {
	switch op {
	case OpBackup, OpVerify, OpIdentity, OpDump, OpExpire, OpDelete, OpUndelete:
		return true
	}
	return false
}
