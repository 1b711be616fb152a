package demo

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/envdb/envdb/fixtures"
)

// The databases of the environments that are seeded and masked.
const (
	qaDatabase      = database + "_qa"
	stagingDatabase = database + "_staging"
	maskedDatabase  = database + "_masked"
)

// The files of masking. A real secret is kept where the passwords are.
const (
	maskFile   = "mask.yaml"
	secretFile = "mask-secret.txt"
	maskSecret = "a secret that only this demo knows"
)

// seededConfig are the environments that are no copies of production, and one
// that is a masked copy.
func (d *demo) seededConfig() string {
	seed := "{migrations: library/migrations, fixtures: [library/fixtures], checks: [library/check.sql]}"
	return fmt.Sprintf(`  qa:
    tier: qa
    url: %s
    seed: %[5]s
    spares: 1
  staging:
    tier: staging
    url: %[2]s
    seed: %[5]s
  test-*:
    tier: test
    url: %[3]s
    seed: %[5]s
    ttl: 7d
  masked:
    tier: production-copy
    url: %[4]s
    mirror: {from: prod, mask: {rules: %[7]s, secret: file:%[6]s}}
drills:
  weekly:
    from: prod
    into: staging
    at: latest
    rto: 2m
    checks: [drill.sql]
`, d.everyone.URL(qaDatabase).Reveal(), d.everyone.URL(stagingDatabase).Reveal(), d.testURL(), d.everyone.URL(maskedDatabase).Reveal(), seed, secretFile, maskFile)
}

// testURL is the URL of the pattern. Its braces must stay as they are, which a
// URL escapes.
func (d *demo) testURL() string {
	return strings.Replace(d.everyone.URL("the_database").Reveal(), "/the_database", "/"+database+"_test_{name}", 1)
}

// maskRules are what the masked copy does not hold.
const maskRules = `tables:
  customers: {email: email, name: name, born: {shift_date: 60d}}
`

// writeProject writes what the environments are seeded and masked with.
func (d *demo) writeProject() error {
	if err := os.CopyFS(filepath.Join(d.Dir, "library"), fixtures.Library()); err != nil {
		return fmt.Errorf("migrations and fixtures: %w", err)
	}
	for name, text := range map[string]string{maskFile: maskRules, secretFile: maskSecret, drillFile: drillCheck} {
		if err := os.WriteFile(filepath.Join(d.Dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("masking rules: %w", err)
		}
	}
	return nil
}

func (d *demo) seedOthers(ctx context.Context) error {
	d.chapter("QA and Staging, from migrations and fixtures")
	if err := d.writeProject(); err != nil {
		return err
	}
	if err := d.show("library/fixtures/books.yml"); err != nil {
		return err
	}
	for _, command := range [][]string{{"seed", "qa", "--label", "build=123"}, {"seed", "staging"}} {
		if err := d.envdb(ctx, command...); err != nil {
			return err
		}
	}
	d.chapter("Two test environments, for two branches")
	for _, command := range [][]string{{"create", "test-search"}, {"create", "test-checkout", "--ttl", "2d"}, {"env", "list"}} {
		if err := d.envdb(ctx, command...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) breakAndReset(ctx context.Context) error {
	d.chapter("Somebody tests deletion in QA; and the push of a button")
	qa := d.everyone.URL(qaDatabase)
	loans := func() error {
		return d.row(ctx, "qa", qa, "SELECT (SELECT count(*) FROM books) AS books, (SELECT count(*) FROM loans) AS loans")
	}
	if err := loans(); err != nil {
		return err
	}
	if err := d.sql(ctx, qa, "TRUNCATE books CASCADE"); err != nil {
		return err
	}
	if err := loans(); err != nil {
		return err
	}
	if err := d.envdb(ctx, "reset", "qa"); err != nil {
		return err
	}
	if err := loans(); err != nil {
		return err
	}
	d.say("Seeding again replays nothing, because nothing has changed:")
	return d.envdb(ctx, "seed", "qa", "--label", "build=124")
}

func (d *demo) mirrorMasked(ctx context.Context) error {
	d.chapter("A copy of production without its people")
	if err := d.show(maskFile); err != nil {
		return err
	}
	if err := d.envdb(ctx, "mirror", "prod", "masked"); err != nil {
		return err
	}
	const someone = "SELECT id, name, email, born FROM customers WHERE id = 4711"
	if err := d.row(ctx, "prod", d.production.URL(database), someone); err != nil {
		return err
	}
	return d.row(ctx, "masked", d.everyone.URL(maskedDatabase), someone)
}

// lookAround ends the story.
func (d *demo) lookAround(ctx context.Context) error {
	d.chapter("Everything there is")
	return d.envdb(ctx, "status")
}

// show prints a file below the demo's directory.
func (d *demo) show(name string) error {
	text, err := fs.ReadFile(os.DirFS(d.Dir), name)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.Out, "\n$ cat %s\n%s", name, text)
	return nil
}
