package main

import (
	"bytes"
	"strings"
	"testing"
)

// Each damage of the self-test is found and named, at two places each; the
// command alone takes twenty.
func TestSelfTest(t *testing.T) {
	t.Parallel()
	var out, said bytes.Buffer
	a := &app{stdout: &out, stderr: &said, output: "table"}
	if err := a.runSelfTest(t.Context(), 2); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if !strings.Contains(out.String(), "all 20 drills of damaged copies failed and named the damage") || strings.Count(said.String(), " fails: ") != 20 {
		t.Errorf("%s\n%s", out.String(), said.String())
	}
}
