package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

const (
	// verifyReaders is how many runs of chunks are read at once.
	verifyReaders = 4
	// verifyRun is how much content one request reads.
	verifyRun = 8 << 20
)

// VerifyOptions says how thoroughly backups are verified.
type VerifyOptions struct {
	// ReadData reads and hashes every chunk; otherwise existence and sizes are
	// checked.
	ReadData bool
	Report   envdb.Report
}

// VerifyReport is what a verification found.
type VerifyReport struct {
	Environment string           `json:"environment"`
	ReadData    bool             `json:"read_data"`
	Backups     []VerifiedBackup `json:"backups"`
	Packs       int              `json:"packs"`  // different ones
	Chunks      int64            `json:"chunks"` // that were read
	Bytes       int64            `json:"bytes"`  // that were read, as stored
	// Bad lists the keys of objects that are damaged or missing.
	Bad []string `json:"bad"`
	// Unrecorded says why damage that was found is not marked, so that the next
	// backup does not know of it, e.g. with credentials that only read.
	Unrecorded string `json:"unrecorded,omitempty"`
}

// VerifiedBackup is what a verification found of one backup.
type VerifiedBackup struct {
	ID envdb.BackupID `json:"id"`
	// Problems is empty if the backup is whole.
	Problems []string `json:"problems"`
}

// OK reports whether everything was whole.
func (v VerifyReport) OK() bool {
	return !slices.ContainsFunc(v.Backups, func(b VerifiedBackup) bool { return len(b.Problems) > 0 })
}

// Err returns nil if everything was whole, and an ErrVerification otherwise.
func (v VerifyReport) Err() error {
	var damaged []envdb.BackupID
	for _, b := range v.Backups {
		if len(b.Problems) > 0 {
			damaged = append(damaged, b.ID)
		}
	}
	if len(damaged) == 0 {
		return nil
	}
	found := envdb.Fail(envdb.ErrVerification, "%d of %d backups of %s are damaged: %v", len(damaged), len(v.Backups), v.Environment, damaged)
	if v.Unrecorded != "" {
		return found.WithState("%s", v.Unrecorded).
			WithNext("run `envdb verify %s` where the damage can be recorded, then `envdb backup %s`", v.Environment, v.Environment)
	}
	return found.
		WithState("the damage is recorded; the next backup does not refer to what is damaged").
		WithNext("take a new backup with `envdb backup %s`", v.Environment)
}

// Verify checks one backup of an environment, or all of them if id is empty:
// that the manifest and the index are whole, that every pack exists in its
// full size and, if asked, every chunk. What is damaged is marked, if that is
// allowed, and stands in the report; the error says why the verification could
// not be carried out.
func (r *Repository) Verify(ctx context.Context, env string, id envdb.BackupID, opts VerifyOptions) (VerifyReport, error) {
	backups, err := r.toVerify(ctx, env, id)
	if err != nil {
		return VerifyReport{}, err
	}
	v := &verification{
		repo: r, env: env, opts: opts, reader: &Reader{repo: r, manifest: &Manifest{Environment: env}},
		faults: map[envdb.BackupID][]string{}, bad: map[string]bool{},
		packs: map[PackID]string{}, chunks: map[PackID]map[int32]check{},
	}
	for i, b := range backups {
		opts.Report.Send(envdb.Progress{Step: "verify catalogue", Done: int64(i), Total: int64(len(backups)), Unit: "backups"})
		if err := v.catalogue(ctx, b); err != nil {
			return VerifyReport{}, err
		}
	}
	if err := v.sizes(ctx, backups); err != nil {
		return VerifyReport{}, err
	}
	if opts.ReadData {
		if err := v.read(ctx); err != nil {
			return VerifyReport{}, err
		}
	}
	if backups, err = v.forgetGone(ctx, backups); err != nil {
		return VerifyReport{}, err
	}
	return v.report(backups), nil
}

// toVerify returns the backups that were asked for.
func (r *Repository) toVerify(ctx context.Context, env string, id envdb.BackupID) ([]Backup, error) {
	if id == "" {
		return r.List(ctx, env)
	}
	b, err := r.Find(ctx, env, id)
	return []Backup{b}, err
}

