// Package statement takes SQL text apart into statements and tokens, and says
// which statements begin or end a transaction.
//
// The one idea in it: only the server understands SQL. This package knows what
// hides a semicolon (quotes, comments, parentheses, bodies of functions), and
// where a statement stands in its file; it judges nothing else.
package statement
