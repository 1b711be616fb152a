// Package daemon does what is due until it is stopped.
//
// The one idea in it is that the loop remembers nothing that it could lose. At
// every pass it asks each [Task] what is due now, and the task looks at what
// exists: the restore points, the marks, the records in the store. A daemon
// that was killed, or that comes second, finds the same answers.
//
// The loop never waits for a run. A run has a deadline, and one that does not
// even end when it is cut costs its own task and nothing else.
package daemon
