package logical

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// CheckObjects is the first of the checks of Check, on its own.
func CheckObjects(ctx context.Context, conn *pgx.Conn, cat *Catalogue, x Expect) (CheckResult, error) {
	c := &checker{conn: conn, cat: cat, expect: x}
	if err := c.prepare(ctx); err != nil {
		return CheckResult{}, err
	}
	return c.objects(ctx)
}
