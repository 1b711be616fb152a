// Package ledger keeps what envdb did and what it is doing, in the store: the
// runs, their logs, and the leases under which they work.
//
// The one idea in it is that a listing tells the state: a run's environment,
// operation and outcome stand in the name of its record, and a lease is one
// small object changed by conditional writes. Nothing here is kept in memory
// that another machine would need.
//
// Keys, below the project:
//
//	runs/<yyyymmdd>/<run>.<env>.<operation>.<outcome>   the record, JSON
//	runs/<yyyymmdd>/<run>.log                           its log, sealed
//	leases/<env>.json                                   who works on an environment
//	leases/reads/<env>/<backup>/<run>                   who reads a backup
//	environments/<env>                                  what comes and goes, and what hibernates; sealed
//
// A record is replaced by writing it under its new name and then deleting the
// old one. A crash in between leaves both; of the records of one run, readers
// take the one with the highest outcome: running, then interrupted, then
// failed or succeeded.
package ledger
