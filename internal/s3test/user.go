package s3test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/store/gateway"
)

// User has keys of its own and may do what its policy says.
type User struct{ AccessKey, SecretKey string }

// Env returns the variables that give a child process this user's credentials
// and no others.
func (u User) Env() []string { return gateway.Env(u.AccessKey, u.SecretKey) }

// Statement is a statement of a bucket's policy: what a user may do.
type Statement struct {
	// Actions are S3's, e.g. "s3:GetObject".
	Actions []string
	// Resources are below the bucket: "" is the bucket itself, "*" every
	// object, "envdb/*" those of a folder.
	Resources []string
	// Deny takes away what another statement allows.
	Deny bool
}

// User makes a user who may do with the bucket what the statements say, and
// nothing else. It replaces the bucket's policy.
func (s *Server) User(t testing.TB, bucket string, may ...Statement) User {
	t.Helper()
	u := s.Stranger(t)
	s.Allow(t, bucket, u, may...)
	return u
}

// Stranger makes a user who may do nothing that a policy does not give them.
func (s *Server) Stranger(t testing.TB) User {
	t.Helper()
	u := User{"user" + rand.Text()[:16], rand.Text()}
	if err := s.CreateUser(t.Context(), u.AccessKey, u.SecretKey); err != nil {
		t.Fatalf("s3test: %v", err)
	}
	s.keys.add(u.AccessKey, u.SecretKey)
	return u
}

// Allow replaces the bucket's policy by one that lets the user do what the
// statements say.
func (s *Server) Allow(t testing.TB, bucket string, u User, may ...Statement) {
	t.Helper()
	type principal struct {
		AWS []string
	}
	type statement struct {
		Effect           string
		Principal        principal
		Action, Resource []string
	}
	policy := struct {
		Version   string
		Statement []statement
	}{Version: "2012-10-17"}
	for _, m := range may {
		st := statement{Effect: "Allow", Principal: principal{[]string{u.AccessKey}}, Action: m.Actions}
		if m.Deny {
			st.Effect = "Deny"
		}
		for _, resource := range m.Resources {
			arn := "arn:aws:s3:::" + bucket
			if resource != "" {
				arn += "/" + resource
			}
			st.Resource = append(st.Resource, arn)
		}
		policy.Statement = append(policy.Statement, st)
	}
	text, err := json.Marshal(policy)
	if err == nil {
		err = s.SetPolicy(t, bucket, text)
	}
	if err != nil {
		t.Fatalf("s3test: %v", err)
	}
}

// SetPolicy replaces the bucket's policy, in S3's own words. Its error is that
// the server does not take it.
func (s *Server) SetPolicy(t testing.TB, bucket string, policy []byte) error {
	t.Helper()
	status, said := s.Send(t, s.owner(), http.MethodPut, "/"+bucket+"?policy", policy)
	if status >= 300 {
		return fmt.Errorf("set the policy: %d: %s", status, said)
	}
	return nil
}

func (s *Server) owner() User {
	access, secret := s.Keys()
	return User{access, secret}
}

// Send makes a request as a user, and returns the answer's status and body.
// The path begins with the bucket and may have a query.
func (s *Server) Send(t testing.TB, as User, method, path string, content []byte) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, bytes.NewReader(content))
	if err != nil {
		t.Fatalf("s3test: %v", err)
	}
	hash := sha256.Sum256(content)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(hash[:]))
	sign(request, as.AccessKey, as.SecretKey, time.Now())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("s3test: %v", err)
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		t.Fatalf("s3test: read the answer to %s %s: %v", method, path, err)
	}
	return response.StatusCode, body
}
