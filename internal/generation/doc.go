// Package generation keeps the versions of an environment: it builds a new
// database beside the live one, makes it live in one transaction, keeps what
// was live, and brings it back.
//
// The one idea in it is that a database says what it is. A [Marker] in its
// comment names the environment, the server and the database's own oid, and is
// read again, in the session that acts, before every DROP and RENAME. What
// carries no valid marker is not ours: it is moved aside and never dropped.
//
// The states of a version, and what leads from one to the next:
//
//	building ──Complete──▶ dark ──Promote──▶ live ──Promote──▶ previous
//	    │                    │                 ▲                  │
//	    └──Discard           └──Discard        └─────Rollback─────┴──Discard
//
//	foreign live ──Promote──▶ aside ──Rollback by name──▶ live
//
//	building ──Seal──▶ sealing ──Promote of the version──▶ baseline ──Discard
//	baseline ──Clone──▶ building      baseline ──Spare──▶ spare ──Promote──▶ live
//
// Promote also takes a version that its own run is building, so that a run
// that dies before the swap leaves a version that says it was not finished.
//
// A baseline and a spare are closed from the moment in which they are made, and
// so is a clone until it is promoted. That nobody was in one is not believed
// but read: see the marker's Sealed.
//
// Fencing: everything that changes the environment runs in the one session
// that holds the environment's advisory lock. Whoever ends that session has
// stopped the run. The order of locks is: advisory lock, then the pooler's
// pause, then the locks of the promote's transaction.
package generation
