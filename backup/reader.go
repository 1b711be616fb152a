package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/envdb/envdb"
)

// Reader reads one backup. It is safe for concurrent use. It holds some 140
// bytes of memory for every chunk of the backup: a terabyte in chunks of 8 MiB
// takes 18 MB.
type Reader struct {
	repo     *Repository
	manifest *Manifest
	entries  []entry
	parts    []string
	spans    map[string]span
	sizes    map[PackID]int64
	frames   sync.Pool // *[]byte
}

// span is where the chunks of a part lie in entries.
type span struct{ from, to int }

// Open reads the index of a backup, every block checked against the manifest.
// What is missing or damaged is a *DamagedError.
func (r *Repository) Open(ctx context.Context, m *Manifest) (*Reader, error) {
	reader := &Reader{repo: r, manifest: m, spans: map[string]span{}, sizes: map[PackID]int64{}}
	for _, p := range m.Packs {
		reader.sizes[p.ID()] = p.Size
	}
	for entries, err := range r.index(ctx, m) {
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			reader.add(e)
		}
	}
	return reader, nil
}

// add appends an entry; entries come in order.
func (b *Reader) add(e entry) {
	at, known := b.spans[e.part]
	if known {
		e.part = b.parts[len(b.parts)-1]
	} else {
		at.from = len(b.entries)
		b.parts = append(b.parts, e.part)
	}
	b.entries = append(b.entries, e)
	at.to = len(b.entries)
	b.spans[e.part] = at
}

// Manifest returns the manifest that the backup was opened with.
func (b *Reader) Manifest() *Manifest { return b.manifest }

// String returns the backup as people type it: ENV@ID.
func (b *Reader) String() string {
	return fmt.Sprintf("%s@%s", b.manifest.Environment, b.manifest.ID)
}

// Parts returns the names of the parts, sorted.
func (b *Reader) Parts() []string { return append([]string(nil), b.parts...) }

// Chunks returns the chunks of a part in the order of their ordinals; none if
// there is no such part.
func (b *Reader) Chunks(part string) []Ref {
	at := b.spans[part]
	refs := make([]Ref, 0, at.to-at.from)
	for _, e := range b.entries[at.from:at.to] {
		refs = append(refs, b.ref(e))
	}
	return refs
}

func (b *Reader) ref(e entry) Ref {
	return Ref{
		Part: e.part, Ordinal: e.ordinal, Rows: e.rows, Fingerprint: e.fingerprint, Size: e.size, SHA256: e.sum,
		Pack:  Pack{Backup: e.pack.Backup, Number: e.pack.Number, Size: b.sizes[e.pack]},
		Index: int(e.index), Offset: e.offset, Length: e.length,
	}
}

// Fetch returns the content of a chunk, in buf's memory if it fits. Nothing is
// returned before its hash has matched. A chunk that cannot be read twice marks
// its pack bad and is a *DamagedError.
func (b *Reader) Fetch(ctx context.Context, ref Ref, buf []byte) ([]byte, error) {
	plain, err := b.read(ctx, ref, buf)
	if !isDamage(err) {
		return plain, err
	}
	err = fmt.Errorf("chunk %d of part %q at byte %d: %w", ref.Ordinal, ref.Part, ref.Offset, err)
	key := b.repo.keys.pack(b.manifest.Environment, ref.Pack.ID())
	return nil, b.repo.damaged(ctx, b.manifest, key, markBadPack+"/"+ref.Pack.ID().String(), err)
}

// read reads and checks a chunk, twice if need be.
func (b *Reader) read(ctx context.Context, ref Ref, buf []byte) ([]byte, error) {
	frame, _ := b.frames.Get().(*[]byte)
	if frame == nil {
		frame = new([]byte)
	}
	defer b.frames.Put(frame)
	key := b.repo.keys.pack(b.manifest.Environment, ref.Pack.ID())
	var plain []byte
	err := twice(func() (err error) {
		*frame, err = b.repo.readSpan(ctx, key, envdb.Span{Offset: ref.Offset, Length: ref.Length}, *frame)
		if err == nil {
			plain, err = b.check(*frame, key, ref, buf)
		}
		return err
	})
	return plain, err
}

// Stream returns the content of a part. The context is that of all reads.
func (b *Reader) Stream(ctx context.Context, part string) io.ReadCloser {
	return &stream{ctx: ctx, reader: b, refs: b.Chunks(part)}
}

// stream reads chunk after chunk.
type stream struct {
	ctx    context.Context // of the Stream call, which the reads belong to
	reader *Reader
	refs   []Ref
	buf    []byte // memory for the next chunk
	rest   []byte // of the current chunk
	err    error
}

func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 && s.err == nil {
		if len(s.refs) == 0 {
			return 0, io.EOF
		}
		s.buf, s.err = s.reader.Fetch(s.ctx, s.refs[0], s.buf)
		s.rest, s.refs = s.buf, s.refs[1:]
	}
	if s.err != nil {
		return 0, s.err
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *stream) Close() error {
	s.err, s.buf, s.rest = errors.New("the stream is closed"), nil, nil
	return nil
}

