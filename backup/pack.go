package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

const (
	packMagic = "envdbpk1"
	// packTarget is the size at which a pack is closed.
	packTarget = 64 << 20
	// packsInFlight bounds the packs that are being written: the open one, and
	// one that the store is making durable.
	packsInFlight = 2
)

// packer appends frames to packs, which stream into the store while they grow.
// One pack is open at a time. It is not safe for concurrent use but for stop.
type packer struct {
	store  envdb.Store
	codec  *codec
	key    func(PackID) string
	backup envdb.BackupID

	ctx   context.Context // of the writes, which outlive the call that began them
	stop  context.CancelCauseFunc
	group errgroup.Group

	open   *openPack
	packs  []Pack // in the order of their numbers; the last may be open
	failed struct {
		sync.Mutex
		err error
	}
}

// openPack is the pack that grows.
type openPack struct {
	pipe   *io.PipeWriter
	chunks int32
}

func newPacker(ctx context.Context, store envdb.Store, codec *codec, backup envdb.BackupID, key func(PackID) string) *packer {
	p := &packer{store: store, codec: codec, key: key, backup: backup}
	p.ctx, p.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	p.group.SetLimit(packsInFlight)
	return p
}

// append seals a frame for the place that only now is known, which takes a
// tenth of the time that compressing it took, writes it, and returns where it
// lies. An error is final: the packer can only be stopped after it. ctx ends
// the wait for the store.
func (p *packer) append(ctx context.Context, frame []byte) (place, error) {
	if err := p.err(); err != nil {
		return place{}, err
	}
	if p.open == nil {
		if err := p.begin(ctx); err != nil {
			return place{}, err
		}
	}
	pack := &p.packs[len(p.packs)-1]
	stored := p.codec.seal(frame, spot{object: p.key(pack.ID()), ordinal: int64(p.open.chunks)})
	at := place{pack: pack.ID(), index: p.open.chunks, offset: pack.Size, length: int64(len(stored))}
	if err := p.write(ctx, stored); err != nil {
		return place{}, err
	}
	p.open.chunks++
	if pack.Size >= packTarget {
		p.end()
	}
	return at, nil
}

// begin opens the next pack.
func (p *packer) begin(ctx context.Context) error {
	reader, writer := io.Pipe()
	id := PackID{Backup: p.backup, Number: len(p.packs) + 1}
	p.packs = append(p.packs, Pack{Backup: id.Backup, Number: id.Number})
	p.open = &openPack{pipe: writer}
	p.group.Go(func() error {
		_, err := p.store.Put(p.ctx, p.key(id), reader, envdb.IfAbsent())
		if err != nil {
			err = fmt.Errorf("write pack %s: %w", id, err)
			p.fail(err)
		}
		return errors.Join(err, reader.CloseWithError(err))
	})
	return p.write(ctx, []byte(packMagic))
}

// write passes bytes to the store.
func (p *packer) write(ctx context.Context, b []byte) error {
	pipe := p.open.pipe
	stop := context.AfterFunc(ctx, func() { _ = pipe.CloseWithError(ctx.Err()) })
	_, err := pipe.Write(b)
	if !stop() && err == nil {
		err = ctx.Err() // the pack was closed behind our back
	}
	if err != nil {
		p.fail(err)
		return p.err()
	}
	p.packs[len(p.packs)-1].Size += int64(len(b))
	return nil
}

// end closes the open pack; the store makes it durable meanwhile.
func (p *packer) end() {
	if p.open != nil {
		_ = p.open.pipe.Close() // never fails
		p.open = nil
	}
}

// finish waits until every pack is durable, and returns them.
func (p *packer) finish() ([]Pack, error) {
	p.end()
	err := p.group.Wait()
	p.stop(nil)
	return p.packs, errors.Join(p.err(), err)
}

// abandon ends every write and waits for that.
func (p *packer) abandon() {
	p.fail(errAbandoned)
	if p.open != nil {
		_ = p.open.pipe.CloseWithError(errAbandoned)
		p.open = nil
	}
	_ = p.group.Wait() // its error is errAbandoned, or was returned before
}

var errAbandoned = envdb.Fail(envdb.ErrInterrupted, "the backup was given up")

// fail makes err what every later call returns, and ends the writes.
func (p *packer) fail(err error) {
	p.failed.Lock()
	defer p.failed.Unlock()
	if p.failed.err == nil {
		p.failed.err = err
		p.stop(err)
	}
}

func (p *packer) err() error {
	p.failed.Lock()
	defer p.failed.Unlock()
	return p.failed.err
}

// packSizes lists the sizes of the packs that the given backups wrote.
func (r *Repository) packSizes(ctx context.Context, env string, ids map[envdb.BackupID]bool) (map[PackID]int64, error) {
	prefixes := make([]string, 0, len(ids))
	if len(ids) > listReaders*4 {
		prefixes = append(prefixes, r.keys.packsOf(env))
	} else {
		for id := range ids {
			prefixes = append(prefixes, r.keys.packsOfBackup(env, id))
		}
	}
	sizes := map[PackID]int64{}
	for _, prefix := range prefixes {
		for object, err := range r.store.List(ctx, prefix) {
			if err != nil {
				return nil, fmt.Errorf("list the packs of %s: %w", env, err)
			}
			if pack, ok := parsePack(strings.TrimPrefix(object.Key, r.keys.packsOf(env))); ok {
				sizes[pack] = object.Size
			}
		}
	}
	return sizes, nil
}

// checkPack returns an error unless the store holds the pack in its full size.
func checkPack(pack Pack, sizes map[PackID]int64) error {
	size, exists := sizes[pack.ID()]
	switch {
	case !exists:
		return errors.New("it is missing")
	case size != pack.Size:
		return fmt.Errorf("it has %d bytes instead of %d", size, pack.Size)
	}
	return nil
}
