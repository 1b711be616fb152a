package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// advice is what an answer means to a person.
type advice struct {
	kind  error
	what  string // follows "write s3://…: "
	state string
	next  string
}

const unchanged = "nothing was written or deleted by this call"

// advices are by S3's code. {region} is what requests are signed for.
var advices = map[string]advice{
	"NoSuchBucket": {envdb.ErrPreflight, "there is no bucket {bucket} at {endpoint}", unchanged,
		"create the bucket, or correct store.url and store.endpoint"},
	"InvalidBucketName": {envdb.ErrMisuse, "{endpoint} does not take {bucket} as a bucket's name", unchanged,
		"correct store.url, e.g. s3://my-bucket/envdb"},
	"InvalidAccessKeyId": {envdb.ErrPreflight, "{endpoint} does not know the access key", unchanged,
		"check AWS_ACCESS_KEY_ID, AWS_PROFILE or the role, and that they belong to this endpoint"},
	"SignatureDoesNotMatch": {envdb.ErrPreflight, "the secret key does not belong to the access key (or a proxy changes requests)", unchanged,
		"check AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the role"},
	"ExpiredToken": {envdb.ErrPreflight, "the credentials have expired", unchanged,
		"log in again (e.g. aws sso login), or give envdb credentials that renew themselves: a role or a profile"},
	"InvalidToken": {envdb.ErrPreflight, "the session token is not valid", unchanged,
		"take AWS_SESSION_TOKEN out or renew it together with the keys"},
	"AccessDenied": {envdb.ErrPreflight, "the credentials do not allow it", unchanged,
		"allow it in the bucket's or the user's policy; docs/threat-model.md has the least that a writer and a reader need"},
	"RequestTimeTooSkewed": {envdb.ErrPreflight, "this machine's clock is too far from {endpoint}'s", unchanged,
		"set the clock, e.g. with timedatectl set-ntp true"},
	"PermanentRedirect": {envdb.ErrPreflight, "the bucket {bucket} is not in the region {region}", unchanged,
		"set store.region to the bucket's region"},
	"AuthorizationHeaderMalformed": {envdb.ErrPreflight, "{endpoint} does not accept requests signed for the region {region}", unchanged,
		"set store.region to the bucket's region"},
	"KMS.DisabledException": {envdb.ErrPreflight, "the key that the bucket encrypts with is disabled", unchanged,
		"enable the KMS key or choose another for the bucket"},
	"InvalidObjectState": {envdb.ErrPreflight, "the object was moved to an archive", unchanged,
		"restore it from the archive, and take the lifecycle rule off the store's prefix"},
	"NotImplemented": {envdb.ErrPreflight, "{endpoint} does not implement what the call needs", unchanged,
		"run envdb doctor; without conditional writes set store.single_writer"},
	"QuotaExceeded": {envdb.ErrPreflight, "the store is full", unchanged,
		"make room or raise the quota, then run it again"},
	"EntityTooLarge": {envdb.ErrPreflight, "{endpoint} does not take objects or parts of this size", unchanged,
		"set store.profile to the kind of endpoint that this is"},
	notS3: {envdb.ErrPreflight, "{endpoint} does not answer as S3 does", unchanged,
		"correct store.endpoint: it is the URL of the S3 service, without the bucket"},
	"AccountProblem": {envdb.ErrPreflight, "the account is blocked", unchanged, "ask the endpoint's operator"},
}

// notS3 is what a 404 means that no S3 service gives.
const notS3 = "envdb: not S3"

// sameAs are other codes for the same.
var sameAs = map[string]string{
	"InvalidSecurity": "InvalidAccessKeyId", "UnrecognizedClientException": "InvalidToken", "TokenRefreshRequired": "ExpiredToken",
	"ExpiredTokenException": "ExpiredToken", "AllAccessDisabled": "AccessDenied", "AccountProblem": "AccountProblem", "Forbidden": "AccessDenied",
	"IllegalLocationConstraintException": "PermanentRedirect", "TemporaryRedirect": "PermanentRedirect", "MovedPermanently": "PermanentRedirect",
	"IncorrectEndpoint": "PermanentRedirect", "XMinioStorageFull": "QuotaExceeded", "InsufficientStorage": "QuotaExceeded", "StorageFull": "QuotaExceeded",
	"InsufficientCapacity": "QuotaExceeded", "Unauthorized": "AccessDenied", "UserSuspended": "AccountProblem", "MethodNotAllowed": "NotImplemented",
}

// byStatus are for answers without a code that is known.
var byStatus = map[int]string{
	http.StatusForbidden: "AccessDenied", http.StatusUnauthorized: "AccessDenied", http.StatusInsufficientStorage: "QuotaExceeded",
	http.StatusMovedPermanently: "PermanentRedirect", http.StatusTemporaryRedirect: "PermanentRedirect", http.StatusNotImplemented: "NotImplemented",
	http.StatusRequestEntityTooLarge: "EntityTooLarge", http.StatusNotFound: notS3,
}

