package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/envdb/envdb"
)

// baseTries bounds how often another base is chosen because the last one was
// deleted at that moment.
const baseTries = 5

// cleanupPatience bounds what is done after the caller's context has ended.
const cleanupPatience = time.Minute

// CreateOptions says how a backup is taken. Method is required.
type CreateOptions struct {
	Method Method
	// Now names the backup; zero is the current time.
	Now    time.Time
	Note   string
	Writer string // envdb's version
	Run    string // the run that takes the backup; it tells others whether the writer lives
}

// Writer takes one backup. Put may be called from several goroutines at once;
// then Commit or Abort ends it. A Writer holds some 140 bytes of memory for
// every chunk of the backup and 90 for every chunk of its base.
type Writer struct {
	repo   *Repository
	intent Intent
	opts   CreateOptions
	base   *base
	frames buffers // to compress into

	packing sync.Mutex // held while a frame is appended; taken before mu
	packer  *packer

	mu      sync.Mutex
	entries []entry
	names   map[string]string // of parts, so that entries share them
	phase   phase
}

// phase is how far a Writer is.
type phase int

const (
	writing    phase = iota
	committing       // nothing under the manifest's key yet
	attempted        // the manifest may have been stored
	committed
	aborted
)

// Create begins a backup: it chooses the base and stores the write intent.
func (r *Repository) Create(ctx context.Context, env string, opts CreateOptions) (*Writer, error) {
	if err := checkName("environment", env); err != nil {
		return nil, err
	}
	if opts.Method == "" {
		return nil, envdb.Fail(envdb.ErrMisuse, "a backup of %s needs a method", env)
	}
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	opts.Now = opts.Now.UTC()
	intent, base, err := r.begin(ctx, env, opts)
	if err != nil {
		return nil, err
	}
	w := &Writer{repo: r, intent: intent, opts: opts, base: base, names: map[string]string{}}
	w.packer = newPacker(ctx, r.store, r.codec, intent.ID, func(id PackID) string { return r.keys.pack(env, id) })
	return w, nil
}

// begin stores an intent that names a base, makes sure that the base was still
// there afterwards, and loads it.
func (r *Repository) begin(ctx context.Context, env string, opts CreateOptions) (Intent, *base, error) {
	for range baseTries {
		marks, err := r.readMarks(ctx, env)
		if err != nil {
			return Intent{}, nil, err
		}
		manifest, err := r.chooseBase(ctx, env, opts.Method, marks)
		if err != nil {
			return Intent{}, nil, err
		}
		intent := Intent{Environment: env, Repository: r.id, Run: opts.Run, Writer: opts.Writer, Started: opts.Now}
		if manifest != nil {
			intent.Base = manifest.ID
		}
		if intent, err = r.claim(ctx, env, intent); err != nil {
			return Intent{}, nil, err
		}
		there, err := r.stillThere(ctx, manifest)
		if there && err == nil {
			base, err := r.loadBase(ctx, manifest, marks)
			if err == nil {
				r.changed(ctx, env) // others see that it runs
				return intent, base, nil
			}
			return Intent{}, nil, errors.Join(err, r.releaseAfter(ctx, intent))
		}
		if err := errors.Join(err, r.releaseAfter(ctx, intent)); err != nil {
			return Intent{}, nil, err
		}
	}
	return Intent{}, nil, envdb.Fail(envdb.ErrBusy, "the backups of %s are deleted faster than a new one can refer to them", env).
		WithState("nothing was stored").WithNext("run the command again when the deletion has ended")
}

// releaseAfter deletes an intent even if ctx has ended.
func (r *Repository) releaseAfter(ctx context.Context, intent Intent) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupPatience)
	defer cancel()
	return r.release(ctx, intent.Environment, intent.ID)
}

// ID returns the id of the backup.
func (w *Writer) ID() envdb.BackupID { return w.intent.ID }

