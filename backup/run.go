package backup

import (
	"context"

	"github.com/envdb/envdb"
)

// runGap is how many unwanted bytes a run may skip: less than what a request to
// a store far away costs.
const runGap = 64 << 10

// Runs splits chunks, which stay in their order, into runs that one request
// can read: chunks that lie behind one another in one pack. A run has at most
// the given bytes of content, and reads hardly more, or is a single chunk.
func Runs(refs []Ref, most int64) [][]Ref {
	var runs [][]Ref
	var size int64
	for i, ref := range refs {
		last := len(runs) - 1
		if i > 0 && follows(refs[i-1], ref) && size+ref.Size <= most && ref.Offset+ref.Length-runs[last][0].Offset <= most+runGap {
			runs[last] = append(runs[last], ref)
			size += ref.Size
			continue
		}
		runs = append(runs, refs[i:i+1:i+1])
		size = ref.Size
	}
	return runs
}

// follows reports whether next lies in the same pack as ref, close behind it.
func follows(ref, next Ref) bool {
	gap := next.Offset - ref.Offset - ref.Length
	return ref.Pack.ID() == next.Pack.ID() && gap >= 0 && gap <= runGap
}

// FetchRun returns the contents of a run of chunks, joined, in buf's memory if
// they fit, as [Reader.Fetch] returns that of one. It reads them by one
// request, and one by one if that brings anything that is damaged.
func (b *Reader) FetchRun(ctx context.Context, run []Ref, buf []byte) ([]byte, error) {
	if len(run) == 1 {
		return b.Fetch(ctx, run[0], buf)
	}
	plain, err := b.readRun(ctx, run, sized(buf, run))
	if !isDamage(err) {
		return plain, err
	}
	plain = sized(buf, run)
	for _, ref := range run {
		one, err := b.Fetch(ctx, ref, plain[len(plain):])
		if err != nil {
			return nil, err
		}
		plain = append(plain, one...)
	}
	return plain, nil
}

// sized returns buf, emptied, or a new buffer if the run does not fit in it.
func sized(buf []byte, run []Ref) []byte {
	var size int64
	for _, ref := range run {
		size += ref.Size
	}
	if int64(cap(buf)) < size {
		return make([]byte, 0, size)
	}
	return buf[:0]
}

// readRun reads and checks a run's chunks by one request.
func (b *Reader) readRun(ctx context.Context, run []Ref, plain []byte) ([]byte, error) {
	stored, _ := b.frames.Get().(*[]byte)
	if stored == nil {
		stored = new([]byte)
	}
	defer b.frames.Put(stored)
	first, last := run[0], run[len(run)-1]
	key := b.repo.keys.pack(b.manifest.Environment, first.Pack.ID())
	span := envdb.Span{Offset: first.Offset, Length: last.Offset + last.Length - first.Offset}
	var err error
	if *stored, err = b.repo.readSpan(ctx, key, span, *stored); err != nil {
		return nil, err
	}
	for _, ref := range run {
		at := ref.Offset - first.Offset
		frame := (*stored)[at : at+ref.Length : at+ref.Length]
		one, err := b.check(frame, key, ref, plain[len(plain):])
		if err != nil {
			return nil, err
		}
		plain = append(plain, one...)
	}
	return plain, nil
}

// check returns the content of a chunk that was read from the pack under key.
func (b *Reader) check(stored []byte, key string, ref Ref, buf []byte) ([]byte, error) {
	frame, err := b.repo.codec.unseal(stored, spot{object: key, ordinal: int64(ref.Index)})
	if err != nil {
		return nil, err
	}
	return b.repo.codec.unframe(buf, frame, ref.Size, ref.SHA256)
}
