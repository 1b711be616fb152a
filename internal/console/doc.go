// Package console says things to people on a terminal: progress, tables,
// errors and log lines.
//
// The one idea in it is that results and people's text are apart: what a
// command found goes to stdout as a table or as JSON of the same struct;
// everything here that is for people only goes to the writer it is given,
// which is stderr.
package console