// Base returns the backup whose chunks this one refers to, or nil.
func (w *Writer) Base() *Manifest { return w.base.manifest }

// Put adds a chunk to the backup. It is safe for concurrent use, in any order
// of ordinals, and does not keep c.Data. After an error the backup can only be
// aborted.
func (w *Writer) Put(ctx context.Context, c Chunk) error {
	if err := checkChunk(c); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	e := entry{
		part: c.Part, ordinal: c.Ordinal, rows: c.Rows, fingerprint: c.Fingerprint,
		size: int64(len(c.Data)), sum: sha256.Sum256(c.Data),
	}
	if done, err := w.refer(e); done || err != nil {
		return err
	}
	frame := w.repo.codec.frame(w.frames.take(longestFrame(len(c.Data))), c.Data)
	defer w.frames.give(frame)
	return w.append(ctx, e, frame)
}

func checkChunk(c Chunk) error {
	fault := ""
	switch {
	case c.Part == "" || len(c.Part) > longestPart || !utf8.ValidString(c.Part):
		fault = fmt.Sprintf("its name must be 1 to %d bytes of UTF-8", longestPart)
	case c.Rows < 0:
		fault = "it has a negative number of rows"
	case len(c.Data) > math.MaxInt32:
		fault = fmt.Sprintf("a chunk of %d bytes is too large", len(c.Data))
	default:
		return nil
	}
	return envdb.Fail(envdb.ErrMisuse, "part %q: %s", c.Part, fault)
}

// refer adds e to the backup if its content is stored already.
func (w *Writer) refer(e entry) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase != writing {
		return false, envdb.Fail(envdb.ErrMisuse, "backup %s: a chunk came after its end", w.ID())
	}
	at, known := w.base.chunks[e.sum]
	if known {
		e.place = at
		w.add(e)
	}
	return known, nil
}

// append stores the frame of e in the open pack, unless another goroutine
// stored the same content meanwhile.
func (w *Writer) append(ctx context.Context, e entry, frame []byte) error {
	w.packing.Lock()
	defer w.packing.Unlock()
	if done, err := w.refer(e); done || err != nil {
		return err
	}
	at, err := w.packer.append(ctx, frame)
	if err != nil {
		return fmt.Errorf("backup %s of %s: %w", w.ID(), w.intent.Environment, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e.place = at
	w.base.chunks[e.sum] = at
	w.add(e)
	return nil
}

// add records an entry. The caller holds mu.
func (w *Writer) add(e entry) {
	name, known := w.names[e.part]
	if !known {
		name = e.part
		w.names[name] = name
	}
	e.part = name
	w.entries = append(w.entries, e)
}

// Restart forgets every chunk that was put so far, as if none had been; no Put
// may run meanwhile. What was stored already is not stored again when it comes
// once more, and is deleted by Commit if it does not.
func (w *Writer) Restart(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase != writing {
		return envdb.Fail(envdb.ErrMisuse, "backup %s was committed or aborted already", w.ID())
	}
	w.entries = w.entries[:0]
	return nil
}

// Abort gives the backup up and deletes what it stored. After a successful
// Commit it does nothing. It works after ctx has ended, for a minute.
func (w *Writer) Abort(ctx context.Context) error {
	w.mu.Lock()
	before := w.phase
	if before != committed {
		w.phase = aborted
	}
	w.mu.Unlock()
	if before == committed || before == aborted {
		return nil
	}
	w.packer.fail(errAbandoned)
	w.packing.Lock()
	w.packer.abandon()
	w.packing.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupPatience)
	defer cancel()
	defer w.repo.changed(ctx, w.intent.Environment)
	if before == attempted {
		// A manifest that is still on its way must not arrive after its data
		// was deleted: the void takes its key.
		return w.repo.removeBackup(ctx, w.intent.Environment, w.ID())
	}
	return w.repo.removeObjects(ctx, w.intent.Environment, w.ID())
}
