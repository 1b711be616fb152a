package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/envdb/envdb"
)

// A run that was interrupted after it had changed what is live says so itself;
// of any other, live data is as it was.
func TestStopped(t *testing.T) {
	t.Parallel()
	migration := envdb.Fail(envdb.ErrInterrupted, "the migration of prod was interrupted").WithState("those before it stand").WithNext("envdb restore prod@x")
	load := envdb.Fail(envdb.ErrInterrupted, "load the database: stopped").WithState("next is half full")
	untidy := errors.New("database x could not be dropped")
	for name, c := range map[string]struct {
		err         error
		state, next string
	}{
		"a migration":        {errors.Join(context.Canceled, migration), "those before it stand", "envdb restore prod@x"},
		"a load":             {load, "live data is as it was", "again when you like"},
		"what could not go":  {errors.Join(load, untidy), "the old or the new", "envdb doctor"},
		"nothing but itself": {context.Canceled, "live data is as it was", "again when you like"},
	} {
		err := stopped(interrupted(), c.err)
		state, next := envdb.Advice(err)
		if !errors.Is(err, envdb.ErrInterrupted) || !strings.Contains(state, c.state) || !strings.Contains(next, c.next) {
			t.Errorf("%s: %v\nState: %s\nNext: %s", name, err, state, next)
		}
	}
}
