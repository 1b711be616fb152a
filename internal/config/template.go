package config

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

//go:embed templates/*.yaml.tmpl
var templates embed.FS

// Templates lists the names that Render knows: full has production and
// a copy of it, with more environments to uncomment; mini is the set-up of two
// systems, live and dev.
func Templates() []string { return []string{"full", "mini"} }

// Measured is what `envdb init` found out for the file that it writes. Facts
// that were not measured are left out of the file.
type Measured struct {
	Project string `json:"project"`
	Store   Store  `json:"store"`
	// Identity is the reference to the identity that opens the store, KeyID the
	// fingerprint of its data key; empty for a store that is not encrypted.
	Identity string `json:"identity,omitempty"`
	KeyID    string `json:"key_id,omitempty"`
	// SourceURL and TargetURL are references, e.g. ${PROD_DATABASE_URL}; empty
	// means variables named after the environments.
	SourceURL string `json:"source_url,omitempty"`
	TargetURL string `json:"target_url,omitempty"`

	// Database and ServerVersion describe the source, Size is in bytes.
	Database      string `json:"database,omitempty"`
	ServerVersion string `json:"server_version,omitempty"`
	Size          int64  `json:"size,omitempty"`
	// BackupDuration is the median, measured or estimated.
	BackupDuration time.Duration `json:"backup_duration_ns,omitempty"`
	// Ladder is what is wanted; empty means the default. Render writes the
	// rungs that fit BackupDuration.
	Ladder schedule.Ladder `json:"-"`
}

// sheet is what a template sees: texts that stand in YAML as they are.
type sheet struct {
	Project, SourceURL, TargetURL string
	Store                         []string
	Ladder, MaxDuty               string
	Facts, LadderFacts            []string
}

// Render returns a commented configuration that Load accepts. It refuses what
// would hold a password: the file names secrets, it does not hold them.
func Render(name string, m Measured) ([]byte, error) {
	text, err := templates.ReadFile("templates/" + name + ".yaml.tmpl")
	if err != nil {
		p := envdb.Fail(envdb.ErrMisuse, "there is no template %q", name)
		return nil, p.WithNext("use one of %s", strings.Join(Templates(), ", "))
	}
	t, err := template.New(name).Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("parse template %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, m.sheet(name)); err != nil {
		return nil, fmt.Errorf("render template %s: %w", name, err)
	}
	// What was measured may hold anything; only a file that reads back is given out.
	c, err := Loader{WorkDir: "/"}.parse(FileName, b.Bytes(), nil)
	if err != nil {
		return nil, fmt.Errorf("render template %s: %w", name, err)
	}
	if err := c.refuseSecrets(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// refuseSecrets returns an error if a URL of the file holds a password.
func (c *Config) refuseSecrets() error {
	for _, d := range c.declarations() {
		if literalPassword(d.url.raw) {
			return envdb.Fail(envdb.ErrMisuse, "the URL of %s holds a password, which does not belong into the file", d.Name).
				WithNext("put the URL into a variable, and give env:NAME instead")
		}
	}
	return nil
}

// defaultURLs are the variables of a template's source and target.
func defaultURLs(name string) (source, target string) {
	if name == "mini" {
		return "${LIVE_DATABASE_URL}", "${DEV_DATABASE_URL}"
	}
	return "${PROD_DATABASE_URL}", "${PROD_COPY_DATABASE_URL}"
}

func (m Measured) sheet(name string) sheet {
	source, target := defaultURLs(name)
	if m.SourceURL != "" {
		source = m.SourceURL
	}
	if m.TargetURL != "" {
		target = m.TargetURL
	}
	ladder := m.Ladder
	if len(ladder) == 0 {
		ladder = schedule.DefaultLadder()
	}
	kept, suspended := ladder.Fit(m.BackupDuration, schedule.DefaultMaxDuty)
	return sheet{
		Project: scalar(m.Project), SourceURL: scalar(source), TargetURL: scalar(target), Store: m.storeLines(),
		Ladder: kept.String(), MaxDuty: fmt.Sprintf("%g%%", 100*schedule.DefaultMaxDuty),
		Facts: m.facts(), LadderFacts: m.ladderFacts(suspended),
	}
}

// storeLines are the keys of the section "store" that have a value.
func (m Measured) storeLines() []string {
	lines := []string{"url: " + scalar(m.Store.URL)}
	add := func(key, held string) {
		if held != "" {
			lines = append(lines, key+": "+scalar(held))
		}
	}
	add("endpoint", m.Store.Endpoint)
	add("region", m.Store.Region)
	add("profile", m.Store.Profile)
	if m.Store.PathStyle != nil {
		lines = append(lines, "path_style: "+strconv.FormatBool(*m.Store.PathStyle))
	}
	add("single_writer", m.Store.SingleWriter)
	if m.Identity == "" {
		return lines
	}
	encryption := "identity: " + scalar(m.Identity)
	if m.KeyID != "" {
		encryption += fmt.Sprintf(", key_id: %q", m.KeyID)
	}
	return append(lines,
		"# Backups are sealed here, before they are stored. Who loses every key",
		"# loses every backup. key_id says which data key is the right one.",
		"encryption: {"+encryption+"}",
	)
}

// facts says what the source is.
func (m Measured) facts() []string {
	if m.Database == "" {
		return nil
	}
	fact := "Measured: the database " + m.Database
	if m.Size > 0 {
		fact += ", " + humanize.IBytes(uint64(m.Size))
	}
	if m.ServerVersion != "" {
		fact += ", on PostgreSQL " + m.ServerVersion
	}
	return []string{comment(fact) + "."}
}

// ladderFacts says why the ladder begins where it does.
func (m Measured) ladderFacts(suspended schedule.Ladder) []string {
	if m.BackupDuration <= 0 {
		return nil
	}
	facts := []string{fmt.Sprintf("Measured: a backup takes about %s.", envdb.FormatDuration(max(m.BackupDuration.Round(time.Second), time.Second)))}
	if len(suspended) > 0 {
		words := strings.Trim(suspended.String(), "[]")
		facts = append(facts, fmt.Sprintf("Too fine for that, and left out: %s.", words))
	}
	return facts
}

// plainScalar is text that YAML takes for itself without quotes.
var plainScalar = regexp.MustCompile(`^(\$\{[A-Za-z_]\w*\}|[A-Za-z/][A-Za-z0-9._/-]*|(env|file):[A-Za-z0-9._/-]+|(file|s3|https?)://[A-Za-z0-9._:/-]+)$`)

// yamlWords are plain texts that YAML takes for something else.
var yamlWords = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n)$`)

// scalar writes text as a YAML scalar.
func scalar(text string) string {
	if plainScalar.MatchString(text) && !yamlWords.MatchString(text) {
		return text
	}
	// A JSON string is a YAML string; encoding/json escapes nothing that YAML
	// does not know.
	quoted, err := json.Marshal(text)
	if err != nil {
		return `""`
	}
	return string(quoted)
}

// comment keeps text on its line.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, text)
}
