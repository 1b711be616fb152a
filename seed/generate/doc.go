// Package generate makes rows up by the million: a block of a fixture file says
// how many rows a table gets and what makes the values of each column.
//
// Its one idea is a stream. A [Rows] is an io.Reader of PostgreSQL's text COPY
// format that computes each row when it is read, so a block needs the same small
// memory for a thousand rows as for a billion; and every column has random
// numbers of its own, seeded by the names of file, table and column, so that a
// change to one column, or to another file, leaves the others as they were. What
// must be unique is computed from the row's number, not remembered.
package generate
