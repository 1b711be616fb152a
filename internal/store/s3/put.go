package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"

	"github.com/envdb/envdb"
)

const (
	// partSize lets the 1,000 parts that some endpoints allow hold 6 GB.
	partSize = 6 << 20
	// uploadsAtOnce is how many parts of one object are under way. An upload
	// holds up to three parts in memory, so two at once take some 40 MB.
	uploadsAtOnce = 2
	// nonceName is the metadata that tells one write from another.
	nonceName = "envdb-write"
	// abortPatience bounds the tidying up behind an upload that failed.
	abortPatience = 15 * time.Second
)

// Put implements envdb.Store. A condition that is met by this very write, when
// an earlier attempt got through and its answer was lost, counts as held.
func (s *Store) Put(ctx context.Context, key string, content io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	name, err := s.object(key)
	if err != nil {
		return "", err
	}
	if err := s.mayWrite(ctx); err != nil {
		return "", err
	}
	if s.config.SingleWriter != "" && cond != (envdb.Condition{}) {
		return s.putEmulated(ctx, key, name, content, cond)
	}
	return s.put(ctx, key, name, content, cond)
}

// put writes an object in one request or in parts.
func (s *Store) put(ctx context.Context, key, name string, content io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	u := &upload{store: s, key: key, name: name, cond: cond, nonce: rand.Text()}
	source := &source{ctx: ctx, r: content, stop: stop}
	_, err := transfermanager.New(u, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold = partSize, partSize
		o.MaxUploadParts, o.Concurrency = s.traits.parts, uploadsAtOnce
		o.RequestChecksumCalculation = s.client.Options().RequestChecksumCalculation
	}).UploadObject(ctx, u.input(source))
	switch {
	case source.err != nil:
		err = fmt.Errorf("write %s%s: read what is written: %w", s, key, source.err)
	case u.err != nil:
		err = u.err // the transfer manager wraps it, or another that it caused
	case err != nil:
		err = fmt.Errorf("write %s%s: %w", s, key, err)
	}
	if err != nil {
		return "", errors.Join(err, u.abort(ctx))
	}
	if u.id == nil {
		return u.tag, nil
	}
	return u.check(ctx)
}

// input is what the transfer manager sends in the requests of the upload.
func (u *upload) input(content io.Reader) *transfermanager.UploadObjectInput {
	input := &transfermanager.UploadObjectInput{
		Bucket: &u.store.config.Bucket, Key: &u.name, Body: content, Metadata: map[string]string{nonceName: u.nonce},
	}
	if u.cond.Absent() {
		input.IfNoneMatch = aws.String("*")
	}
	if tag := u.cond.Match(); tag != "" {
		input.IfMatch = aws.String(string(tag))
	}
	return input
}

// source reads what is written, and remembers how that ended.
type source struct {
	ctx  context.Context // of the Put
	r    io.Reader
	stop context.CancelFunc
	err  error
}

func (r *source) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
		r.stop() // no part need be sent any more
	}
	return n, err
}