// verification is one Verify. Its memory is some 250 bytes for every different
// chunk if data is read.
type verification struct {
	repo    *Repository
	env     string
	opts    VerifyOptions
	reader  *Reader   // of any backup of the environment
	buffers sync.Pool // *[]byte

	mu     sync.Mutex
	faults map[envdb.BackupID][]string
	bad    map[string]bool               // keys
	packs  map[PackID]string             // what is wrong with a pack, or ""
	chunks map[PackID]map[int32]check    // to be read, by their ordinals
	done   struct{ chunks, bytes int64 } // that were read

	unmarked error // why something damaged is not marked
}

// check is a chunk to be read.
type check struct {
	place
	size int64
	sum  [sha256.Size]byte
}

// catalogue checks the manifest and the index of a backup, and notes its
// chunks if they are to be read.
func (v *verification) catalogue(ctx context.Context, b Backup) error {
	m := b.Manifest
	if b.Err != nil {
		v.fault(m.ID, v.repo.keys.manifest(v.env, m.ID), b.Err.Error())
		return nil
	}
	var chunks, bytes int64
	for entries, err := range v.repo.index(ctx, m) {
		var damaged *DamagedError
		if errors.As(err, &damaged) {
			v.fault(m.ID, damaged.Object, fmt.Sprintf("%s: %v", damaged.Object, damaged.Reason))
			return v.leaveUnmarked(ctx, damaged.unmarked)
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			chunks, bytes = chunks+1, bytes+e.size
			v.note(e)
		}
	}
	if chunks != m.Totals.Chunks || bytes != m.Totals.LogicalBytes {
		v.fault(m.ID, v.repo.keys.manifest(v.env, m.ID), fmt.Sprintf("the index has %d chunks of %d bytes, the manifest says %d of %d",
			chunks, bytes, m.Totals.Chunks, m.Totals.LogicalBytes))
	}
	return nil
}

func (v *verification) note(e entry) {
	if !v.opts.ReadData {
		return
	}
	if v.chunks[e.pack] == nil {
		v.chunks[e.pack] = map[int32]check{}
	}
	if _, noted := v.chunks[e.pack][e.index]; !noted {
		v.chunks[e.pack][e.index] = check{place: e.place, size: e.size, sum: e.sum}
	}
}

// fault notes what is wrong with a backup.
func (v *verification) fault(id envdb.BackupID, key, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults[id] = append(v.faults[id], text)
	v.bad[key] = true
}

