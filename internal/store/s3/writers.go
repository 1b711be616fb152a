package s3

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// Without conditional writes two writers cannot keep out of each other's way.
// With single_writer envdb checks conditions itself, by HEAD and then PUT,
// under a lock of this process, and each writer leaves a record:
//
//	.envdb/writers/<id>      renewed every hour in which it writes
//
// A writer that finds another's record of less than a day refuses to write.
// Ages are differences of the endpoint's own times. One id is for one process
// at a time; that two processes use the same, nobody can see.
const (
	writersFolder = hidden + "writers/"
	writersExpire = 24 * time.Hour
	writersRenew  = time.Hour
)

// writers is what this process knows of the records.
type writers struct {
	mu       sync.Mutex
	recorded time.Time // by this process's monotonic clock
}

// mayWrite refuses to write beside another single writer.
func (s *Store) mayWrite(ctx context.Context) error {
	if s.config.SingleWriter == "" {
		return nil
	}
	s.writers.mu.Lock()
	defer s.writers.mu.Unlock()
	if !s.writers.recorded.IsZero() && time.Since(s.writers.recorded) < writersRenew {
		return nil
	}
	if err := s.onlyWriter(ctx); err != nil {
		return err
	}
	key := writersFolder + s.config.SingleWriter
	if _, err := s.put(ctx, key, s.prefix+key, strings.NewReader(s.config.SingleWriter), envdb.Condition{}); err != nil {
		return err
	}
	// Of two that begin at once each finds the other's record now.
	if err := s.onlyWriter(ctx); err != nil {
		return err
	}
	s.writers.recorded = time.Now()
	return nil
}

// onlyWriter looks at the records.
func (s *Store) onlyWriter(ctx context.Context) error {
	l := &listing{store: s, prefix: writersFolder, folder: s.prefix}
	for more := true; more; more = l.token != nil {
		page, err := l.page(ctx)
		if err != nil {
			return err
		}
		for _, record := range page {
			id := strings.TrimPrefix(record.Key, writersFolder)
			age := l.now.Sub(record.Modified)
			if id != s.config.SingleWriter && (l.now.IsZero() || age < writersExpire) {
				return envdb.Fail(envdb.ErrRefused, "%s has another single writer: %q wrote %s ago, this is %q", s, id, age.Round(time.Minute), s.config.SingleWriter).
					WithState("nothing was written").
					WithNext("let one writer write; if %q has stopped for good, wait until its record is a day old, or delete the object %s%s%s", id, s, writersFolder, id)
			}
		}
	}
	return nil
}

// putEmulated checks the condition and then writes. The content is read first,
// so that other writes of this process wait for a request and not for a body;
// what is larger than a part waits with the lock held.
func (s *Store) putEmulated(ctx context.Context, key, name string, content io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	head, err := io.ReadAll(io.LimitReader(content, partSize))
	if err != nil {
		return "", fmt.Errorf("write %s%s: read what is written: %w", s, key, err)
	}
	lock := s.stripe(key)
	lock.Lock()
	defer lock.Unlock()
	if err := s.holds(ctx, key, name, cond); err != nil {
		return "", err
	}
	return s.put(ctx, key, name, io.MultiReader(bytes.NewReader(head), content), envdb.Condition{})
}

func (s *Store) stripe(key string) *sync.Mutex {
	hash := fnv.New32a()
	hash.Write([]byte(key))
	return &s.emulated[hash.Sum32()%uint32(len(s.emulated))]
}

// holds returns envdb.ErrCondition if the condition does not hold now.
func (s *Store) holds(ctx context.Context, key, name string, cond envdb.Condition) error {
	object, err := s.head(ctx, key, name)
	missing := isMissing(err)
	if err != nil && !missing {
		return err
	}
	if cond.Absent() && !missing || cond.Match() != "" && (missing || object.Tag != cond.Match()) {
		return fmt.Errorf("write %s%s: %w", s, key, envdb.ErrCondition)
	}
	return nil
}
