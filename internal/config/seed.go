package config

import (
	"path/filepath"
	"time"

	"github.com/envdb/envdb"
)

// Seed says what makes the rows of an environment that is not copied from
// another: migrations, then fixtures. The zero Seed means that it is not seeded.
type Seed struct {
	// Migrations is the absolute path of a directory of goose migrations in
	// SQL; or MigrationCommand is run by the shell in Dir, for a team whose
	// migrations are another tool's. At most one of them is set.
	Migrations       string
	MigrationCommand string
	// MigrationTimeout ends a command that hangs.
	MigrationTimeout time.Duration
	// MigrationInputs are absolute paths and globs of what the command reads.
	// Without them nobody can tell whether it would make the same again.
	MigrationInputs []string
	// Fixtures are absolute paths and globs, in the order in which they are
	// loaded; a directory stands for the files in it.
	Fixtures []string
	// Extensions are made before the migrations.
	Extensions []string
	// Checks are SQL files whose statements must return no rows.
	Checks []string
	// Clock is what fixtures take for now.
	Clock Clock
	// Schedule is when to seed anew.
	Schedule Schedule
	// Dir is the directory of the configuration.
	Dir string
}

// Migrations say what brings the schema of a live version up.
type Migrations struct {
	// Directory is the absolute path of a directory of goose migrations in SQL;
	// or Command is run by the shell in Dir. At most one is set.
	Directory string
	Command   string
	Timeout   time.Duration
	// Checks are SQL files whose statements must return no rows afterwards.
	Checks []string
	// Schedule is when the daemon migrates.
	Schedule Schedule
	// Dir is the directory of the configuration.
	Dir string
}

// Migrations returns what migrates the environment: its own section, or else
// what it is seeded with.
func (e Environment) Migrations() Migrations {
	if e.Migrate.Dir != "" {
		return e.Migrate
	}
	return Migrations{
		Directory: e.Seed.Migrations, Command: e.Seed.MigrationCommand, Timeout: e.Seed.MigrationTimeout,
		Checks: e.Seed.Checks, Dir: e.Seed.Dir,
	}
}

// readMigrate reads what `envdb migrate` runs, for an environment that is not
// seeded: a directory, or a mapping.
func (d *declaration) readMigrate(v value) {
	d.Migrate = Migrations{Dir: v.doc.dir, Timeout: migrationPatience}
	if v.kind() != "a mapping" {
		d.Migrate.Directory = v.place()
		return
	}
	v.object(fields{
		"directory": func(v value) { d.Migrate.Directory = v.place() },
		"command":   func(v value) { d.Migrate.Command = v.raw() },
		"timeout":   func(v value) { d.Migrate.Timeout = v.migrationTimeout() },
		"checks":    func(v value) { d.Migrate.Checks = v.files() },
		"schedule":  d.schedule(envdb.OpMigrate, &d.Migrate.Schedule),
	})
	if (d.Migrate.Directory == "") == (d.Migrate.Command == "") {
		v.hint("directory: db/migrations", "holds a directory or a command, and one of them only")
	}
}

func (v value) migrationTimeout() time.Duration {
	timeout := v.duration()
	if timeout <= 0 {
		v.fault("is no time for a migration")
	}
	return timeout
}

// Declared reports whether the environment can be seeded.
func (s Seed) Declared() bool { return s.Dir != "" }

// Clock is the moment that fixtures take for now: midnight (UTC) of the day on
// which the seed runs, or always the same one.
type Clock struct {
	// Fixed is zero for today.
	Fixed time.Time
}

// At returns the moment for a seed that runs now.
func (c Clock) At(now time.Time) time.Time {
	if !c.Fixed.IsZero() {
		return c.Fixed.UTC()
	}
	return now.UTC().Truncate(24 * time.Hour)
}

// migrationPatience is how long a command may take unless the file says.
const migrationPatience = 10 * time.Minute

// readSeed reads the section of that name.
func (d *declaration) readSeed(v value) {
	d.seed = v
	d.Seed = Seed{Dir: v.doc.dir, MigrationTimeout: migrationPatience}
	seen := v.object(fields{
		"migrations": d.readMigrations,
		"fixtures":   func(v value) { d.Seed.Fixtures = v.files() },
		"extensions": func(v value) { d.Seed.Extensions = v.texts() },
		"checks":     func(v value) { d.Seed.Checks = v.files() },
		"clock":      func(v value) { d.Seed.Clock = v.clock() },
		"schedule":   d.schedule(envdb.OpSeed, &d.Seed.Schedule),
	})
	if _, found := seen["fixtures"]; !found && d.Seed.Migrations == "" && d.Seed.MigrationCommand == "" {
		v.hint("migrations: db/migrations", "says nothing to seed with: neither migrations nor fixtures")
	}
}

// checkSeed records a seed of what is never seeded.
func (d *declaration) checkSeed() {
	if d.Seed.Declared() && d.saysProtected() {
		d.seed.fault("%s is protected (tier %s): it is never seeded", d.Name, d.Tier)
	}
}

// readMigrations reads a directory, or a mapping with a command.
func (d *declaration) readMigrations(v value) {
	if v.kind() != "a mapping" {
		d.Seed.Migrations = v.place()
		return
	}
	seen := v.object(fields{
		"command": func(v value) { d.Seed.MigrationCommand = v.raw() },
		"inputs":  func(v value) { d.Seed.MigrationInputs = v.files() },
		"timeout": func(v value) { d.Seed.MigrationTimeout = v.migrationTimeout() },
	})
	v.require(seen, "command")
}

// place reads the path of one file or directory. Whether it exists is asked
// when it is read; see files.
func (v value) place() string {
	path := v.text()
	if path == "" {
		return ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(v.doc.dir, path)
	}
	return filepath.Clean(path)
}

// clock reads today, or a moment.
func (v value) clock() Clock {
	text := v.text()
	if text == "today" || text == "" {
		return Clock{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		v.hint("write today, or a moment such as 2026-01-01T00:00:00Z", "is not a clock")
	}
	return Clock{Fixed: at}
}
