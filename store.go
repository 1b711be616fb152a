package envdb

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Store keeps objects under slash-separated keys. Every implementation passes
// internal/store/storetest. All methods are safe for concurrent use and honour
// their context; an unreachable store wraps ErrUnreachable.
type Store interface {
	// Put writes the object whole or not at all, durably once it returns nil,
	// if cond holds, and returns its new tag. A condition that does not hold
	// is ErrCondition. A body that returns an error leaves no object.
	Put(ctx context.Context, key string, body io.Reader, cond Condition) (Tag, error)
	// Get opens the span of an object, with what is known of the whole.
	// A missing object is fs.ErrNotExist. The caller closes the reader.
	Get(ctx context.Context, key string, span Span) (io.ReadCloser, Object, error)
	// List yields the objects whose keys begin with prefix, in byte order of
	// their keys. After an error it yields nothing more.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// Delete removes an object; a missing one is no error.
	Delete(ctx context.Context, key string) error
}

// Object is what a store knows of an object without reading it.
type Object struct {
	Key  string
	Size int64
	// Tag changes whenever the content does. A listing may leave it empty.
	Tag Tag
	// Modified is the store's clock at the last write.
	Modified time.Time
}

// Tag identifies one state of an object (S3's ETag).
type Tag string

// Condition restricts a Put. The zero Condition always holds.
type Condition struct {
	absent bool
	match  Tag
}

// IfAbsent holds if there is no object under the key.
func IfAbsent() Condition { return Condition{absent: true} }

// IfMatch holds if the object exists and has the tag.
func IfMatch(t Tag) Condition { return Condition{match: t} }

// Absent reports whether the condition is IfAbsent.
func (c Condition) Absent() bool { return c.absent }

// Match returns the tag of an IfMatch, or "".
func (c Condition) Match() Tag { return c.match }

// ErrCondition is returned by a Put whose condition does not hold.
var ErrCondition = errors.New("condition does not hold")

// Span is a range of bytes of an object. The zero Span is all of it; a Length
// of zero reaches to the end.
type Span struct{ Offset, Length int64 }
