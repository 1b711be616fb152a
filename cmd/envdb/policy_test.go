package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/envdb/envdb/internal/s3test"
)

// policies is where the policies are that docs/threat-model.md tells people to
// copy. The scripts run with these files and no others.
const policies = "../../docs/policies"

// rolesCommand is the script command "roles PREFIX PROJECT ROLE=POLICY…": users
// of these names, made when first named, may do what docs/policies/POLICY.json
// says (+ stands between several), and nobody else may do anything. The policies
// are put together as docs/threat-model.md says.
func rolesCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: roles PREFIX PROJECT ROLE=POLICY…")
	}
	s := sceneOf(ts)
	var statements []json.RawMessage
	for _, arg := range args[2:] {
		role, names, _ := strings.Cut(arg, "=")
		user, known := s.roles[role]
		if !known {
			user = s.s3.Stranger(s.t)
			s.roles[role] = user
			s.passwords = append(s.passwords, user.SecretKey)
		}
		for name := range strings.SplitSeq(names, "+") {
			statements = append(statements, statementsOf(ts, name, "BUCKET/PREFIX", s.bucket+"/"+args[0], "BUCKET", s.bucket, "PROJECT", args[1], "PRINCIPAL", user.AccessKey)...)
		}
	}
	ts.Check(s.setPolicy(statements))
}

// statementsOf reads a policy and fills it in.
func statementsOf(ts *testscript.TestScript, name string, placeholders ...string) []json.RawMessage {
	text, err := os.ReadFile(filepath.Join(policies, name+".json"))
	ts.Check(err)
	var policy struct{ Statement []json.RawMessage }
	ts.Check(json.Unmarshal([]byte(strings.NewReplacer(placeholders...).Replace(string(text))), &policy))
	if len(policy.Statement) == 0 {
		ts.Fatalf("the policy %s has no statements", name)
	}
	return policy.Statement
}

func (s *scene) setPolicy(statements []json.RawMessage) error {
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		return err
	}
	return s.s3.SetPolicy(s.t, s.bucket, policy)
}

// refusedCommand is the script command "refused PREFIX PROJECT POLICY WORDS":
// the S3 server does not take that policy, so nothing here could try it.
func refusedCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: refused PREFIX PROJECT POLICY WORDS")
	}
	s := sceneOf(ts)
	statements := statementsOf(ts, args[2], "BUCKET/PREFIX", s.bucket+"/"+args[0], "PROJECT", args[1])
	if err := s.setPolicy(statements); err == nil || !strings.Contains(err.Error(), args[3]) {
		ts.Fatalf("the policy %s was answered by %v, want %q", args[2], err, args[3])
	}
}

// asCommand is the script command "as ROLE": from here on envdb uses the keys of
// a user that roles made.
func asCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: as ROLE")
	}
	s := sceneOf(ts)
	user, known := s.roles[args[0]]
	if !known {
		ts.Fatalf("there is no role %s", args[0])
	}
	useKeys(ts, user.Env())
}

// askCommand is the script command "ask STATUS METHOD KEY ROLE…": the S3 server
// answers the roles' plain requests for an object of the bucket with that
// status, and what it says is in the file answer. A PUT stores a few bytes.
func askCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 4 {
		ts.Fatalf("usage: ask STATUS METHOD KEY ROLE…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	s := sceneOf(ts)
	for _, role := range args[3:] {
		user := s.roles[role]
		if role == "owner" {
			access, secret := s.s3.Keys()
			user = s3test.User{AccessKey: access, SecretKey: secret}
		}
		var content []byte
		if slices.Contains([]string{"PUT", "POST"}, args[1]) {
			content = []byte("not envdb's")
		}
		status, said := s.s3.Send(s.t, user, args[1], "/"+s.bucket+"/"+args[2], content)
		if status != want {
			ts.Fatalf("%s: %s %s: got %d, want %d: %s", role, args[1], args[2], status, want, said)
		}
		ts.Check(os.WriteFile(ts.MkAbs("answer"), said, 0o600))
	}
}
