package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// spool keeps a run's record, and its log if there is one, in the local
// directory until FlushSpool stores them.
func (l *Ledger) spool(run *Run, log []byte) error {
	raw, err := encode(run)
	if err != nil {
		return err
	}
	dir := l.spoolDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if log != nil {
		if err := writeAside(dir, run.ID+".log", log); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
	}
	if err := writeAside(dir, run.ID+".json", raw); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

func (l *Ledger) spoolDir() string { return filepath.Join(l.config.Spool, escape(l.project)) }

// FlushSpool stores the spooled records of runs that have ended, and returns
// how many. A spooled run whose process died is stored as interrupted. Several
// processes may flush at once.
func (l *Ledger) FlushSpool(ctx context.Context) (int, error) {
	if l.config.Spool == "" {
		return 0, nil
	}
	entries, err := os.ReadDir(l.spoolDir())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	var stored int
	var failed []error
	for _, entry := range entries {
		id, isRecord := strings.CutSuffix(entry.Name(), ".json")
		if !isRecord || len(id) != runIDLength {
			continue
		}
		done, err := l.flushSpooled(ctx, id)
		if err != nil {
			failed = append(failed, fmt.Errorf("spooled run %s: %w", id, err))
		}
		if done {
			stored++
		}
		if ctx.Err() != nil {
			break
		}
	}
	return stored, errors.Join(failed...)
}

// flushSpooled stores one run and removes it from the spool, the record last:
// done again after a crash, it changes nothing.
func (l *Ledger) flushSpooled(ctx context.Context, id string) (bool, error) {
	record, logFile := filepath.Join(l.spoolDir(), id+".json"), filepath.Join(l.spoolDir(), id+".log")
	raw, err := os.ReadFile(record)
	if errors.Is(err, fs.ErrNotExist) { // another flushed it
		return false, nil
	}
	if err != nil {
		return false, err
	}
	run, err := decode(raw)
	if err != nil {
		return false, fmt.Errorf("%s is unreadable: %w", record, err)
	}
	if run.Outcome == Running {
		// The spool is local: so is the process, unless the machine was
		// started anew since.
		if l.config.Machine.knows(run.Process) && !l.config.Machine.Gone(run.Process) {
			return false, nil
		}
		run = interrupted(run, fmt.Sprintf("process %d on %s is gone", run.Process.PID, run.Host))
		run.Finished = l.config.Now().UTC()
	}
	log, err := os.ReadFile(logFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := l.storeRun(ctx, run, log); err != nil {
		return false, err
	}
	return true, errors.Join(removeFile(logFile), removeFile(record))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeAside writes a file whole or not at all, durably.
func writeAside(dir, name string, content []byte) (err error) {
	f, err := os.CreateTemp(dir, ".aside-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeFile(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
