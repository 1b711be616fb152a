package demo

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/fixtures"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// Where the clusters live below the demo's directory, and what the shop is called.
const (
	productionDir = "production"
	everyoneDir   = "everyone-else"
	database      = "shop"
)

// startClusters starts production's cluster and everyone else's.
func (d *demo) startClusters(ctx context.Context) (err error) {
	d.chapter("Two PostgreSQL clusters: production's, and everyone else's")
	for _, c := range []struct {
		name string
		to   **cluster.Cluster
	}{{productionDir, &d.production}, {everyoneDir, &d.everyone}} {
		began := time.Now()
		*c.to, err = cluster.Create(ctx, cluster.Options{
			Dir: filepath.Join(d.Dir, c.name), Outlives: d.Keep,
			Settings: map[string]string{"cluster_name": c.name, "max_wal_size": "2GB"},
		})
		if err != nil {
			return fmt.Errorf("start the cluster %s: %w", c.name, err)
		}
		d.say("%-14s PostgreSQL %d on port %d (%s)", c.name, (*c.to).Major(), (*c.to).Port(), console.Duration(time.Since(began)))
	}
	return nil
}

func (d *demo) config() string {
	return fmt.Sprintf(`# The configuration of the demo. Your own: envdb init
project: demo
store:
%s
  encryption: {identity: file:envdb-key.txt}
environments:
  prod:
    tier: production
    url: %s
    backup: {method: logical, ladder: [1m, 2m, 5m, 10m, 1h, 3h, 6h, 1d]}
  prod-copy:
    tier: production-copy
    url: %s
    mirror: {from: prod}
`, d.storeConfig(), d.production.URL(database).Reveal(), d.everyone.URL(database+"_copy").Reveal()) + d.seededConfig()
}

func (d *demo) fillShop(ctx context.Context) error {
	d.chapter("Production gets a shop")
	if err := d.sql(ctx, d.production.URL("postgres"), "CREATE DATABASE "+database); err != nil {
		return err
	}
	began := time.Now()
	for _, step := range fixtures.Shop() {
		if err := d.sql(ctx, d.production.URL(database), step.SQL); err != nil {
			return fmt.Errorf("shop, %s: %w", step.Name, err)
		}
	}
	d.say("filled in %s", console.Duration(time.Since(began)))
	return d.totals(ctx, "prod", d.production.URL(database))
}

func (d *demo) takeBackups(ctx context.Context) error {
	d.chapter("A backup of production")
	if err := d.envdb(ctx, "backup", "prod", "--note", "before the day began"); err != nil {
		return err
	}
	d.chapter("An ordinary day at the shop, and another backup: only what changed is stored")
	if err := d.sql(ctx, d.production.URL(database), fixtures.ShopChanges()); err != nil {
		return err
	}
	if err := d.totals(ctx, "prod", d.production.URL(database)); err != nil {
		return err
	}
	if err := d.envdb(ctx, "backup", "prod"); err != nil {
		return err
	}
	return d.envdb(ctx, "backups", "prod")
}

func (d *demo) mirrorBoth(ctx context.Context) error {
	d.chapter("Production-Copy, as of the first restore point")
	oldest, err := d.oldestBackup()
	if err != nil {
		return err
	}
	if err := d.envdb(ctx, "mirror", "prod@"+oldest, "prod-copy"); err != nil {
		return err
	}
	if err := d.totals(ctx, "prod-copy", d.everyone.URL(database+"_copy")); err != nil {
		return err
	}
	d.chapter("… and as of the latest")
	if err := d.envdb(ctx, "mirror", "prod", "prod-copy"); err != nil {
		return err
	}
	return d.totals(ctx, "prod-copy", d.everyone.URL(database+"_copy"))
}

func (d *demo) breakAndGoBack(ctx context.Context) error {
	d.chapter("Somebody types into the wrong terminal")
	if err := d.sql(ctx, d.everyone.URL(database+"_copy"), fixtures.ShopDamage()); err != nil {
		return err
	}
	if err := d.totals(ctx, "prod-copy", d.everyone.URL(database+"_copy")); err != nil {
		return err
	}
	if err := d.envdb(ctx, "rollback", "prod-copy"); err != nil {
		return err
	}
	if err := d.totals(ctx, "prod-copy", d.everyone.URL(database+"_copy")); err != nil {
		return err
	}
	return d.envdb(ctx, "versions", "prod-copy")
}

// farewell says how long it took, and what to try next.
func (d *demo) farewell() {
	fmt.Fprintf(d.Out, "\n── Done, in %s.\n", console.Duration(time.Since(d.started)))
	if !d.Keep {
		d.say("Everything is cleaned up. To play with it: %s demo --keep", d.Program)
		d.say("With your own servers:              %s init --help", d.Program)
		return
	}
	fmt.Fprintf(d.Out, `
   Both clusters run on. Try:

     export ENVDB_CONFIG=%[1]s
     %[2]s mirror prod prod-copy --dry-run
     %[2]s restore prod@latest            # a dark version beside production
     %[2]s verify prod --read-data
     %[2]s mirror prod-copy prod          # refused
     psql '%[3]s'    # production
     psql '%[4]s'    # prod-copy

   When you are done:

     %[2]s demo --stop --dir %[5]s
`, ConfigFile(d.Dir), d.Program, d.production.URL(database).Reveal(), d.everyone.URL(database+"_copy").Reveal(), d.Dir)
}

// totals prints the row that a person can compare by eye.
func (d *demo) totals(ctx context.Context, name string, url envdb.ConnString) error {
	return d.row(ctx, name, url, fixtures.ShopTotals())
}

// row prints the row of a query.
func (d *demo) row(ctx context.Context, name string, url envdb.ConnString, sql string) error {
	conn, err := postgres.Connect(ctx, url, postgres.Options{App: "envdb/demo"})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return fmt.Errorf("look at %s: %w", name, err)
	}
	row, err := pgx.CollectOneRow(rows, pgx.RowToMap)
	if err != nil {
		return fmt.Errorf("look at %s: %w", name, err)
	}
	var figures []string
	for _, f := range rows.FieldDescriptions() {
		figures = append(figures, fmt.Sprintf("%s %s", f.Name, plain(row[f.Name])))
	}
	d.say("%-10s %s", name+":", strings.Join(figures, ", "))
	return nil
}

// sql runs statements as one simple query.
func (d *demo) sql(ctx context.Context, url envdb.ConnString, sql string) error {
	conn, err := postgres.Connect(ctx, url, postgres.Options{App: "envdb/demo"})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}
