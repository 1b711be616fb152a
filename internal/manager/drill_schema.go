package manager

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed"
)

// rehearseSchema takes the newest migration back and applies it again, in the
// restored version: a migration whose way down is wrong is found before somebody
// needs it.
func (d *rehearsal) rehearseSchema(ctx context.Context, v *restored, conn *pgx.Conn) error {
	return d.timed("migrate down and up", func() (drill.Check, error) {
		c := drill.Check{Outcome: drill.Pass}
		migrations := d.env.Migrations()
		if migrations.Directory == "" {
			c.Skip(d.env.Name + " has no directory of migrations in its configuration")
			return c, nil
		}
		if _, err := conn.Exec(ctx, "RESET search_path"); err != nil {
			return c, postgres.Explain(err, "set up the session")
		}
		schema, err := seed.ReadSchema(ctx, conn, os.DirFS(migrations.Directory), migrations.Directory)
		if err != nil {
			c.Find("the migrations do not fit: " + err.Error())
			return c, nil
		}
		versions := schema.Applied
		if len(versions) == 0 {
			c.Skip("no migration of the directory is applied in the backup")
			return c, nil
		}
		current := versions[len(versions)-1]
		below := int64(0)
		if len(versions) > 1 {
			below = versions[len(versions)-2]
		}
		before, err := d.inventory(ctx, v)
		if err != nil {
			return c, err
		}
		for _, to := range []int64{below, current} {
			if _, err := d.m.applyMigrations(ctx, d.x, d.env, v.dark.URL, &to); err != nil {
				c.Find(fmt.Sprintf("to version %d: %v", to, err))
				return c, nil
			}
		}
		after, err := d.inventory(ctx, v)
		if err != nil {
			return c, err
		}
		c.Covers = fmt.Sprintf("from version %d to %d and back, %s compared", current, below, counted(len(before), "object"))
		for _, o := range before {
			if !slices.Contains(after, o) {
				c.Find(fmt.Sprintf("%s %s is not what it was", o.Class, o.Identity))
			}
		}
		for _, o := range after {
			if !slices.ContainsFunc(before, func(b logical.Object) bool { return b.Class == o.Class && b.Identity == o.Identity }) {
				c.Find(fmt.Sprintf("%s %s was not there before", o.Class, o.Identity))
			}
		}
		return c, nil
	})
}

// inventory lists the objects of the restored version.
func (d *rehearsal) inventory(ctx context.Context, v *restored) ([]logical.Object, error) {
	conn, err := lookInto(ctx, d.x, v.dark)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return logical.Inventory(ctx, conn)
}
