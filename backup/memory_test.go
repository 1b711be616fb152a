package backup_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// memory is a store in memory, whose objects a test may damage.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	writes  map[string]int // of a key; its tag
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}} }

func (s *memory) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	data, err := io.ReadAll(body)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, exists := s.objects[key]
	if exists && cond.Absent() || cond.Match() != "" && (!exists || s.tag(key) != cond.Match()) {
		return "", fmt.Errorf("write %s: %w", key, envdb.ErrCondition)
	}
	return s.set(key, data), nil
}

func (s *memory) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, exists := s.objects[key]
	if !exists {
		return nil, envdb.Object{}, fmt.Errorf("read %s: %w", key, fs.ErrNotExist)
	}
	part := data[min(span.Offset, int64(len(data))):]
	if span.Length > 0 {
		part = part[:min(span.Length, int64(len(part)))]
	}
	return io.NopCloser(bytes.NewReader(part)), envdb.Object{Key: key, Size: int64(len(data)), Tag: s.tag(key)}, ctx.Err()
}

func (s *memory) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []envdb.Object
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(key, prefix) {
			found = append(found, envdb.Object{Key: key, Size: int64(len(s.objects[key])), Modified: time.Unix(0, 0)})
		}
	}
	return func(yield func(envdb.Object, error) bool) {
		for _, object := range found {
			if !yield(object, nil) {
				return
			}
		}
	}
}

func (s *memory) Delete(ctx context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
	return ctx.Err()
}

// set writes an object and returns its new tag. The caller holds mu.
func (s *memory) set(key string, data []byte) envdb.Tag {
	if s.writes == nil {
		s.writes = map[string]int{}
	}
	s.objects[key] = data
	s.writes[key]++
	return s.tag(key)
}

func (s *memory) tag(key string) envdb.Tag { return envdb.Tag(fmt.Sprint(s.writes[key])) }

// keys returns the keys that contain the text.
func (s *memory) keys(text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.objects)), func(key string) bool { return !strings.Contains(key, text) })
}

// change replaces the content of an object; nil removes it.
func (s *memory) change(key string, how func([]byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if data := how(bytes.Clone(s.objects[key])); data != nil {
		s.set(key, data)
	} else {
		delete(s.objects, key)
	}
}