// adviceOn finds what to say of an answer.
func adviceOn(a answer) (advice, bool) {
	for _, code := range []string{a.code, sameAs[a.code], byStatus[a.status]} {
		if found, ok := advices[code]; ok {
			return found, true
		}
	}
	return advice{}, false
}

// explain turns what ended an operation into an error for a person. Not-found
// is fs.ErrNotExist and a condition that does not hold envdb.ErrCondition.
func (s *Store) explain(op *operation, a answer, spent time.Duration) error {
	var credentials *credentialsError
	switch {
	case errors.As(a.err, &credentials):
		return envdb.Fail(envdb.ErrPreflight, "%s: no credentials: %w", s.describe(op), rootOf(credentials.err)).WithState("%s", unchanged).
			WithNext("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give this machine a role")
	case a.status == http.StatusPreconditionFailed || a.code == "PreconditionFailed":
		return fmt.Errorf("%s: %w", s.describe(op), envdb.ErrCondition)
	case a.code == "NoSuchKey" || a.code == noSuchUpload || op.name == "HeadObject" && a.status == http.StatusNotFound:
		return &missingError{what: s.describe(op), code: a.code}
	case a.class == throttled:
		return envdb.Fail(envdb.ErrUnreachable, "%s: the endpoint has asked to slow down for %s (%s)", s.describe(op), spent.Round(time.Second), a.reason()).
			WithState("%s", op.state()).WithNext("try again later; let fewer things use the bucket at once, or raise the endpoint's limit")
	case a.class == unsound:
		return s.unreachable(op, a, spent)
	case a.class == conflict:
		return envdb.Fail(envdb.ErrBusy, "%s: others write the same object all the time (%s)", s.describe(op), a.reason()).
			WithState("%s", op.state()).WithNext("try again")
	}
	if found, ok := adviceOn(a); ok {
		endpoint, _ := s.Endpoint()
		what := strings.NewReplacer("{bucket}", s.config.Bucket, "{endpoint}", endpoint, "{region}", s.client.Options().Region).Replace(found.what)
		return envdb.Fail(found.kind, "%s: %s: %w", s.describe(op), what, plain(a)).WithState("%s", found.state).WithNext("%s", found.next)
	}
	return envdb.Fail(nil, "%s: %w", s.describe(op), plain(a)).WithState("%s", op.state()).WithNext("run envdb doctor, which tries what the endpoint can do")
}

// unreachable says that no answer came, or none that can be believed.
func (s *Store) unreachable(op *operation, a answer, spent time.Duration) error {
	endpoint, _ := s.Endpoint()
	if errors.Is(a.err, errTooSlow) {
		return envdb.Fail(envdb.ErrUnreachable, "%s: %w", s.describe(op), errTooSlow).WithState("%s", op.state()).
			WithNext("check the network to %s", endpoint)
	}
	how := "does not answer"
	if a.status != 0 {
		how = "does not answer as it should"
	}
	return envdb.Fail(envdb.ErrUnreachable, "%s: %s %s, tried for %s: %w", s.describe(op), endpoint, how, spent.Round(time.Second), plain(a)).
		WithState("%s", op.state()).WithNext("check the network, and store.endpoint; envdb doctor tries the endpoint")
}

// state says what an operation that failed may have done.
func (op *operation) state() string {
	if op.verb == "read" || op.verb == "list" {
		return "nothing was changed"
	}
	return "it is not known whether the endpoint has done it; what is half written is not visible"
}

// stopped is what a call returns whose context ended.
func (s *Store) stopped(ctx context.Context, op *operation) error {
	return fmt.Errorf("%s: %w", s.describe(op), ctx.Err())
}

// missingError is the absence of an object, or of an upload.
type missingError struct{ what, code string }

func (e *missingError) Error() string { return e.what + ": " + fs.ErrNotExist.Error() }
func (e *missingError) Unwrap() error { return fs.ErrNotExist }

// noSuchUpload is the code of an upload that was completed or aborted.
const noSuchUpload = "NoSuchUpload"

// isMissing reports whether the object is not there.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// refusal is an error of S3 without the SDK's words around it.
type refusal struct {
	text string
	err  error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.err }

// plain returns the error in as many words as help. The whole of it stays in
// the chain.
func plain(a answer) error {
	root := rootOf(a.err).Error()
	switch {
	case a.code != "":
		root = a.code
	case a.status >= 300:
		root = fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	}
	if a.request != "" {
		root += ", request " + a.request
	}
	return &refusal{root, a.err}
}
