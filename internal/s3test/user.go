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
	u := User{"user" + rand.Text()[:16], rand.Text()}
	if err := s.CreateUser(t.Context(), u.AccessKey, u.SecretKey); err != nil {
		t.Fatalf("s3test: %v", err)
	}
	s.keys.add(u.AccessKey, u.SecretKey)
	s.Allow(t, bucket, u, may...)
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
		err = s.send(t, http.MethodPut, "/"+bucket+"?policy", text)
	}
	if err != nil {
		t.Fatalf("s3test: set the policy: %v", err)
	}
}

// send makes a request as the owner.
func (s *Server) send(t testing.TB, method, path string, content []byte) error {
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	hash := sha256.Sum256(content)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(hash[:]))
	access, secret := s.Keys()
	sign(request, access, secret, time.Now())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		said, _ := io.ReadAll(response.Body) // the status is the error
		return fmt.Errorf("%s: %s", response.Status, said)
	}
	return nil
}
