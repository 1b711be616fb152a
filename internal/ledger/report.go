package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/envdb/envdb"
)

// Reports of drills are numbered from 1 on, sealed, and never replaced. The
// number is in the key, so of two that are written at once one comes after the
// other.

func (l *Ledger) reportPrefix() string { return l.project + "/drills/" }

func (l *Ledger) reportKey(number int) string {
	return fmt.Sprintf("%s%08d.json", l.reportPrefix(), number)
}

// Reports lists the numbers of the reports of drills, in their order.
func (l *Ledger) Reports(ctx context.Context) ([]int, error) {
	var numbers []int
	for object, err := range l.store.List(ctx, l.reportPrefix()) {
		if err != nil {
			return nil, fmt.Errorf("list the reports of drills: %w", err)
		}
		name, isReport := strings.CutSuffix(strings.TrimPrefix(object.Key, l.reportPrefix()), ".json")
		if n, err := strconv.Atoi(name); isReport && err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// Report returns a report as it was written. The error of one that is not there
// is fs.ErrNotExist.
func (l *Ledger) Report(ctx context.Context, number int) ([]byte, error) {
	key := l.reportKey(number)
	sealed, _, err := l.read(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read report %d: %w", number, err)
	}
	raw, err := l.config.Unseal(ctx, key, sealed)
	if err != nil {
		return nil, fmt.Errorf("read report %d: %w", number, err)
	}
	return raw, nil
}

// reportTries is how often AddReport looks for its place in the chain.
const reportTries = 20

// AddReport writes the next report. compose gets its number and the report
// before it, nil for the first, and is called again if another report was
// written meanwhile.
func (l *Ledger) AddReport(ctx context.Context, compose func(number int, before []byte) ([]byte, error)) error {
	for range reportTries {
		numbers, err := l.Reports(ctx)
		if err != nil {
			return err
		}
		var before []byte
		number := 1
		if n := len(numbers); n > 0 {
			number = numbers[n-1] + 1
			if before, err = l.Report(ctx, number-1); err != nil {
				return err
			}
		}
		raw, err := compose(number, before)
		if err != nil {
			return err
		}
		key := l.reportKey(number)
		sealed, err := l.config.Seal(ctx, key, raw)
		if err != nil {
			return err
		}
		_, err = l.store.Put(ctx, key, bytes.NewReader(sealed), envdb.IfAbsent())
		if errors.Is(err, envdb.ErrCondition) {
			if mine, readErr := l.Report(ctx, number); readErr == nil && bytes.Equal(mine, raw) {
				return nil // the answer of an earlier try was lost
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("write report %d: %w", number, err)
		}
		return nil
	}
	return envdb.Fail(envdb.ErrBusy, "the report found no place among %d others that were written at once", reportTries).WithNext("run the drill again")
}
