package generation

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Ctrl-C does not cut a statement that has begun, and does not wait ten
// minutes for a server that says nothing more either.
func TestStatementThatHangsWhenInterrupted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		takes, limit time.Duration
		want         time.Duration
		cut          bool
	}{
		{"it ends soon", 5 * time.Second, slow, 5 * time.Second, false},
		{"it hangs", time.Hour, slow, time.Second + quick, true},
		{"its limit comes first", time.Hour, 10 * time.Second, 10 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, interrupt := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, interrupt)
				began := time.Now()
				err := new(session).do(ctx, c.limit, func(ctx context.Context, _ *pgx.Conn) error {
					select {
					case <-time.After(c.takes):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				if took := time.Since(began); took != c.want || (err != nil) != c.cut {
					t.Errorf("it took %s and ended with %v, want %s", took, err, c.want)
				}
			})
		})
	}
}
