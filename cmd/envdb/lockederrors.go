package main

import (
	"errors"
	"fmt"
	"sync"
)

// lockedErrors are errors of several goroutines, each of a task.
type lockedErrors struct {
	mu   sync.Mutex
	errs []error
}

// add keeps an error; nil is none.
func (l *lockedErrors) add(task string, err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, fmt.Errorf("%s: %w", task, err))
}

func (l *lockedErrors) joined() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}
