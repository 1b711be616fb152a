// Package s3 keeps a store's objects in a bucket of any S3 endpoint.
//
// The one idea: an answer of S3 is believed only when it is whole. Every write
// carries a nonce in the object's metadata, so that after a lost answer envdb
// can tell its own write from another's; every body is counted; every listing
// must come in order and to its end; and every wait is bounded by progress, so
// that nothing hangs and nothing is given up that still moves.
//
// Conditions hold as the endpoint keeps them. Objects below one part (6 MiB)
// are written by one conditional PutObject, which is atomic wherever the
// endpoint honours If-None-Match and If-Match; that is all that leases, intents
// and manifests need. Larger ones are multipart uploads: where the profile says
// so CompleteMultipartUpload carries the condition, elsewhere it is checked
// just before, and two writers that complete at the same moment could both
// succeed. envdb's large objects lie below a backup's id, which a conditional
// intent reserves, so no two writers write one.
//
// An unconditional Put that is repeated after a lost answer may land twice. If
// an endpoint delays the first for longer than the caller takes to write the
// key again, the old content comes back; what must not be, must be conditional.
package s3

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/envdb/envdb"
)

// Config says where the bucket is and how to speak to it. Credentials come
// from AWS's default chain and from nowhere else.
type Config struct {
	// Bucket is required. Prefix is the folder in it, without slashes around
	// it; empty is the whole bucket.
	Bucket, Prefix string
	// Endpoint is the URL of the service; empty is AWS.
	Endpoint string
	// Region is empty for what the environment, or else the profile, says.
	Region string
	// Profile names the kind of endpoint; empty is told by the endpoint's host.
	Profile Profile
	// PathStyle puts the bucket into the path (true) or the host name (false);
	// nil does as the profile says.
	PathStyle *bool
	// SingleWriter is the id of the only writer, for endpoints that do not
	// honour conditional writes; empty where they do.
	SingleWriter string
	// Log gets retries and other surprises; nil is silence.
	Log *slog.Logger
	// Patience bounds waiting; its zero fields are the defaults.
	Patience Patience
}

// Patience bounds how long a call waits for the endpoint.
type Patience struct {
	// Throttled is how long a call repeats while told to slow down: 15 minutes.
	Throttled time.Duration
	// Unreachable is how long a call repeats while there is no sound answer: 2
	// minutes, or a tenth of it as long as the endpoint has never answered.
	Unreachable time.Duration
	// Stalled is how long a connection may move no byte: 30 seconds.
	Stalled time.Duration
	// Rate is how many bytes a second an upload must move on average: 16 KiB.
	// A trickle would pass the watch on standstill.
	Rate int64
	// Backoff is the longest first wait between two attempts, 100 ms; it
	// doubles up to 20 seconds.
	Backoff time.Duration
}

func (p Patience) withDefaults() Patience {
	for field, value := range map[*time.Duration]time.Duration{
		&p.Throttled: 15 * time.Minute, &p.Unreachable: 2 * time.Minute, &p.Stalled: 30 * time.Second, &p.Backoff: 100 * time.Millisecond,
	} {
		if *field == 0 {
			*field = value
		}
	}
	if p.Rate == 0 {
		p.Rate = 16 << 10
	}
	return p
}

// Store is a folder of a bucket as an envdb.Store.
type Store struct {
	config   Config
	traits   traits
	prefix   string // "" or ending in a slash
	client   *s3.Client
	patience Patience
	log      *slog.Logger
	calls    calls
	contact  contact
	writers  writers
	emulated [64]sync.Mutex // by key, for conditions that the endpoint does not keep
}

var _ envdb.Store = (*Store)(nil)

// Open returns the store in the bucket. It speaks to nobody: a wrong bucket or
// key shows at the first call, see Probe.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{config: c, patience: c.Patience.withDefaults(), log: c.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	host, err := c.host()
	if err != nil {
		return nil, err
	}
	if s.traits, err = traitsOf(c.Profile, host); err != nil {
		return nil, err
	}
	if s.prefix, err = prefixOf(c.Prefix); err != nil {
		return nil, err
	}
	if err := c.checkNames(); err != nil {
		return nil, err
	}
	loaded, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	s.client = s3.NewFromConfig(loaded, func(o *s3.Options) { s.tune(o) })
	return s, nil
}

