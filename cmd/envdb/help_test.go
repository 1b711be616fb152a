package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the golden files")

// execute runs a command line without a process of its own.
func execute(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(args, strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs (-update writes it):\n--- got\n%s--- want\n%s", file, text, want)
	}
}

func TestHelpTexts(t *testing.T) {
	t.Parallel()
	for file, args := range map[string][]string{
		"help.txt":         {"--help"},
		"help-back.txt":    {"help", "back"},
		"help-mirror.txt":  {"mirror", "--help"},
		"help-restore.txt": {"help", "restore"},
	} {
		stdout, stderr, code := execute(t, args...)
		if code != 0 || stderr != "" {
			t.Errorf("%v: exit code %d, stderr %q", args, code, stderr)
		}
		golden(t, file, stdout)
	}
}

func TestHelpAsJSON(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"envdb back":   {"help", "back", "-o", "json"},
		"envdb mirror": {"mirror", "--help", "-o", "json"},
		"envdb":        {"-o", "json"},
	} {
		stdout, stderr, code := execute(t, args...)
		var help struct{ Command, Help string }
		if err := json.Unmarshal([]byte(stdout), &help); err != nil || code != 0 || stderr != "" || help.Command != want || help.Help == "" {
			t.Errorf("%v: %d, %v, %q: %q", args, code, err, stderr, stdout)
		}
	}
}

// commands returns the words that lead to every command that does something.
func commands(c *cobra.Command) [][]string {
	var all [][]string
	for _, child := range c.Commands() {
		if child.Runnable() || child.HasSubCommands() {
			all = append(all, strings.Fields(child.CommandPath())[1:])
		}
		all = append(all, commands(child)...)
	}
	return all
}

// TestEveryCommandExplainsItself holds each help text to the same form: it
// names the command, and whoever takes arguments or flags shows an example.
func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	root := newRootCommand(&app{})
	for _, words := range commands(root) {
		stdout, stderr, code := execute(t, append(words, "--help")...)
		if code != 0 || stderr != "" {
			t.Errorf("%v --help: exit code %d, stderr %q", words, code, stderr)
			continue
		}
		if !strings.Contains(stdout, "envdb "+strings.Join(words, " ")) {
			t.Errorf("%v --help does not name the command:\n%s", words, stdout)
		}
		c, _, err := root.Find(words)
		if err != nil {
			t.Fatal(err)
		}
		if takes := strings.Contains(c.Use, " "); takes && !c.HasParent() || takes && c.Example == "" && c.Parent().Example == "" {
			t.Errorf("%v --help shows no example", words)
		}
		for line := range strings.Lines(c.Example) {
			if line = strings.TrimSpace(line); !strings.Contains(line, "envdb ") && !strings.HasPrefix(line, "export ") {
				t.Errorf("%v: the example %q is no command line", words, line)
			}
		}
		if !strings.Contains(stdout, "Exit codes:") {
			t.Errorf("%v --help lists no exit codes", words)
		}
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown command":       {[]string{"mirrr"}, "Next: did you mean `envdb mirror`?"},
		"no command like it":    {[]string{"frobnicate"}, "Next: envdb --help"},
		"unknown subcommand":    {[]string{"env", "lst"}, "Next: use envdb env list or protect or url"},
		"unknown flag":          {[]string{"mirror", "--frsh", "a", "b"}, "Next: envdb mirror --help"},
		"flag without value":    {[]string{"backup", "prod", "--note"}, "Next: envdb backup --help"},
		"unknown output":        {[]string{"status", "-o", "yaml"}, "Next: use -o table or -o json"},
		"missing argument":      {[]string{"mirror", "prod"}, "DST is missing\nNext: envdb mirror --help"},
		"argument too many":     {[]string{"rollback", "a", "b"}, `unexpected "b"`},
		"empty name":            {[]string{"mirror", "", "b"}, "Next: "},
		"bad point":             {[]string{"mirror", "prod@yesterdy", "b"}, `"yesterdy" is not a point`},
		"empty point":           {[]string{"restore", "prod@"}, "the point is empty"},
		"future point":          {[]string{"restore", "prod@2190-01-01 00:00"}, "is in the future"},
		"a day is no moment":    {[]string{"restore", "prod@2020-01-01"}, "names a day, not a moment"},
		"bad age":               {[]string{"mirror", "prod", "b", "--max-age", "soon"}, "Next: "},
		"bad since":             {[]string{"runs", "--since", "soon"}, "Next: "},
		"env without a command": {[]string{"env"}, "list or protect or url is missing"},
	} {
		stdout, stderr, code := execute(t, c.args...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "\nNext: ") {
			t.Errorf("%s: exit code %d, stdout %q, stderr:\n%s", name, code, stdout, stderr)
		}
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		stdout, stderr, code := execute(t, "completion", shell)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "envdb") || len(stdout) < 1000 {
			t.Errorf("%s: exit code %d, %d bytes, stderr %q", shell, code, len(stdout), stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	stdout, _, code := execute(t, "version")
	if code != 0 || !strings.HasPrefix(stdout, "envdb dev ") || !strings.Contains(stdout, "repository format 1") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}
