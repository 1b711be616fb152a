package envdb

// Progress is a moment of a run, for people who wait: the step it is in and
// how far it is.
type Progress struct {
	// Step names the step, e.g. "copy" or "build indexes".
	Step string
	// Done and Total count Unit; Total is 0 while it is unknown.
	Done, Total int64
	// Unit is "bytes", "rows", "objects", …
	Unit string
}

// Report receives progress. It may be called from several goroutines at once,
// and must return quickly. A nil Report is valid and ignores everything.
type Report func(Progress)

// Send reports p, if anyone listens.
func (r Report) Send(p Progress) {
	if r != nil {
		r(p)
	}
}
