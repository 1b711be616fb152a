package notify_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/notify"
)

func documentation(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// blocks returns the fenced blocks of docs/notifications.md of that
// language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var found []string
	for _, m := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?\n)```\n").FindAllStringSubmatch(documentation(t), -1) {
		found = append(found, m[1])
	}
	return found
}

// TestDocumentShowsWhatIsSent holds the examples of docs/notifications.md to
// what is sent.
func TestDocumentShowsWhatIsSent(t *testing.T) {
	t.Parallel()
	golden(t, "webhook.json", blocks(t, "json")[0])
	digest, err := os.ReadFile("testdata/digest.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(documentation(t), "\n```\n"+string(digest)+"```\n") {
		t.Errorf("the page does not show this digest:\n%s", digest)
	}
}

// schema is as much of JSON Schema as the page uses.
type schema struct {
	Required   []string `json:"required"`
	Properties map[string]struct {
		Type  string `json:"type"`
		Enum  []any  `json:"enum"`
		Const any    `json:"const"`
	} `json:"properties"`
}

// TestSchema holds the schema of the page to what is sent: it names each field,
// and requires those that are always there.
func TestSchema(t *testing.T) {
	t.Parallel()
	var s schema
	if err := json.Unmarshal([]byte(blocks(t, "json")[1]), &s); err != nil {
		t.Fatal(err)
	}
	service := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	sent := func(e notify.Event) map[string]any {
		if err := webhook(service.URL).Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(service.one(t).body, &fields); err != nil {
			t.Fatal(err)
		}
		return fields
	}
	var always []string
	for name := range sent(notify.Event{}) {
		always = append(always, name)
	}
	slices.Sort(always)
	slices.Sort(s.Required)
	if !slices.Equal(always, s.Required) {
		t.Errorf("always there: %v; required: %v", always, s.Required)
	}
	whole := sent(failing())
	for name, p := range s.Properties {
		value, found := whole[name]
		switch is := map[string]bool{"string": isA[string](value), "boolean": isA[bool](value), "integer": isA[float64](value), "object": isA[map[string]any](value)}; {
		case !found:
			t.Errorf("%s is described and not sent", name)
		case p.Type != "" && !is[p.Type]:
			t.Errorf("%s is %v, which is no %s", name, value, p.Type)
		case p.Const != nil && p.Const != value:
			t.Errorf("%s is %v, want %v", name, value, p.Const)
		}
	}
	for name := range whole {
		if _, described := s.Properties[name]; !described {
			t.Errorf("%s is sent and not described", name)
		}
	}
	for _, kind := range append(slices.Clone(everything), notify.KindFresh, notify.KindObjectiveMet, notify.KindTest) {
		fields := sent(notify.Event{Kind: kind})
		for _, name := range []string{"kind", "severity"} {
			if !slices.Contains(s.Properties[name].Enum, fields[name]) {
				t.Errorf("%s %v is not described", name, fields[name])
			}
		}
	}
	if n := len(s.Properties["kind"].Enum); n != len(everything)+3 {
		t.Errorf("%d kinds are described", n)
	}
}

func isA[T any](v any) bool { _, ok := v.(T); return ok }

// TestDocumentNamesEveryEvent: the table has a row for each kind that somebody
// can ask for.
func TestDocumentNamesEveryEvent(t *testing.T) {
	t.Parallel()
	for _, kind := range everything {
		if !strings.Contains(documentation(t), "\n| `"+string(kind)+"` | ") {
			t.Errorf("no row for %s", kind)
		}
	}
}
