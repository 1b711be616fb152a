package main

import (
	"errors"
	"io"
	"syscall"
)

// outlet is where results go. That nobody reads them any more (head -1) is no
// failure of what was done: what is left of them is not written.
type outlet struct{ to io.Writer }

func (o outlet) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		return len(p), nil
	}
	return n, err
}
