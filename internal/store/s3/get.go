package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/envdb/envdb"
)

// Get implements envdb.Store. A span past the end of the object is empty. The
// reader asks the endpoint again, from where it stopped, when the connection
// breaks, and only for the same state of the object.
func (s *Store) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	name, err := s.object(key)
	if err != nil {
		return nil, envdb.Object{}, err
	}
	if span.Offset < 0 || span.Length < 0 {
		return nil, envdb.Object{}, envdb.Fail(envdb.ErrMisuse, "read %s: negative span", key)
	}
	b := &body{store: s, ctx: ctx, key: key, name: name, next: span.Offset}
	err = b.open(span)
	for range mostBroken {
		if err != nil || span != (envdb.Span{}) || b.left > readAtOnce {
			break
		}
		if err = b.hold(); !errors.Is(err, errReplaced) {
			break
		}
		err = b.open(span)
	}
	if isBeyond(err) {
		object, err := s.head(ctx, key, name)
		if err != nil {
			return nil, envdb.Object{}, err
		}
		return io.NopCloser(bytes.NewReader(nil)), object.Object, nil
	}
	if err != nil {
		return nil, envdb.Object{}, err
	}
	return b, b.object, nil
}

// readAtOnce is the size up to which an object is read before Get returns. A
// lease is replaced while others read it: if the connection breaks in the
// middle of that, what stands there now is read instead.
const readAtOnce = 64 << 10

// errReplaced says that an object changed between two requests for its parts.
var errReplaced = errors.New("it was replaced while it was read")

// hold reads the body into memory.
func (b *body) hold() error {
	content, err := io.ReadAll(b)
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	b.r, b.left = io.NopCloser(bytes.NewReader(content)), int64(len(content))
	return nil
}

// isBeyond reports whether S3 refused a range because the object ends before.
func isBeyond(err error) bool {
	a := judge(err)
	return a.code == "InvalidRange" || a.status == 416
}

// headed is what HEAD tells of an object.
type headed struct {
	envdb.Object
	nonce string
}

// head asks for an object without its content. HEAD has no body, so it cannot
// tell a missing bucket from a missing object; callers have written there.
func (s *Store) head(ctx context.Context, key, name string) (headed, error) {
	op := &operation{name: "HeadObject", verb: "read", key: key}
	return call(ctx, s, op, func(ctx context.Context) (headed, error) { return s.headOnce(ctx, key, name) })
}

// headOnce is one attempt of head.
func (s *Store) headOnce(ctx context.Context, key, name string) (headed, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: &name})
	if err != nil {
		return headed{}, err
	}
	if out.ContentLength == nil || out.LastModified == nil || tagOf(out.ETag) == "" {
		return headed{}, fmt.Errorf("%w: it has no length, time or tag", errUnsound)
	}
	return headed{envdb.Object{Key: key, Size: *out.ContentLength, Tag: tagOf(out.ETag), Modified: *out.LastModified}, out.Metadata[nonceName]}, nil
}

func tagOf(etag *string) envdb.Tag {
	if etag == nil {
		return ""
	}
	return envdb.Tag(*etag)
}

// body reads a span of an object.
type body struct {
	store  *Store
	ctx    context.Context // of the Get that opened it: the reader is part of that call
	key    string
	name   string
	object envdb.Object
	next   int64 // the offset of the next byte
	left   int64 // bytes to come
	r      io.ReadCloser
	broken int // connections that broke since the last progress
	gained int64
}

const (
	// mostBroken is how many connections may break one after another.
	mostBroken = 5
	// progress is how many bytes make a broken connection forgotten.
	progress = 256 << 10
)

// open makes the first request.
func (b *body) open(span envdb.Span) error {
	out, err := b.request(rangeOf(span), nil)
	if err != nil {
		return err
	}
	start, size, err := extent(out, span)
	if err != nil {
		drain(out.Body)
		return fmt.Errorf("%s: %w", b.store.describe(b.operation()), err)
	}
	b.object = envdb.Object{Key: b.key, Size: size, Tag: tagOf(out.ETag), Modified: *out.LastModified}
	b.r, b.next, b.left = out.Body, start, size-start
	if span.Length > 0 {
		b.left = min(b.left, span.Length)
	}
	return nil
}

func (b *body) operation() *operation { return &operation{name: "GetObject", verb: "read", key: b.key} }

