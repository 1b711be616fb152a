package daemon_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/envdb/envdb/internal/daemon"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const root = "../../"

// metric is what a descriptor says.
type metric struct {
	name, help, labels string
}

var description = regexp.MustCompile(`fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)",(?: unit: "[^"]*",)? constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}`)

// described lists the metrics that are envdb's own.
func described(t *testing.T) []metric {
	t.Helper()
	descs := make(chan *prometheus.Desc, 1000)
	daemon.NewMetrics("test").Registry().Describe(descs)
	close(descs)
	var all []metric
	for d := range descs {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		if strings.HasPrefix(m[1], "envdb_") {
			all = append(all, metric{m[1], m[2], strings.ReplaceAll(m[3], ",", ", ")})
		}
	}
	slices.SortFunc(all, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	if len(all) < 20 {
		t.Fatalf("found %d metrics", len(all))
	}
	return all
}

// docs/metrics.md lists every metric, as the code describes it.
func TestDocumentedMetrics(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- metrics -->\n", "<!-- end of metrics -->"
	var table strings.Builder
	table.WriteString("| metric | labels | what it says |\n|---|---|---|\n")
	for _, m := range described(t) {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", m.name, m.labels, m.help)
	}
	path := filepath.Join(root, "docs/metrics.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(page, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		t.Fatalf("%s has no place for the metrics", path)
	}
	want := slices.Concat(before, []byte(begin), []byte(table.String()), []byte(end), after)
	if bytes.Equal(page, want) {
		return
	}
	if !*update {
		t.Fatalf("%s shows other metrics; go test ./internal/daemon -run Documented -update", path)
	}
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

var metricNames = regexp.MustCompile(`\benvdb_[a-z_]+`)

// Alerts and dashboard ask for nothing that nobody says.
func TestAlertsAndDashboardKnowTheMetrics(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range described(t) {
		known[m.name] = true
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			known[m.name+suffix] = true
		}
	}
	for _, file := range []string{"packaging/prometheus/envdb.rules.yml", "packaging/prometheus/envdb.rules.test.yml", "packaging/grafana/envdb.json"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		names := metricNames.FindAllString(string(text), -1)
		if len(names) == 0 {
			t.Errorf("%s asks for no metric", file)
		}
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s asks for %s, which there is not", file, name)
			}
		}
	}
}

// Every alert is in a test of the rules, and promtool agrees with both files.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(root, "packaging/prometheus/envdb.rules.yml")
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", rules}, {"test", "rules", filepath.Join(root, "packaging/prometheus/envdb.rules.test.yml")}} {
		out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput()
		if err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	alerts, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	tested, err := os.ReadFile(filepath.Join(root, "packaging/prometheus/envdb.rules.test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)alert: (\w+)$`).FindAllStringSubmatch(string(alerts), -1) {
		if !strings.Contains(string(tested), m[1]) {
			t.Errorf("the alert %s is never seen to fire", m[1])
		}
	}
}

// The dashboard is JSON, and no two panels lie on each other.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "packaging/grafana/envdb.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Panels) < 10 {
		t.Fatalf("it has %d panels", len(board.Panels))
	}
	for i, p := range board.Panels {
		if len(p.Targets) == 0 || p.Targets[0].Expr == "" {
			t.Errorf("the panel %q shows nothing", p.Title)
		}
		for _, q := range board.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("the panels %q and %q lie on each other", p.Title, q.Title)
			}
		}
	}
}
