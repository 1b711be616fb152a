package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/envdb/envdb"
)

// upload is the write of one object. It is the S3 client of its transfer
// manager: each of its calls is repeated, counted and settled like every other
// of the store. What fails it keeps, because the transfer manager hands errors
// on without their chain and logs to standard error.
type upload struct {
	transfermanager.S3APIClient // what an upload does not call

	store *Store
	key   string
	name  string
	cond  envdb.Condition
	nonce string

	id   *string      // of the multipart upload, once there is one
	done bool         // the multipart upload was completed or aborted
	sent atomic.Int64 // bytes in parts
	tag  envdb.Tag
	err  error // of the request that decides
	// failed keeps the error of the first of the parts under way that fails;
	// what follows, the transfer manager does not call.
	failed sync.Once
}

func (u *upload) operation(name string) *operation {
	return &operation{name: name, verb: "write", key: u.key}
}

// sized returns the length of a part and rewinds it.
func sized(content io.Reader) (io.ReadSeeker, int64, error) {
	part, ok := content.(io.ReadSeeker)
	if !ok {
		return nil, 0, errors.New("a part cannot be rewound")
	}
	size, err := part.Seek(0, io.SeekEnd)
	return part, size, err
}

// PutObject writes a small object.
func (u *upload) PutObject(ctx context.Context, in *s3.PutObjectInput, options ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	part, size, err := sized(in.Body)
	if err != nil {
		return nil, err
	}
	op := u.operation("PutObject")
	op.size = size
	out, err := call(ctx, u.store, op, func(ctx context.Context) (*s3.PutObjectOutput, error) {
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		out, err := u.store.client.PutObject(ctx, in, options...)
		if err == nil && tagOf(out.ETag) == "" {
			return nil, errUnsound
		}
		return out, err
	})
	if err != nil {
		return &s3.PutObjectOutput{}, u.settle(ctx, op, err)
	}
	u.tag = tagOf(out.ETag)
	return out, nil
}

// settle decides what the failure of the deciding request means, by what
// stands under the key now: an attempt whose answer did not come may have been
// carried out, and then it is our own write that a condition fails on.
func (u *upload) settle(ctx context.Context, op *operation, err error) error {
	var missing *missingError
	gone := errors.As(err, &missing)
	switch {
	case gone && missing.code == noSuchUpload:
		err = u.look(ctx, u.partsGone())
	case gone && u.cond.Match() != "":
		err = u.conditionFails() // S3 says 404 to If-Match if there is nothing to match
	case errors.Is(err, envdb.ErrCondition) && op.unsure:
		err = u.look(ctx, err)
	case errors.Is(err, envdb.ErrUnreachable):
		err = u.glance(ctx, err)
	}
	u.err = err
	return err
}

// look returns nil if what stands under the key is this write, or otherwise.
func (u *upload) look(ctx context.Context, otherwise error) error {
	object, err := u.store.head(ctx, u.key, u.name)
	switch {
	case isMissing(err):
		return otherwise
	case err != nil:
		return fmt.Errorf("write %s%s: it is not known whether an earlier attempt succeeded: %w", u.store, u.key, err)
	case object.nonce != u.nonce:
		return otherwise
	}
	u.tag = object.Tag
	return nil
}

// glance is look, once, for who has lost patience already. An endpoint may
// refuse a condition and hang up before it has read the body, and then its
// answer does not arrive: what stands under the key says the same.
func (u *upload) glance(ctx context.Context, otherwise error) error {
	ctx, cancel := context.WithTimeout(ctx, u.store.patience.Stalled)
	defer cancel()
	u.store.calls.add("HeadObject")
	object, err := u.store.headOnce(ctx, u.key, u.name)
	switch match := u.cond.Match(); {
	case err != nil:
		return otherwise
	case object.nonce == u.nonce:
		u.tag = object.Tag
		return nil
	case u.cond.Absent(), match != "" && match != object.Tag:
		return u.conditionFails()
	}
	return otherwise
}

func (u *upload) partsGone() error {
	return envdb.Fail(nil, "write %s%s: the endpoint has lost the parts of the upload", u.store, u.key).WithState("nothing was written").
		WithNext("try again; see that no lifecycle rule of the bucket aborts uploads within a day")
}

func (u *upload) conditionFails() error {
	return u.store.explain(u.operation(""), answer{status: http.StatusPreconditionFailed}, 0)
}

