// Package mask replaces what is private in the rows of a copy, and looks
// afterwards for what should be gone.
//
// The one idea in it: a value is replaced by a function of the value and of a
// secret key, so that equal values stay equal wherever they stand, and nobody
// without the key can tell which value it was. A named rule is that function
// in Go, applied to the stream of a COPY: what it masks never reaches the
// server of the copy, and neither does the key. Only what a person wrote as an
// SQL expression needs the server.
//
// The package knows no database: it gets the shape of one, and streams.
package mask
