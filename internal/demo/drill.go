package demo

import (
	"context"
	"os"
	"path/filepath"
)

// drillCheck is what the demo's drill asks the restored shop.
const drillCheck = `-- Every order has a customer, and there are many.
-- expect: value > 1000
SELECT count(*) FROM orders JOIN customers ON customers.id = orders.customer_id;
`

const drillFile = "drill.sql"

// rehearse ends the demo: the backups are only worth what a restore proves.
func (d *demo) rehearse(ctx context.Context) error {
	d.chapter("Would it come back? A restore drill beside staging")
	if err := d.show(drillFile); err != nil {
		return err
	}
	if err := d.envdb(ctx, "drill", "weekly", "--html", d.reportFile()); err != nil {
		return err
	}
	d.say("The report for whoever asks: %s", d.reportFile())
	return nil
}

// reportFile is where the report stays when everything else is cleaned up.
func (d *demo) reportFile() string {
	if d.Keep {
		return filepath.Join(d.Dir, "drill.html")
	}
	return filepath.Join(os.TempDir(), filepath.Base(d.Dir)+"-drill.html")
}