// CreateMultipartUpload begins an object of several parts.
func (u *upload) CreateMultipartUpload(ctx context.Context, in *s3.CreateMultipartUploadInput, options ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	out, err := call(ctx, u.store, u.operation("CreateMultipartUpload"), func(ctx context.Context) (*s3.CreateMultipartUploadOutput, error) {
		out, err := u.store.client.CreateMultipartUpload(ctx, in, options...)
		if err == nil && aws.ToString(out.UploadId) == "" {
			return nil, errUnsound
		}
		return out, err
	})
	if err != nil {
		u.err = err
		return nil, err
	}
	u.id = out.UploadId
	return out, nil
}

// UploadPart sends one part; several run at once.
func (u *upload) UploadPart(ctx context.Context, in *s3.UploadPartInput, options ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	part, size, err := sized(in.Body)
	if err != nil {
		return nil, err
	}
	op := u.operation("UploadPart")
	op.size = size
	out, err := call(ctx, u.store, op, func(ctx context.Context) (*s3.UploadPartOutput, error) {
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		out, err := u.store.client.UploadPart(ctx, in, options...)
		if err == nil && tagOf(out.ETag) == "" {
			return nil, errUnsound
		}
		return out, err
	})
	if err != nil {
		u.failed.Do(func() { u.err = err })
		return nil, err
	}
	u.sent.Add(size)
	return out, nil
}

// CompleteMultipartUpload makes the parts an object. It never returns an
// error: put looks at u.err.
func (u *upload) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput, options ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	if !u.store.traits.conditionalComplete && u.cond != (envdb.Condition{}) {
		in.IfMatch, in.IfNoneMatch = nil, nil
		if u.err = u.store.holds(ctx, u.key, u.name, u.cond); u.err != nil {
			return &s3.CompleteMultipartUploadOutput{}, nil
		}
	}
	op := u.operation("CompleteMultipartUpload")
	out, err := call(ctx, u.store, op, func(ctx context.Context) (*s3.CompleteMultipartUploadOutput, error) {
		out, err := u.store.client.CompleteMultipartUpload(ctx, in, options...)
		if err == nil && tagOf(out.ETag) == "" {
			return nil, errUnsound
		}
		return out, err
	})
	if err != nil {
		if u.settle(ctx, op, err) == nil {
			u.done = true
		}
		return &s3.CompleteMultipartUploadOutput{}, nil
	}
	u.done, u.tag = true, tagOf(out.ETag)
	return out, nil
}

// AbortMultipartUpload leaves it to put, which knows more.
func (u *upload) AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	return &s3.AbortMultipartUploadOutput{}, nil
}

// check reads back what was assembled: its size, and that it is ours.
func (u *upload) check(ctx context.Context) (envdb.Tag, error) {
	object, err := u.store.head(ctx, u.key, u.name)
	if err != nil {
		return "", err
	}
	switch {
	case object.nonce != u.nonce && object.Tag != u.tag:
		return "", envdb.Fail(envdb.ErrBusy, "write %s%s: another write replaced it at once", u.store, u.key).
			WithState("the object is the other's").WithNext("make sure that nothing else writes to the store's folder")
	case object.Size != u.sent.Load():
		return "", envdb.Fail(envdb.ErrVerification, "write %s%s: the endpoint holds %d bytes of the %d that were sent", u.store, u.key, object.Size, u.sent.Load()).
			WithState("the object is damaged").WithNext("try again; if it happens again, use another endpoint")
	}
	return object.Tag, nil
}

// abort removes the parts of an upload that failed. If that fails as well,
// the parts stay until Clean removes them.
func (u *upload) abort(ctx context.Context) error {
	if u.id == nil || u.done {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortPatience)
	defer cancel()
	if err := u.store.abort(ctx, u.key, u.name, u.id); err != nil {
		u.store.log.Warn("parts of a failed upload were left behind", "key", u.key, "reason", err.Error())
	}
	return nil
}

// abort removes the parts of an upload.
func (s *Store) abort(ctx context.Context, key, name string, id *string) error {
	op := &operation{name: "AbortMultipartUpload", verb: "tidy up", key: key}
	_, err := call(ctx, s, op, func(ctx context.Context) (*s3.AbortMultipartUploadOutput, error) {
		return s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.config.Bucket, Key: &name, UploadId: id})
	})
	if isMissing(err) {
		return nil
	}
	return err
}
