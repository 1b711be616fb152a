package main

import (
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/envdb/envdb/internal/s3test"
)

// userCommand is the script command "user ACTION…": from here on envdb uses the
// keys of a new user who may do these things with the script's bucket.
func userCommand(ts *testscript.TestScript, _ bool, args []string) {
	s := sceneOf(ts)
	u := s.s3.User(s.t, s.bucket, s3test.Statement{Actions: args, Resources: []string{"", "*"}})
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
