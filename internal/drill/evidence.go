package drill

import (
	"bytes"
	"fmt"
	"html/template"
	"time"
)

// Exhibit is a report with its text as it is stored.
type Exhibit struct {
	Report *Report
	Raw    []byte
}

// Name is what the files of an exhibit are called, without an extension.
func (e Exhibit) Name() string { return fmt.Sprintf("drill-%06d", e.Report.Number) }

// Control is a requirement of a standard that restore drills answer.
type Control struct{ Standard, Reference, Asks string }

// Controls are those that auditors ask about.
func Controls() []Control {
	return []Control{
		{"NIST SP 800-53 Rev. 5", "CP-9(1)", "Test backup information to verify media reliability and information integrity."},
		{"SOC 2 (TSC 2017)", "A1.3", "The entity tests recovery plan procedures supporting system recovery to meet its objectives."},
		{"ISO/IEC 27001:2022", "A.8.13", "Backup copies of information, software and systems are maintained and regularly tested."},
	}
}

var index = template.Must(template.New("index").Funcs(template.FuncMap{"clock": clock, "show": show, "hash": Hash}).Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Restore drills {{.From}} to {{.Until}}</title>
<style>
:root { color-scheme: light dark } body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 32px auto; padding: 0 20px }
table { border-collapse: collapse; width: 100%; font-size: 14px } td, th { text-align: left; padding: 5px 12px 5px 0; border-top: 1px solid #8884; vertical-align: top }
code { font-size: 12px; overflow-wrap: anywhere } .fail { color: #c0342b; font-weight: 600 } .pass { color: #1a7f4b }
</style>
<h1>Restore drills, {{.From}} to {{.Until}}</h1>
<p>{{len .Exhibits}} drills, {{.Passed}} passed. The chain of all {{.Chain.Reports}} reports {{if .Chain.Broken}}<b class="fail">is broken</b>: {{range .Chain.Broken}}{{.}}. {{end}}{{else}}is whole; the last has the SHA-256 <code>{{.Chain.Last}}</code>.{{end}}
Each report carries the hash of the one before it. <code>sha256sum *.json</code> gives the hashes of this table.</p>
<table><tr><th>drill</th><th>began</th><th>restored</th><th>point</th><th>outcome</th><th>RTO</th><th>report</th></tr>
{{range .Exhibits}}<tr><td>{{.Report.Number}}{{with .Report.Drill}} {{.}}{{end}}</td><td>{{clock .Report.Started}}</td><td>{{.Report.From}} beside {{.Report.Into}}</td><td>{{clock .Report.Point}}</td><td class="{{.Report.Outcome}}">{{.Report.Outcome}}</td><td>{{show .Report.Measured.RTO}}</td>
<td><a href="{{.Name}}.html">page</a> <a href="{{.Name}}.md">text</a> <a href="{{.Name}}.json">json</a><br><code>{{hash .Raw}}</code></td></tr>
{{end}}</table>
<h2>What they are evidence of</h2>
<table>{{range .Controls}}<tr><td>{{.Standard}}</td><td><b>{{.Reference}}</b></td><td>{{.Asks}}</td></tr>{{end}}</table>
</html>
`))

// Index returns the page that leads to the exhibits.
func Index(exhibits []Exhibit, chain Verification, from, until time.Time) ([]byte, error) {
	passed := 0
	for _, e := range exhibits {
		if e.Report.Outcome == Pass {
			passed++
		}
	}
	var w bytes.Buffer
	err := index.Execute(&w, struct {
		From, Until string
		Exhibits    []Exhibit
		Passed      int
		Chain       Verification
		Controls    []Control
	}{from.UTC().Format(time.DateOnly), until.UTC().Format(time.DateOnly), exhibits, passed, chain, Controls()})
	return w.Bytes(), err
}
