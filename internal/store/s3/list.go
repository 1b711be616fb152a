package s3

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/envdb/envdb"
)

// List implements envdb.Store. It holds one page, of at most 1,000 objects. A
// page that is out of order, does not say whether more follow, or says so
// without saying how to go on, is an error: half of a listing would be taken
// for all there is.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	return func(yield func(envdb.Object, error) bool) {
		if !begins(prefix) {
			return // no key begins so
		}
		l := &listing{store: s, prefix: prefix, folder: s.prefix}
		for more := true; more; {
			page, err := l.page(ctx)
			if err != nil {
				yield(envdb.Object{}, err)
				return
			}
			for _, object := range page {
				if strings.HasPrefix(object.Key, hidden) {
					continue
				}
				if !yield(object, nil) {
					return
				}
			}
			more = l.token != nil
		}
	}
}

// listing is one pass over the keys that begin with a prefix.
type listing struct {
	store  *Store
	prefix string
	folder string  // of the bucket, in front of every key
	token  *string // of the next page; nil before the first and behind the last
	last   string  // key
	now    time.Time
}

// page returns the next page.
func (l *listing) page(ctx context.Context) ([]envdb.Object, error) {
	op := &operation{name: "ListObjectsV2", verb: "list", key: l.prefix}
	begin := l.folder + l.prefix
	return call(ctx, l.store, op, func(ctx context.Context) ([]envdb.Object, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out, err := l.store.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket: &l.store.config.Bucket, Prefix: &begin, ContinuationToken: l.token, EncodingType: types.EncodingTypeUrl,
		})
		if err != nil {
			return nil, err
		}
		return l.accept(out)
	})
}

// accept checks a page and takes note of where the next begins.
func (l *listing) accept(out *s3.ListObjectsV2Output) ([]envdb.Object, error) {
	switch {
	case out.IsTruncated == nil:
		return nil, fmt.Errorf("%w: the listing does not say whether it goes on", errUnsound)
	case *out.IsTruncated && (out.NextContinuationToken == nil || *out.NextContinuationToken == ""):
		return nil, fmt.Errorf("%w: the listing breaks off without saying how to go on", errUnsound)
	case *out.IsTruncated && l.token != nil && *out.NextContinuationToken == *l.token:
		return nil, fmt.Errorf("%w: the listing goes in circles", errUnsound)
	case out.KeyCount != nil && int(*out.KeyCount) != len(out.Contents)+len(out.CommonPrefixes):
		return nil, fmt.Errorf("%w: the listing has %d objects and says it has %d", errUnsound, len(out.Contents), *out.KeyCount)
	}
	encoded := out.EncodingType == types.EncodingTypeUrl
	last, page := l.last, make([]envdb.Object, len(out.Contents))
	for i, content := range out.Contents {
		object, err := l.object(content, encoded)
		if err != nil {
			return nil, err
		}
		if object.Key <= last && last != "" {
			return nil, fmt.Errorf("%w: the listing is out of order: %q comes after %q", errUnsound, object.Key, last)
		}
		page[i], last = object, object.Key
	}
	l.last, l.token = last, nil
	if *out.IsTruncated {
		l.token = out.NextContinuationToken
	}
	l.now, _ = awsmiddleware.GetServerTime(out.ResultMetadata)
	return page, nil
}

// object translates an entry of a listing.
func (l *listing) object(content types.Object, encoded bool) (envdb.Object, error) {
	if content.Key == nil || content.Size == nil || content.LastModified == nil {
		return envdb.Object{}, fmt.Errorf("%w: the listing has an object without key, size or time", errUnsound)
	}
	name := *content.Key
	if encoded {
		decoded, err := url.QueryUnescape(name)
		if err != nil {
			return envdb.Object{}, fmt.Errorf("%w: the listing has the key %q", errUnsound, name)
		}
		name = decoded
	}
	key, below := strings.CutPrefix(name, l.folder)
	if !below || !strings.HasPrefix(key, l.prefix) {
		return envdb.Object{}, fmt.Errorf("%w: the listing of %q has the key %q", errUnsound, l.folder+l.prefix, name)
	}
	return envdb.Object{Key: key, Size: *content.Size, Tag: tagOf(content.ETag), Modified: *content.LastModified}, nil
}