// twice calls read again if what it read is damaged: the fault may have been
// on the way.
func twice(read func() error) error {
	err := read()
	if isDamage(err) {
		err = read()
	}
	return err
}

// damaged marks an object of a backup and returns the error that says so.
func (r *Repository) damaged(ctx context.Context, m *Manifest, key, mark string, reason error) error {
	unmarked := r.Mark(ctx, m.Environment, mark)
	return &DamagedError{Environment: m.Environment, Backup: m.ID, Object: key, Reason: reason, recorded: unmarked == nil, unmarked: unmarked}
}

// readSpan reads exactly the given bytes of an object, in buf's memory if they
// fit.
func (r *Repository) readSpan(ctx context.Context, key string, span envdb.Span, buf []byte) (_ []byte, err error) {
	body, _, err := r.store.Get(ctx, key, span)
	if err != nil {
		return buf, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if int64(cap(buf)) < span.Length {
		buf = make([]byte, span.Length)
	}
	buf = buf[:span.Length]
	n, err := io.ReadFull(body, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it is cut short: %d of %d bytes at %d", n, span.Length, span.Offset)
	}
	return buf, err
}

// index yields the blocks of a backup's index, checked. The slice is valid
// until the next one.
func (r *Repository) index(ctx context.Context, m *Manifest) iter.Seq2[[]entry, error] {
	return func(yield func([]entry, error) bool) {
		packs := map[PackID]int64{}
		for _, p := range m.Packs {
			packs[p.ID()] = p.Size
		}
		var entries []entry
		var last entry
		for i, block := range m.Index {
			var err error
			if entries, err = r.readBlock(ctx, m, block, entries[:0]); err == nil {
				err = r.checkBlock(m, block, last, i == 0, entries, packs)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			last = entries[len(entries)-1]
			if !yield(entries, nil) {
				return
			}
		}
	}
}

// readBlock appends the entries of a block to dst. A block that cannot be read
// twice marks its index bad and is a *DamagedError.
func (r *Repository) readBlock(ctx context.Context, m *Manifest, block Block, dst []entry) ([]entry, error) {
	key := r.keys.index(m.Environment, block.Backup)
	var entries []entry
	err := twice(func() error {
		plain, err := r.readBlockPlain(ctx, key, block)
		if err != nil {
			return err
		}
		entries, err = decodeBlock(dst, plain)
		if err == nil && len(entries)-len(dst) != block.Chunks {
			err = fmt.Errorf("it has %d entries instead of %d", len(entries)-len(dst), block.Chunks)
		}
		return err
	})
	if !isDamage(err) {
		return entries, err
	}
	err = fmt.Errorf("block at byte %d: %w", block.Offset, err)
	return dst, r.damaged(ctx, m, key, markBadIndex+"/"+string(block.Backup), err)
}

func (r *Repository) readBlockPlain(ctx context.Context, key string, block Block) ([]byte, error) {
	var sum [sha256.Size]byte
	if n, err := hex.Decode(sum[:], []byte(block.SHA256)); err != nil || n != len(sum) || block.Length < r.codec.shortest() {
		return nil, fmt.Errorf("the manifest describes it as %+v", block)
	}
	stored, err := r.readSpan(ctx, key, envdb.Span{Offset: block.Offset, Length: block.Length}, nil)
	if err != nil {
		return nil, err
	}
	frame, err := r.codec.unseal(stored, spot{object: key, ordinal: block.Offset})
	if err != nil {
		return nil, err
	}
	size, err := frameSize(frame)
	if err != nil {
		return nil, err
	}
	return r.codec.unframe(nil, frame, size, sum)
}

// checkBlock returns an error if a block whose hash is right does not fit the
// manifest.
func (r *Repository) checkBlock(m *Manifest, block Block, last entry, first bool, entries []entry, packs map[PackID]int64) error {
	fault := func(format string, args ...any) error {
		return &DamagedError{
			Environment: m.Environment, Backup: m.ID, Object: r.keys.index(m.Environment, block.Backup),
			Reason: fmt.Errorf(format, args...),
		}
	}
	if len(entries) == 0 {
		return fault("a block has no entries")
	}
	for _, e := range entries {
		if !first && compareEntries(last, e) >= 0 {
			return fault("the entry of part %q, ordinal %d is out of order", e.part, e.ordinal)
		}
		size, known := packs[e.pack]
		if !known {
			return fault("it refers to pack %s, which the manifest does not list", e.pack)
		}
		if e.offset < int64(len(packMagic)) || e.length < r.codec.shortest() || e.offset > size-e.length {
			return fault("part %q, ordinal %d lies outside pack %s", e.part, e.ordinal, e.pack)
		}
		last, first = e, false
	}
	return nil
}

// indexSize returns the size of a backup's index object, 0 if it has none.
func (r *Repository) indexSize(ctx context.Context, env string, id envdb.BackupID) (int64, error) {
	key := r.keys.index(env, id)
	for object, err := range r.store.List(ctx, key) {
		if err != nil {
			return 0, fmt.Errorf("list the index of backup %s of %s: %w", id, env, err)
		}
		if object.Key == key {
			return object.Size, nil
		}
	}
	return 0, nil
}
