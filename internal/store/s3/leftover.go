package s3

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// abandoned is how old an upload must be to be taken for one of a writer that
// died: S3 does not tell, and a pack is written in minutes.
const abandoned = 24 * time.Hour

// Leftover is an upload that was begun and neither completed nor aborted. Its
// parts are no object, but they are stored, and paid for.
type Leftover struct {
	Path     string    `json:"path"` // the key
	Size     int64     `json:"size"` // of its parts
	Modified time.Time `json:"modified"`
	upload   string
}

// Leftovers returns the unfinished uploads of more than a day, by the
// endpoint's clock.
func (s *Store) Leftovers(ctx context.Context) ([]Leftover, error) {
	var found []Leftover
	in := &s3.ListMultipartUploadsInput{Bucket: &s.config.Bucket, Prefix: &s.prefix, EncodingType: types.EncodingTypeUrl}
	for {
		op := &operation{name: "ListMultipartUploads", verb: "list"}
		out, err := call(ctx, s, op, func(ctx context.Context) (*s3.ListMultipartUploadsOutput, error) {
			return s.client.ListMultipartUploads(ctx, in)
		})
		if err != nil {
			return found, err
		}
		now, _ := awsmiddleware.GetServerTime(out.ResultMetadata)
		for _, u := range out.Uploads {
			l, old, err := s.leftover(u, out.EncodingType, now)
			if err != nil {
				return found, err
			}
			if !old {
				continue
			}
			if l.Size, err = s.sizeOfParts(ctx, l); err != nil {
				return found, err
			}
			found = append(found, l)
		}
		if out.IsTruncated == nil || !*out.IsTruncated {
			return found, nil
		}
		if out.NextKeyMarker == nil || *out.NextKeyMarker == "" {
			return found, fmt.Errorf("list the uploads of %s: %w", s, errUnsound)
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}

// leftover translates an upload, and reports whether its writer is taken for
// dead.
func (s *Store) leftover(u types.MultipartUpload, encoding types.EncodingType, now time.Time) (l Leftover, old bool, err error) {
	if u.Key == nil || u.UploadId == nil || u.Initiated == nil {
		return l, false, fmt.Errorf("list the uploads of %s: %w", s, errUnsound)
	}
	key := *u.Key
	if encoding == types.EncodingTypeUrl {
		if key, err = url.QueryUnescape(key); err != nil {
			return l, false, fmt.Errorf("list the uploads of %s: %w", s, errUnsound)
		}
	}
	key, below := strings.CutPrefix(key, s.prefix)
	l = Leftover{Path: key, Modified: *u.Initiated, upload: *u.UploadId}
	return l, below && !now.IsZero() && now.Sub(l.Modified) >= abandoned, nil
}

// sizeOfParts returns how much an upload stores.
func (s *Store) sizeOfParts(ctx context.Context, l Leftover) (int64, error) {
	name, size := s.prefix+l.Path, int64(0)
	in := &s3.ListPartsInput{Bucket: &s.config.Bucket, Key: &name, UploadId: &l.upload}
	for {
		op := &operation{name: "ListParts", verb: "list", key: l.Path}
		out, err := call(ctx, s, op, func(ctx context.Context) (*s3.ListPartsOutput, error) { return s.client.ListParts(ctx, in) })
		if isMissing(err) {
			return size, nil // completed or aborted meanwhile
		}
		if err != nil {
			return 0, err
		}
		for _, part := range out.Parts {
			if part.Size != nil {
				size += *part.Size
			}
		}
		if out.IsTruncated == nil || !*out.IsTruncated || out.NextPartNumberMarker == nil {
			return size, nil
		}
		in.PartNumberMarker = out.NextPartNumberMarker
	}
}

// Clean aborts the unfinished uploads of more than a day, and returns them.
func (s *Store) Clean(ctx context.Context) ([]Leftover, error) {
	if err := s.mayWrite(ctx); err != nil {
		return nil, err
	}
	found, err := s.Leftovers(ctx)
	if err != nil {
		return nil, err
	}
	for i, l := range found {
		name := s.prefix + l.Path
		if err := s.abort(ctx, l.Path, name, &l.upload); err != nil {
			return found[:i], err
		}
	}
	return found, nil
}