func (b *body) request(span *string, match *string) (*s3.GetObjectOutput, error) {
	return call(b.ctx, b.store, b.operation(), func(ctx context.Context) (*s3.GetObjectOutput, error) {
		out, err := b.store.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.store.config.Bucket, Key: &b.name, Range: span, IfMatch: match})
		if err == nil && (out.ContentLength == nil || out.LastModified == nil || tagOf(out.ETag) == "") {
			_ = out.Body.Close() // whatever it is, it is not the object
			return nil, fmt.Errorf("%w: it has no length, time or tag", errUnsound)
		}
		return out, err
	})
}

// rangeOf returns the header of a span, nil for the whole.
func rangeOf(span envdb.Span) *string {
	if span == (envdb.Span{}) {
		return nil
	}
	header := fmt.Sprintf("bytes=%d-", span.Offset)
	if span.Length > 0 {
		header += strconv.FormatInt(span.Offset+span.Length-1, 10)
	}
	return &header
}

// extent returns where the body of an answer begins and how large the whole
// object is.
func extent(out *s3.GetObjectOutput, span envdb.Span) (start, size int64, err error) {
	if rangeOf(span) == nil {
		return 0, *out.ContentLength, nil
	}
	if out.ContentRange == nil {
		return 0, 0, envdb.Fail(envdb.ErrPreflight, "the endpoint ignores ranges: it sent the whole object").
			WithState("nothing was changed").WithNext("use an endpoint that serves byte ranges")
	}
	text, _ := strings.CutPrefix(*out.ContentRange, "bytes ")
	interval, whole, _ := strings.Cut(text, "/")
	first, _, _ := strings.Cut(interval, "-")
	start, startErr := strconv.ParseInt(first, 10, 64)
	size, sizeErr := strconv.ParseInt(whole, 10, 64)
	if startErr != nil || sizeErr != nil || start != span.Offset || size < start {
		return 0, 0, fmt.Errorf("%w: it has the range %q", errUnsound, *out.ContentRange)
	}
	return start, size, nil
}

// Read implements io.Reader. It ends with io.EOF only behind the last byte of
// the span.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := b.ctx.Err(); err != nil {
			return 0, err
		}
		if b.r == nil {
			if err := b.resume(); err != nil {
				return 0, err
			}
		}
		n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
		b.advance(n)
		if err == nil || b.left == 0 {
			return n, nil
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if broken := b.breaks(err); broken != nil {
			return n, broken
		}
		if n > 0 {
			return n, nil
		}
	}
}

func (b *body) advance(n int) {
	b.next += int64(n)
	b.left -= int64(n)
	if b.gained += int64(n); b.gained >= progress {
		b.broken, b.gained = 0, 0
	}
}

// breaks notes that the connection broke, and returns an error if that has
// happened too often.
func (b *body) breaks(err error) error {
	_ = b.r.Close() // it is broken
	b.r = nil
	if ctxErr := b.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	b.gained = 0
	if b.broken++; b.broken <= mostBroken {
		b.store.calls.add(retries)
		b.store.tell(b.operation(), answer{class: unsound, err: err}, b.broken)
		return nil
	}
	return envdb.Fail(envdb.ErrUnreachable, "%s: the connection broke %d times, %d bytes before the end: %w", b.store.describe(b.operation()), b.broken, b.left, err).
		WithState("nothing was changed").WithNext("check the network to the store, then try again")
}

// resume asks for what is left of the same state of the object.
func (b *body) resume() error {
	if !sleep(b.ctx, b.store.wait(b.broken, answer{})) {
		return b.ctx.Err()
	}
	span := envdb.Span{Offset: b.next, Length: b.left}
	etag := string(b.object.Tag)
	out, err := b.request(rangeOf(span), &etag)
	if errors.Is(err, envdb.ErrCondition) {
		return envdb.Fail(envdb.ErrBusy, "%s: %w", b.store.describe(b.operation()), errReplaced).
			WithState("nothing was changed").WithNext("try again")
	}
	if err != nil {
		return err
	}
	_, size, err := extent(out, span)
	if err == nil && (size != b.object.Size || tagOf(out.ETag) != b.object.Tag) {
		err = fmt.Errorf("%w: the object is another one now", errUnsound)
	}
	if err != nil {
		drain(out.Body)
		return fmt.Errorf("%s: %w", b.store.describe(b.operation()), err)
	}
	b.r = out.Body
	return nil
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.r == nil {
		return nil
	}
	err := b.r.Close()
	b.r, b.left = nil, 0
	return err
}
