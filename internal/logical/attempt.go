package logical

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

// attempt is one try to take a backup, from the first connection to the last
// chunk. Its leader session holds the snapshot and the locks; while it lives,
// every other session can read the same database.
type attempt struct {
	src    Source
	put    *puts
	hooks  hooks
	number int

	sessions  sessions
	version   serverVersion
	exported  string // the snapshot's id
	relations []*relation
	sources   []*source
	sequences []sequenceInfo
	blobs     blobs
	catalogue *Catalogue
	counter   counter
}

// run takes the backup. Whatever goes wrong, all its sessions end.
func (a *attempt) run(ctx context.Context) (err error) {
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	defer func() { err = errors.Join(a.verdict(ctx, err), a.sessions.close(ctx)) }()

	a.catalogue = &Catalogue{Version: catalogueVersion}
	if err := a.open(ctx); err != nil {
		return err
	}
	watching := a.watch(ctx, give)
	err = a.read(ctx)
	give(nil)
	return errors.Join(err, watching.Wait())
}

// verdict replaces the errors that a cancelled context left everywhere by the
// reason that it was cancelled for, and says what state things are in.
func (a *attempt) verdict(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	again := new(passing)
	if errors.As(context.Cause(ctx), &again) || errors.As(err, &again) {
		return again
	}
	return envdb.Fail(nil, "%w", explain(err, "take the backup")).
		WithState("the database is untouched, and no backup was written")
}

// read does everything between the first statement and the last.
func (a *attempt) read(ctx context.Context) error {
	steps := []func(context.Context) error{
		a.takeSnapshot,
		a.readServer,
		a.refuseUnsupported,
		a.listTables,
		a.listSequences,
		a.listBlobs,
		a.checkAccess,
		a.lockTables,
		a.compareWithNow,
		a.measure,
		a.readRelease,
		a.copyAll,
		a.writeCatalogue,
		a.commit,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// copyAll copies the rows and the schema, while the leader reads the rest of
// the catalogue and then keeps its session alive.
func (a *attempt) copyAll(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	data, done := context.WithCancel(ctx)
	group.Go(func() error {
		defer done()
		inner, ctx := errgroup.WithContext(ctx)
		inner.Go(func() error { return a.dumpSchema(ctx) })
		inner.Go(func() error { return a.copyTables(ctx) })
		return inner.Wait()
	})
	group.Go(func() error {
		if err := a.readCatalogue(ctx); err != nil {
			return err
		}
		return a.keepAlive(ctx, data)
	})
	return group.Wait()
}

// note writes down a decision that a person should know of.
func (a *attempt) note(text string) {
	a.src.Log.Warn("a note on the backup", "note", text)
	a.counter.mu.Lock()
	defer a.counter.mu.Unlock()
	a.catalogue.Notes = append(a.catalogue.Notes, text)
}

func (a *attempt) progress(step string, done, total int64, unit string) {
	a.src.Report.Send(envdb.Progress{Step: step, Done: done, Total: total, Unit: unit})
}
