// Package sweep fails everything that an operation does, one thing at a time.
//
// The one idea in it: a clean run is a list of steps, which are its calls of
// the store, its requests to a bucket and its SQL statements. The sweep counts
// them, runs the operation once for each of them and each kind of fault, and
// asks the same questions every time. Is the live database the old one or the
// new one, whole? Is the source as it was? Can every backup that is listed be
// read to its last byte? Does the same command, given again, get where the
// undisturbed one got, and leave nothing behind? Last it prints how many faults
// that were.
//
// `make test` fails every store call in one to three of the ways, in turn, and
// every statement, of long operations every few, in one. `make sweep-all` fails every
// step in every way, and kills the process at each. All of the package is tests.
package sweep
