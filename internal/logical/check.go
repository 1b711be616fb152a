package logical

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Expect says in what a database may differ from the catalogue it was loaded
// from.
type Expect struct {
	Neutralised       bool
	SkippedExtensions []string
	// Loaded is what Load returned: what it mapped, left out and ran. Nil
	// means a whole, raw copy.
	Loaded *Loaded
	// Backup is what it was loaded from, as people type it: ENV@ID.
	Backup string
	// Jobs is how many sessions count rows; 0 means 4.
	Jobs int
}

// Outcome is how a check ended.
type Outcome string

// A check that could not be made is Skipped, with the reason.
const (
	Passed  Outcome = "pass"
	Failed  Outcome = "fail"
	Skipped Outcome = "skipped"
)

// CheckReport is the result of comparing a database with its catalogue.
type CheckReport struct {
	Objects int           `json:"objects"` // that were compared
	Tables  int           `json:"tables"`
	Rows    int64         `json:"rows"` // that were counted
	Checks  []CheckResult `json:"checks"`
}

// CheckResult is the result of one check.
type CheckResult struct {
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // why it was skipped
	// Differences are those that nothing explains, Explained the others.
	Differences []Difference `json:"differences,omitempty"`
	Explained   []Difference `json:"explained,omitempty"`
}

// DifferenceKind says on which side something is.
type DifferenceKind string

// Missing is in the catalogue alone, Extra in the database alone.
const (
	Missing   DifferenceKind = "missing"
	Extra     DifferenceKind = "extra"
	Different DifferenceKind = "different"
)

// Difference is something in which a database and its catalogue differ.
type Difference struct {
	Kind     DifferenceKind `json:"kind"`
	Class    string         `json:"class"`
	Identity string         `json:"identity"`
	// Detail says how they differ, where that can be said.
	Detail string `json:"detail,omitempty"`
	// Why says what explains the difference.
	Why string `json:"why,omitempty"`
}

// String returns e.g. "missing index shop.orders_pkey".
func (d Difference) String() string {
	s := string(d.Kind) + " " + d.Class + " " + d.Identity
	if d.Detail != "" {
		s += ": " + d.Detail
	}
	return s
}

// named is how many differences an error lists.
const named = 20

// Check compares a database that was loaded with the catalogue that it was
// loaded from: object by object, table by table by exact counts, and every
// sequence. It changes nothing; conn must be pinned. Differences that x does not explain
// are ErrVerification; the report is returned then, too.
func Check(ctx context.Context, conn *pgx.Conn, cat *Catalogue, x Expect) (CheckReport, error) {
	c := &checker{conn: conn, cat: cat, expect: x}
	if c.expect.Loaded == nil {
		c.expect.Loaded = &Loaded{}
	}
	if err := c.prepare(ctx); err != nil {
		return CheckReport{}, err
	}
	checks := []struct {
		name string
		run  func(context.Context) (CheckResult, error)
	}{
		{"objects", c.objectsButOptions},
		{"indexes", c.indexes},
		{"rows", c.rows},
		{"sequences", c.sequences},
		{"large objects", c.largeObjects},
		{"materialized views", c.materializedViews},
		{"harmless", c.harmless},
	}
	for _, check := range checks {
		result, err := check.run(ctx)
		if err != nil {
			return c.report, err
		}
		result.Name = check.name
		if result.Outcome == "" {
			result.Outcome = Passed
		}
		if len(result.Differences) > 0 {
			result.Outcome = Failed
		}
		c.report.Checks = append(c.report.Checks, result)
	}
	return c.report, c.verdict()
}

type checker struct {
	conn   *pgx.Conn
	cat    *Catalogue
	expect Expect
	report CheckReport

	version postgres.ServerVersion
	roles   roleMap
	lacks   []string // roles of the catalogue that the server has not
}

func (c *checker) prepare(ctx context.Context) error {
	var err error
	if c.version, err = postgres.ReadServerVersion(ctx, c.conn); err != nil {
		return postgres.Explain(err, "read the version")
	}
	if c.roles, err = readRoles(ctx, c.conn, c.version); err != nil {
		return err
	}
	for _, r := range lacking(c.cat.Roles, c.roles) {
		c.lacks = append(c.lacks, r.Name)
	}
	return nil
}

// verdict returns an error that names the first of the differences.
func (c *checker) verdict() error {
	var all []string
	for _, r := range c.report.Checks {
		for _, d := range r.Differences {
			all = append(all, d.String())
		}
	}
	if len(all) == 0 {
		return nil
	}
	return envdb.Fail(envdb.ErrVerification, "the database differs from the backup in %d places: %s", len(all), firstOf(all, named)).
		WithState("the database was loaded and is not live").
		WithNext("if the source was as it should be, run `envdb verify %s --read-data`; if an extension or the server's version explains it, please report it", c.expect.Backup)
}

// sort puts a difference where it belongs.
func (r *CheckResult) sort(d Difference) {
	if d.Why != "" {
		r.Explained = append(r.Explained, d)
		return
	}
	r.Differences = append(r.Differences, d)
}

// skippedCheck is the result of a check that cannot be made.
func skippedCheck(format string, args ...any) CheckResult {
	return CheckResult{Outcome: Skipped, Reason: fmt.Sprintf(format, args...)}
}

// files says that the user's SQL may have changed what is compared, if it may.
func (c *checker) files() string {
	if names := c.expect.Loaded.Files; len(names) > 0 {
		return strings.Join(names, ", ") + " was run"
	}
	return ""
}
