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
	// rereads says that what is read is compared, not stored: the schema is not
	// dumped. Of the tables those that only names are read, or all.
	rereads bool
	only    func(Name) bool
	// give ends the attempt for a reason.
	give context.CancelCauseFunc

	sessions  sessions
	version   serverVersion
	exported  string // the snapshot's id
	relations []*relation
	sources   []*source
	sequences []sequenceInfo
	blobs     blobs
	unread    int64 // large objects that a reread may not read
	catalogue *Catalogue
	counter   counter
}

// run takes the backup. Whatever goes wrong, all its sessions end.
func (a *attempt) run(ctx context.Context) (err error) {
	ctx, a.give = context.WithCancelCause(ctx)
	defer a.give(nil)
	defer a.sessions.close(ctx)
	defer func() { err = a.verdict(ctx, err) }()

	a.catalogue = &Catalogue{Version: catalogueVersion}
	if err := a.open(ctx); err != nil {
		return a.must(err)
	}
	// Who waits for a lock waits no longer, even if a chunk is stuck on its
	// way to the store.
	letGo := context.AfterFunc(ctx, a.sessions.cut)
	watching := a.watch(ctx)
	err = a.must(a.read(ctx))
	letGo()
	a.give(nil)
	return errors.Join(err, watching.Wait())
}

// verdict replaces the errors that a cancelled context left everywhere by the
// reason that it was cancelled for, and says what state things are in.
func (a *attempt) verdict(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if again := new(passing); errors.As(err, &again) {
		return again
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = envdb.Fail(envdb.ErrInterrupted, "take the backup: %w", err)
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
		a.readSequencesState,
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
	var copying, all errgroup.Group
	copied := make(chan struct{})
	if !a.rereads {
		copying.Go(func() error { return a.must(a.dumpSchema(ctx)) })
	}
	copying.Go(func() error { return a.must(a.copyTables(ctx)) })
	all.Go(func() error {
		defer close(copied)
		return copying.Wait()
	})
	all.Go(func() error {
		if err := a.readCatalogue(ctx); err != nil {
			return a.must(err)
		}
		return a.must(a.keepAlive(ctx, copied))
	})
	return all.Wait()
}

// must ends the attempt at once if there is an error, and returns it.
func (a *attempt) must(err error) error {
	if err != nil {
		a.give(err)
	}
	return err
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
