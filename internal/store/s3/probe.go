package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Ability is whether an endpoint can do something.
type Ability string

// The answers of a probe. Unknown: it could not be tried.
const (
	Can     Ability = "yes"
	Cannot  Ability = "no"
	Unknown Ability = "unknown"
)

// Capability is one thing that an endpoint was tried for.
type Capability struct {
	Name   string  `json:"name"`
	Can    Ability `json:"can"`
	Detail string  `json:"detail,omitempty"`
	// Needed: envdb cannot work with this configuration without it.
	Needed bool `json:"needed"`
}

// Capabilities is what an endpoint can do, as tried out.
type Capabilities struct {
	Endpoint string  `json:"endpoint"`
	Region   string  `json:"region"`
	Profile  Profile `json:"profile"`
	Bucket   string  `json:"bucket"`
	Prefix   string  `json:"prefix,omitempty"`
	// Skew is how far this machine's clock is ahead of the endpoint's; zero
	// also where the endpoint does not say its time.
	Skew time.Duration `json:"skew_ns"`
	List []Capability  `json:"capabilities"`
}

// Err returns an error of kind ErrPreflight that names what is needed and the
// endpoint cannot do, or nil.
func (c Capabilities) Err() error {
	var missing []string
	conditions := false
	for _, one := range c.List {
		if one.Needed && one.Can == Cannot {
			missing = append(missing, one.Name)
			conditions = conditions || strings.HasPrefix(one.Name, "conditional")
		}
	}
	if len(missing) == 0 {
		return nil
	}
	next := "use another endpoint, or correct the policy of these credentials"
	if conditions {
		next = "let one daemon write, store.single_writer: ID, or use an endpoint with conditional writes"
	}
	return envdb.Fail(envdb.ErrPreflight, "the endpoint %s cannot do what envdb needs: %s", c.Endpoint, strings.Join(missing, ", ")).
		WithState("nothing was changed").WithNext("%s", next)
}

// Probe tries what the endpoint can do with these credentials, on a few small
// objects below .envdb/probe/ which it deletes. Its error says that nothing
// could be tried: no endpoint, no bucket, no credentials. That leases hold on
// the store as a whole is for ledger.Probe; this says what the endpoint does.
func (s *Store) Probe(ctx context.Context) (Capabilities, error) {
	endpoint, profile := s.Endpoint()
	c := Capabilities{Endpoint: endpoint, Region: s.client.Options().Region, Profile: profile, Bucket: s.config.Bucket, Prefix: strings.TrimSuffix(s.prefix, "/")}
	p := &probe{store: s, folder: hidden + "probe/" + rand.Text() + "/"}
	l := &listing{store: s, prefix: p.folder, folder: s.prefix}
	begun := time.Now()
	if _, err := l.page(ctx); err != nil {
		return c, err
	}
	if err := s.mayWrite(ctx); err != nil {
		return c, err
	}
	if !l.now.IsZero() {
		c.Skew = skew(begun, time.Now(), l.now)
	}
	c.add("clock", false, func() (string, error) { return aboutClock(begun, time.Now(), l.now) })
	for _, check := range p.checks() {
		if err := ctx.Err(); err != nil {
			return c, errors.Join(err, p.tidy(ctx))
		}
		c.add(check.name, check.needed, func() (string, error) { return check.try(ctx) })
	}
	return c, errors.Join(ctx.Err(), p.tidy(ctx))
}

// add tries one thing and takes down how it went.
func (c *Capabilities) add(name string, needed bool, try func() (string, error)) {
	detail, err := try()
	one := Capability{Name: name, Can: Can, Detail: detail, Needed: needed}
	if err != nil {
		one.Can, one.Detail = Cannot, err.Error()
	}
	if errors.Is(err, errUntried) || errors.Is(err, envdb.ErrUnreachable) {
		one.Can = Unknown
	}
	c.List = append(c.List, one)
}

// errUntried says that something could not be tried, because what it builds
// on did not work.
var errUntried = errors.New("not tried: what it builds on does not work")

// mostSkew is from where on S3 refuses requests.
const mostSkew = 15 * time.Minute

// aboutClock compares the endpoint's clock, which was read between two moments
// of this machine's.
func aboutClock(before, after, theirs time.Time) (string, error) {
	if theirs.IsZero() {
		return "", fmt.Errorf("%w: the endpoint does not say its time", errUntried)
	}
	off := skew(before, after, theirs)
	switch {
	case off.Abs() >= mostSkew:
		return "", fmt.Errorf("this machine's clock is %s off the endpoint's, which refuses more than %s: set it, e.g. with timedatectl set-ntp true", off.Round(time.Minute), mostSkew)
	case off.Abs() > time.Minute:
		return fmt.Sprintf("this machine's clock is %s off the endpoint's", off), nil
	}
	return "in step within a minute", nil
}

// skew is how far this machine's clock is ahead of theirs, which was read
// between two moments of this machine's. S3 tells whole seconds.
func skew(before, after, theirs time.Time) time.Duration {
	mine := before.Add(after.Sub(before) / 2)
	return mine.Sub(theirs).Round(time.Second)
}

// tidy deletes what the probe wrote.
func (p *probe) tidy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortPatience)
	defer cancel()
	var errs []error
	for _, key := range p.written {
		if err := p.store.remove(ctx, key, p.store.prefix+key); err != nil && !p.noDelete {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
