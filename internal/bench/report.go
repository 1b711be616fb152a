package main

import (
	"context"
	"time"
)

// publish writes the report, if one is wanted.
func (b *bench) publish(_ context.Context, _ []result, _ time.Time) error { return nil }
