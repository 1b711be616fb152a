package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store/s3"
)

// The configuration, which knows no store, takes the profiles that there are.
func TestProfilesOfTheConfiguration(t *testing.T) {
	t.Parallel()
	var want []string
	for _, p := range s3.Profiles() {
		want = append(want, string(p))
	}
	got := config.Profiles()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the configuration takes %q, the store %q", got, want)
	}
}

// userCommand is the script command "user ACTION…": from here on envdb uses the
// keys of a new user who may do these things with the script's bucket. An
// argument !ACTION=OBJECT takes away a right to one object.
func userCommand(ts *testscript.TestScript, _ bool, args []string) {
	s := sceneOf(ts)
	var may []s3test.Statement
	var actions []string
	for _, arg := range args {
		if denied, isDenied := strings.CutPrefix(arg, "!"); isDenied {
			action, object, _ := strings.Cut(denied, "=")
			may = append(may, s3test.Statement{Actions: []string{action}, Resources: []string{object}, Deny: true})
			continue
		}
		actions = append(actions, arg)
	}
	u := s.s3.User(s.t, s.bucket, append(may, s3test.Statement{Actions: actions, Resources: []string{"", "*"}})...)
	s.passwords = append(s.passwords, u.SecretKey)
	useKeys(ts, u.Env())
}

// ownerCommand goes back to the keys of the bucket's owner.
func ownerCommand(ts *testscript.TestScript, _ bool, _ []string) {
	useKeys(ts, sceneOf(ts).s3.Env())
}

func useKeys(ts *testscript.TestScript, variables []string) {
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		ts.Setenv(name, value)
	}
}
