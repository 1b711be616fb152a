package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/envdb/envdb"
)

// PolicyMark says when a policy of retention was seen in force.
type PolicyMark struct {
	Hash        string // of its body: PolicyHash
	First, Last time.Time
}

// CalendarMark says since when a job has a schedule.
type CalendarMark struct {
	Job, Fingerprint string
	Since            time.Time
}

// MarkBurst records that a dense sequence of backups began.
func (r *Repository) MarkBurst(ctx context.Context, env string, begun time.Time) error {
	return r.mark(ctx, env, markBurst+"/"+inMark(begun), nil)
}

// UnmarkBurst removes the mark of a burst that is over.
func (r *Repository) UnmarkBurst(ctx context.Context, env string, begun time.Time) error {
	return r.Unmark(ctx, env, markBurst+"/"+inMark(begun))
}

// PolicyHash returns what names the mark of a policy.
func PolicyHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])[:16]
}

// MarkPolicy records that a policy was seen in force at first, and until last.
// It replaces what was recorded of the same policy.
func (r *Repository) MarkPolicy(ctx context.Context, env string, body []byte, first, last time.Time) error {
	prefix := markPolicy + "/" + PolicyHash(body) + "/"
	name := prefix + inMark(first) + "/" + inMark(last)
	if err := r.mark(ctx, env, name, body); err != nil {
		return err
	}
	key := r.keys.mark(env, name)
	for object, err := range r.store.List(ctx, r.keys.mark(env, prefix)) {
		if err == nil && object.Key != key {
			err = r.store.Delete(ctx, object.Key)
		}
		if err != nil {
			return fmt.Errorf("mark %s of %s: %w", name, env, err)
		}
	}
	return nil
}

// UnmarkPolicy forgets a policy that keeps nothing any more.
func (r *Repository) UnmarkPolicy(ctx context.Context, env, hash string) error {
	if err := checkName("environment", env); err != nil {
		return err
	}
	defer r.changed(ctx, env)
	for object, err := range r.store.List(ctx, r.keys.mark(env, markPolicy+"/"+hash+"/")) {
		if err == nil {
			err = r.store.Delete(ctx, object.Key)
		}
		if err != nil {
			return fmt.Errorf("forget the policy %s of %s: %w", hash, env, err)
		}
	}
	return nil
}

// PolicyBody returns the policy whose mark has the hash, or ErrNotFound. One
// that is not what was marked is an ErrVerification.
func (r *Repository) PolicyBody(ctx context.Context, env, hash string) ([]byte, error) {
	if err := checkName("environment", env); err != nil {
		return nil, err
	}
	for object, err := range r.store.List(ctx, r.keys.mark(env, markPolicy+"/"+hash+"/")) {
		if err != nil {
			return nil, fmt.Errorf("read the policy %s of %s: %w", hash, env, err)
		}
		body, err := r.policyBody(ctx, object.Key, hash)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was renewed at that moment
		}
		return body, err
	}
	return nil, envdb.Fail(envdb.ErrNotFound, "%s has no policy %s", env, hash).WithNext("run the command again")
}

func (r *Repository) policyBody(ctx context.Context, key, hash string) ([]byte, error) {
	stored, _, err := readAll(ctx, r.store, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	body, err := r.Unseal(key, stored)
	if err != nil {
		return nil, err
	}
	if got := PolicyHash(body); got != hash {
		return nil, envdb.Fail(envdb.ErrVerification, "%s is damaged: its hash is %s", key, got).
			WithNext("find out who can write to the store; if the policy is no longer in force, delete that object")
	}
	return body, nil
}

// MarkCalendar records since when a job has the schedule with the fingerprint.
// Other schedules of the job stay recorded, and what a clock that was ahead has
// recorded of this one.
func (r *Repository) MarkCalendar(ctx context.Context, env, job, fingerprint string, since time.Time) error {
	escaped, err := escapeJob(job)
	if err != nil {
		return err
	}
	if !isFingerprint(fingerprint) {
		return envdb.Fail(envdb.ErrMisuse, "the fingerprint %q of %s is not 16 hexadecimal digits", fingerprint, job)
	}
	prefix := markCalendar + "/" + escaped + "/" + fingerprint + "/"
	return r.markLatest(ctx, env, prefix, since)
}

// MarkTurn records the nominal time of the last success of a job that runs by
// the calendar. A later one stays: whether that is of a clock that was ahead, the
// reader judges. Earlier ones go once they are a few hours old by the store's
// clock: this machine's may be the one that is ahead.
func (r *Repository) MarkTurn(ctx context.Context, env, job string, nominal time.Time) error {
	escaped, err := escapeJob(job)
	if err != nil {
		return err
	}
	return r.markLatest(ctx, env, markTurn+"/"+escaped+"/", nominal)
}

// markLatest sets a mark whose name ends with a time, and removes those with
// earlier ones that were written some hours before it.
func (r *Repository) markLatest(ctx context.Context, env, prefix string, t time.Time) error {
	name := prefix + inMark(t)
	if err := r.mark(ctx, env, name, nil); err != nil {
		return err
	}
	return r.unmarkOlder(ctx, env, prefix, name, 3*time.Hour)
}

var fingerprintForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

func isFingerprint(s string) bool { return fingerprintForm.MatchString(s) }

func parsePolicyMark(words []string) (PolicyMark, bool) {
	if len(words) != 3 || !isFingerprint(words[0]) {
		return PolicyMark{}, false
	}
	first, err1 := time.Parse(markTime, words[1])
	last, err2 := time.Parse(markTime, words[2])
	return PolicyMark{Hash: words[0], First: first, Last: last}, err1 == nil && err2 == nil
}

// longestJob bounds the escaped name of a job, so that a directory store can
// have a directory of that name.
const longestJob = 200

// escapeJob returns the name of a job as one segment of a key.
func escapeJob(job string) (string, error) {
	if job == "" || !utf8.ValidString(job) {
		return "", envdb.Fail(envdb.ErrMisuse, "the name of a job is %q, which is not valid UTF-8 or empty", job)
	}
	var b strings.Builder
	for i := range len(job) {
		c := job[i]
		if c == '/' || c == '%' || c < ' ' || c == 0x7f || i == 0 && c == '.' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	if b.Len() > longestJob {
		return "", envdb.Fail(envdb.ErrMisuse, "the name of the job %.40s… has more than %d bytes", job, longestJob).WithNext("give it a shorter one")
	}
	return b.String(), nil
}

// unescapeJob reads what escapeJob wrote.
func unescapeJob(segment string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(segment); i++ {
		if segment[i] != '%' {
			b.WriteByte(segment[i])
			continue
		}
		if i+2 >= len(segment) {
			return "", false
		}
		c, err := strconv.ParseUint(segment[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), b.Len() > 0
}
