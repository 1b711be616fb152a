package manager

import (
	"context"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/mask"
	"github.com/envdb/envdb/internal/postgres"
)

// MaskedResult is what a mirror masked, and what was looked at afterwards.
type MaskedResult struct {
	*logical.Masked
	Scan config.Scan `json:"scan"`
	// Scanned is nil where no scan was wanted.
	Scanned *logical.Scanned `json:"scanned,omitempty"`
}

// masking returns what a mirror into the environment masks, or nil. Rules
// without their secret are refused: nothing is ever copied raw instead.
func (m *Manager) masking(env config.Environment) (*logical.Masking, error) {
	declared := env.Mirror.Mask
	if !declared.Declared() {
		return nil, nil
	}
	secret, err := m.config.MaskSecret(env.Name)
	if err != nil {
		return nil, err
	}
	key, err := mask.NewKey(secret)
	if err != nil {
		return nil, err
	}
	rules, err := m.config.MaskRules(declared)
	if err != nil {
		return nil, err
	}
	return &logical.Masking{Rules: rules, Key: key, Strict: declared.Strict}, nil
}

// describeMasking writes into the plan what will be masked.
func describeMasking(p *Plan, b building) {
	if b.mask == nil {
		return
	}
	p.Masked = b.mask.Rules.Masked()
	for _, line := range p.Masked {
		p.add("mask " + line)
	}
	switch b.env.Mirror.Mask.Scan {
	case config.ScanOff:
		p.Warnings = append(p.Warnings, "the copy is not searched for what was masked (mirror.mask.scan: off)")
	default:
		p.add(fmt.Sprintf("look for what was masked in the copy (%s)", b.env.Mirror.Mask.Scan))
	}
}

// maskedWith returns the digest of the rules with which the data is masked: by
// this run, or by the mirror that filled the database of the backup.
func (b building) maskedWith(catalogue *logical.Catalogue) string {
	if b.mask != nil {
		return b.mask.Rules.Digest()
	}
	if _, marker := generation.SplitComment(catalogue.Database.Comment); marker != nil {
		return marker.Masked
	}
	return ""
}

// scan looks in the new version for what was masked.
func (m *Manager) scan(ctx context.Context, x *execution, b building, dark *generation.Dark, loaded *logical.Loaded) (*MaskedResult, error) {
	if loaded.Masked == nil {
		return nil, nil
	}
	result := &MaskedResult{Masked: loaded.Masked, Scan: b.env.Mirror.Mask.Scan}
	x.facts("masked_columns", loaded.Masked.Columns)
	if result.Scan == config.ScanOff {
		return result, nil
	}
	x.step("scan")
	conn, err := postgres.Connect(ctx, dark.URL, postgres.Options{App: x.app(), Pin: true})
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := logical.TakeBytesAsTheyAre(ctx, conn); err != nil {
		return nil, err
	}
	result.Scanned, err = logical.Scan(ctx, conn, loaded, logical.ScanOptions{Full: result.Scan == config.ScanFull, Jobs: m.jobs(b.env)})
	return result, err
}

// MaskCheckRequest asks whether the rules of Target fit the database of Source,
// as it is now. An empty Source is the one that Target is mirrored from.
type MaskCheckRequest struct {
	Source, Target string
}

// MaskCheck is the result of comparing rules with a database.
type MaskCheck struct {
	Source string `json:"source"`
	Target string `json:"target"`
	Rules  string `json:"rules"`
	Strict bool   `json:"strict"`
	// Tables and Columns are how many there are of what is masked.
	Tables  int `json:"tables"`
	Columns int `json:"columns"`
	// Uncovered columns have no rule, and stay as they are unless Strict.
	Uncovered int            `json:"uncovered"`
	Findings  []mask.Finding `json:"findings"`
}

// wrong returns how many findings would stop a mirror.
func (c *MaskCheck) wrong() (n int) {
	for _, f := range c.Findings {
		if f.Kind != mask.Risk {
			n++
		}
	}
	return n
}

// CheckMask holds the rules against the source's database. It needs neither
// the secret nor the store, and changes nothing; findings that would stop a
// mirror are ErrVerification, and the result is returned then, too.
func (m *Manager) CheckMask(ctx context.Context, req MaskCheckRequest) (*MaskCheck, error) {
	target, err := m.declared(req.Target)
	if err != nil {
		return nil, err
	}
	declared := target.Mirror.Mask
	if !declared.Declared() {
		return nil, envdb.Fail(envdb.ErrMisuse, "%s has no rules of a masking", target.Name).
			WithNext("write mirror: {mask: {rules: mask.yaml, secret: env:MASK_SECRET}} into its section")
	}
	if req.Source == "" {
		req.Source = target.Mirror.From
	}
	source, err := m.config.Environment(req.Source)
	if err != nil {
		return nil, err
	}
	rules, err := m.config.MaskRules(declared)
	if err != nil {
		return nil, err
	}
	shapes, large, err := readShapes(ctx, source)
	if err != nil {
		return nil, err
	}
	plan, findings := mask.Match(rules, shapes, true, large)
	c := &MaskCheck{Source: source.Name, Target: target.Name, Rules: rules.File, Strict: declared.Strict, Tables: len(plan.Tables), Findings: []mask.Finding{}}
	c.Columns, _ = plan.Counts()
	for _, f := range findings {
		if f.Kind == mask.Uncovered && f.Column != "" {
			c.Uncovered++
		}
		if f.Kind != mask.Uncovered || declared.Strict {
			c.Findings = append(c.Findings, f)
		}
	}
	if n := c.wrong(); n > 0 {
		return c, envdb.Fail(envdb.ErrVerification, "the rules in %s do not fit %s in %s", rules.File, source.Name, counted(n, "place")).
			WithState("nothing was changed").WithNext("correct %s; a column that may be copied as it is gets keep", rules.File)
	}
	return c, nil
}

// declared returns an environment as the file has it, without its URL.
func (m *Manager) declared(name string) (config.Environment, error) {
	for _, env := range m.config.Environments() {
		if env.Name == name {
			return env, nil
		}
	}
	return m.config.Environment(name) // which says what there is
}

// readShapes reads the tables of an environment, and how many large objects it
// has.
func readShapes(ctx context.Context, env config.Environment) (shapes []mask.Shape, large int64, err error) {
	conn, err := postgres.Connect(ctx, env.Direct(), postgres.Options{App: "envdb/mask check", Pin: true})
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if shapes, err = logical.ReadShapes(ctx, conn); err != nil {
		return nil, 0, err
	}
	err = conn.QueryRow(ctx, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata").Scan(&large)
	return shapes, large, postgres.Explain(err, "count the large objects")
}
