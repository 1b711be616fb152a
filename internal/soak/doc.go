// Package soak runs two daemons against each other for as long as one likes.
//
// A ladder of seconds, a real PostgreSQL in which clients write all the time, a
// real S3 server whose answers go wrong now and then, and a daemon that is killed
// at random: at the end every rung must be served, no restore point may be lost
// that the policy keeps, every one that is left must hold exactly what its
// moment held, and nothing may lie about. `make soak` runs it for ten minutes,
// `make test` for one.
package soak