// sizes checks that the packs of all backups exist in their full sizes, and
// marks those that do not.
func (v *verification) sizes(ctx context.Context, backups []Backup) error {
	ids := map[envdb.BackupID]bool{}
	for _, b := range backups {
		for _, p := range b.Manifest.Packs {
			ids[p.Backup] = true
		}
	}
	sizes, err := v.repo.packSizes(ctx, v.env, ids)
	if err != nil {
		return err
	}
	for _, b := range backups {
		for _, p := range b.Manifest.Packs {
			if _, checked := v.packs[p.ID()]; checked {
				continue
			}
			v.packs[p.ID()] = ""
			if fault := checkPack(p, sizes); fault != nil {
				if err := v.badPack(ctx, p.ID(), fault); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// badPack notes and marks a pack that is damaged.
func (v *verification) badPack(ctx context.Context, id PackID, fault error) error {
	v.mu.Lock()
	known := v.packs[id] != ""
	if !known {
		v.packs[id] = fault.Error()
		v.bad[v.repo.keys.pack(v.env, id)] = true
	}
	v.mu.Unlock()
	if known {
		return nil
	}
	return v.leaveUnmarked(ctx, v.repo.Mark(ctx, v.env, markBadPack+"/"+id.String()))
}

// leaveUnmarked notes why damage could not be marked, if that is so. The
// damage is what was asked for: it must not be hidden by this.
func (v *verification) leaveUnmarked(ctx context.Context, why error) error {
	if why == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.unmarked = cmp.Or(v.unmarked, why)
	return nil
}

// read reads every noted chunk once, in the order in which they lie, those that
// lie together by one request.
func (v *verification) read(ctx context.Context) error {
	chunks, total := v.toRead()
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(verifyReaders)
	var passed atomic.Int64
	for _, run := range Runs(chunks, verifyRun) {
		if gctx.Err() != nil {
			break // Wait says why
		}
		group.Go(func() error {
			err := v.readRun(gctx, run)
			v.opts.Report.Send(envdb.Progress{Step: "verify data", Done: passed.Add(storedSize(run)), Total: total, Unit: "bytes"})
			return err
		})
	}
	return cmp.Or(group.Wait(), ctx.Err())
}

// toRead returns the noted chunks of the packs that exist in their full size,
// and their stored length.
func (v *verification) toRead() (chunks []Ref, total int64) {
	for pack, noted := range v.chunks {
		if v.packs[pack] != "" {
			continue // marked already
		}
		for _, c := range noted {
			chunks = append(chunks, Ref{
				Size: c.size, SHA256: c.sum, Offset: c.offset, Length: c.length, Index: int(c.index),
				Pack: Pack{Backup: c.pack.Backup, Number: c.pack.Number},
			})
		}
	}
	slices.SortFunc(chunks, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(a.Pack.Backup, b.Pack.Backup), cmp.Compare(a.Pack.Number, b.Pack.Number), cmp.Compare(a.Offset, b.Offset))
	})
	return chunks, storedSize(chunks)
}

func storedSize(refs []Ref) int64 {
	var n int64
	for _, r := range refs {
		n += r.Length
	}
	return n
}

// readRun reads and checks a run, and its chunks one by one if that finds
// damage, so that it is known where.
func (v *verification) readRun(ctx context.Context, run []Ref) error {
	buf, _ := v.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer v.buffers.Put(buf)
	if len(run) > 1 {
		plain, err := v.reader.readRun(ctx, run, sized(*buf, run))
		if err == nil {
			*buf = plain
			v.count(run)
			return nil
		}
		if !isDamage(err) {
			return err
		}
	}
	for i, ref := range run {
		plain, err := v.reader.read(ctx, ref, *buf)
		if isDamage(err) {
			err = v.badPack(ctx, ref.Pack.ID(), fmt.Errorf("chunk %d at byte %d: %w", ref.Index, ref.Offset, err))
			if err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		*buf = plain
		v.count(run[i : i+1])
	}
	return nil
}

// count notes chunks that were read and are whole.
func (v *verification) count(refs []Ref) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done.chunks += int64(len(refs))
	v.done.bytes += storedSize(refs)
}

// report puts together what was found.
func (v *verification) report(backups []Backup) VerifyReport {
	report := VerifyReport{
		Environment: v.env, ReadData: v.opts.ReadData, Backups: make([]VerifiedBackup, 0, len(backups)),
		Packs: len(v.packs), Chunks: v.done.chunks, Bytes: v.done.bytes, Bad: []string{},
	}
	for _, b := range backups {
		found := VerifiedBackup{ID: b.ID(), Problems: append([]string{}, v.faults[b.ID()]...)}
		for _, p := range b.Manifest.Packs {
			if fault := v.packs[p.ID()]; fault != "" {
				found.Problems = append(found.Problems, fmt.Sprintf("pack %s: %s", p.ID(), fault))
			}
		}
		// A mark of an earlier day counts until it is removed.
		for _, damaged := range b.Damaged {
			if !slices.ContainsFunc(found.Problems, func(s string) bool { return len(s) > len(damaged) && s[:len(damaged)] == damaged }) {
				found.Problems = append(found.Problems, damaged+": it was marked bad")
			}
		}
		report.Backups = append(report.Backups, found)
	}
	for key := range v.bad {
		report.Bad = append(report.Bad, key)
	}
	slices.Sort(report.Bad)
	if v.unmarked != nil {
		report.Unrecorded = unrecorded(v.unmarked)
	}
	return report
}
