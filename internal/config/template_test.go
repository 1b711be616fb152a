package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	measured := config.Measured{
		Project: "acme", Store: config.Store{URL: "/var/lib/envdb/store"}, Database: "shop", Size: 3 << 30, ServerVersion: "15.18", BackupDuration: 40 * time.Second,
	}
	for name, m := range map[string]config.Measured{
		"measured":   measured,
		"unmeasured": {Project: "acme", Store: config.Store{URL: "./store"}, SourceURL: "env:SOURCE", TargetURL: "file:/etc/envdb/target"},
	} {
		for _, template := range config.Templates() {
			text, err := config.Render(template, m)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/"+template+"."+name+".golden", string(text))
			c := load(t, string(text))
			if store, err := c.Store(); err != nil || !strings.HasSuffix(store.URL, "/store") || c.Project != "acme" || len(c.Names()) != 2 {
				t.Errorf("%s: %s in %+v, %v", template, c.Project, store, err)
			}
			if source, target := c.Environments()[0], c.Environments()[1]; !source.Protected() || target.Protected() || target.Mirror.From != source.Name {
				t.Errorf("%s: from %+v to %+v", template, source, target)
			}
		}
	}
}

// What stands in comments is read too, once it is uncommented.
func TestTemplatesAreRightInTheirComments(t *testing.T) {
	t.Parallel()
	text, err := config.Render("full", config.Measured{Project: "acme", Store: config.Store{URL: "store"}})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	uncommented := 0
	commented := regexp.MustCompile(`^( *)# ( *[\w*-]+:[ \n].*)`)
	for line := range strings.Lines(string(text)) {
		if found := commented.FindStringSubmatch(line); found != nil && !strings.HasPrefix(found[2], "Measured:") {
			line = found[1] + strings.TrimSuffix(found[2], "\n") + "\n"
			uncommented++
		}
		lines = append(lines, line)
	}
	c := load(t, strings.Join(lines, ""))
	if names := strings.Join(c.Names(), " "); names != "prod prod-copy staging qa" || len(c.Patterns()) != 1 {
		t.Errorf("environments: %s and %d patterns", names, len(c.Patterns()))
	}
	if jobs := c.Jobs(); len(jobs) != 2 || len(c.Notifications()) != 2 || !c.Environments()[0].Sleeps || c.Daemon.Log != config.LogJSON {
		t.Errorf("jobs %v, notifications %v, daemon %+v", jobs, c.Notifications(), c.Daemon)
	}
	if uncommented < 40 {
		t.Errorf("only %d keys in comments:\n%s", uncommented, strings.Join(lines, ""))
	}
}

// What the docs show is read as it stands there.
func TestDocumentedConfigurations(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"configuration.md", "keys.md", "schedules.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", file))
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows no configuration", file)
		}
		for _, block := range blocks {
			if c := load(t, block[1]); len(c.Warnings) > 0 {
				t.Errorf("%s: %v", file, c.Warnings)
			}
		}
	}
}

func TestRenderQuotesAndRefuses(t *testing.T) {
	t.Parallel()
	text, err := config.Render("mini", config.Measured{Project: "null", Store: config.Store{URL: "/a b: #\"x"}, Database: "evil\nenvironments: {}", Size: 1, TargetURL: "host=h dbname=d user='#x'"})
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, string(text))
	if store, err := c.Store(); err != nil || store.URL != `/a b: #"x` || c.Project != "null" {
		t.Errorf("store %+v, project %s, %v", store, c.Project, err)
	}
	for name, m := range map[string]config.Measured{
		"name":     {Project: "a/b", Store: config.Store{URL: "s"}},
		"store":    {Project: "a", Store: config.Store{URL: "s3://"}},
		"nothing":  {},
		"url":      {Project: "a", Store: config.Store{URL: "s"}, SourceURL: "nonsense"},
		"twins":    {Project: "a", Store: config.Store{URL: "s"}, SourceURL: "${A}", TargetURL: "${A}"},
		"password": {Project: "a", Store: config.Store{URL: "s"}, SourceURL: "postgres://u:hunter2@h/db"},
	} {
		if text, err := config.Render("full", m); !errors.Is(err, envdb.ErrMisuse) || text != nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := config.Render("maxi", config.Measured{}); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("got %v", err)
	}
}
