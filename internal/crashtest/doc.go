// Package crashtest runs the real command and lets the worst happen to it: it
// is killed, interrupted, runs out of disk, loses its server, or meets another
// of its kind.
//
// The one idea in it: whatever happens, the same four things hold afterwards.
// The live database is the old one or the new one, whole; every backup that is
// listed can be read to its last byte; the same command, typed again, works;
// and the doctor finds what was left behind and removes it. All of the package
// is tests; `make sweep-all` runs the ones that are a sample in `make test` in full.
package crashtest