// host returns the endpoint's host name, "" for AWS.
func (c Config) host() (string, error) {
	if c.Endpoint == "" {
		return "", nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", envdb.Fail(envdb.ErrMisuse, "the S3 endpoint is not a URL of the form https://host").
			WithNext("set store.endpoint, e.g. https://s3.example.com")
	}
	if u.User != nil {
		return "", envdb.Fail(envdb.ErrMisuse, "the S3 endpoint %s has credentials in it", u.Hostname()).
			WithNext("take them out; credentials come from AWS's default chain, e.g. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	return u.Hostname(), nil
}

func (c Config) checkNames() error {
	if c.Bucket == "" || strings.ContainsAny(c.Bucket, "/?# \t\n") {
		return envdb.Fail(envdb.ErrMisuse, "the bucket %q is not a bucket's name", c.Bucket).WithNext("set store.url, e.g. s3://my-bucket/envdb")
	}
	if c.SingleWriter != "" && (len(c.SingleWriter) > 128 || keyFault(c.SingleWriter) != "" || strings.Contains(c.SingleWriter, "/")) {
		return envdb.Fail(envdb.ErrMisuse, "single_writer %q is not a name", c.SingleWriter).WithNext("use letters, digits and dashes, e.g. single_writer: backup-host-1")
	}
	return nil
}

// load reads AWS's default chain.
func (s *Store) load(ctx context.Context) (aws.Config, error) {
	loaded, err := config.LoadDefaultConfig(ctx,
		config.WithLogger(sdkLog{s.log}), // given later, the chain of credentials would not know it
		config.WithHTTPClient(newHTTPClient(s.patience.Stalled)),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }), // retry.go decides
	)
	if err != nil {
		if ctx.Err() != nil {
			return aws.Config{}, ctx.Err()
		}
		return aws.Config{}, envdb.Fail(envdb.ErrMisuse, "read the AWS configuration: %w", err).
			WithNext("correct AWS_PROFILE, AWS_CONFIG_FILE or ~/.aws/config")
	}
	switch {
	case s.config.Region != "":
		loaded.Region = s.config.Region
	case loaded.Region == "":
		loaded.Region = s.traits.region
	}
	loaded.Credentials = namedCredentials{loaded.Credentials}
	return loaded, nil
}

// tune fits the client to the endpoint.
func (s *Store) tune(o *s3.Options) {
	if s.config.Endpoint != "" {
		o.BaseEndpoint = aws.String(strings.TrimSuffix(s.config.Endpoint, "/"))
	}
	o.UsePathStyle = s.traits.pathStyle
	if s.config.PathStyle != nil {
		o.UsePathStyle = *s.config.PathStyle
	}
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	if s.traits.checksums {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
	}
	o.ContinueHeaderThresholdBytes = -1 // several look-alikes answer 100 Continue late or never
	o.DisableLogOutputChecksumValidationSkipped = true
}

// String returns what the store is, without credentials.
func (s *Store) String() string { return "s3://" + s.config.Bucket + "/" + s.prefix }

// Endpoint returns the endpoint's URL and what kind it is taken for.
func (s *Store) Endpoint() (string, Profile) {
	if s.config.Endpoint == "" {
		return "https://s3." + s.client.Options().Region + ".amazonaws.com", s.traits.name
	}
	return s.config.Endpoint, s.traits.name
}

// Delete implements envdb.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	name, err := s.object(key)
	if err != nil {
		return err
	}
	if err := s.mayWrite(ctx); err != nil {
		return err
	}
	return s.remove(ctx, key, name)
}

func (s *Store) remove(ctx context.Context, key, name string) error {
	op := &operation{name: "DeleteObject", verb: "delete", key: key}
	_, err := call(ctx, s, op, func(ctx context.Context) (*s3.DeleteObjectOutput, error) {
		return s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.config.Bucket, Key: &name})
	})
	if isMissing(err) {
		return nil
	}
	return err
}

// Close logs how many calls were made. Idle connections end by themselves.
func (s *Store) Close() error {
	s.log.Debug("store calls", "store", s.String(), "calls", s.calls.snapshot())
	return nil
}

// sdkLog hands on what the SDK says. None of it needs anyone's attention: what
// does is an error, or a call that is repeated.
type sdkLog struct{ to *slog.Logger }

func (l sdkLog) Logf(_ logging.Classification, format string, v ...any) {
	l.to.Debug("aws sdk", "says", fmt.Sprintf(format, v...))
}

// namedCredentials marks the errors of the credential chain as such.
type namedCredentials struct{ chain aws.CredentialsProvider }

func (n namedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	held, err := n.chain.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = &credentialsError{err}
	}
	return held, err
}

// credentialsError says that there are no credentials to sign with.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// drain reads and closes the rest of a body, so that its connection can be
// used again, if that is little.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 4<<10) // what cannot be read is closed with the connection
	_ = body.Close()
}

// describe says what an operation does, for an error.
func (s *Store) describe(op *operation) string {
	if op.key == "" {
		return fmt.Sprintf("%s %s", op.verb, s)
	}
	return fmt.Sprintf("%s %s%s", op.verb, s, op.key)
}
