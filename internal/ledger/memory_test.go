package ledger_test

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

// memory is a store in memory. fault, if set, is asked before every call.
type memory struct {
	mu      sync.Mutex
	objects map[string]memoryObject
	version int
	fault   func(op, key string) error
	// after is told of every Put and Delete that was done; an error it returns
	// hides that it was.
	after func(op, key string) error
	// clock is what the store's clock shows; nil is the real time.
	clock func() time.Time
}

type memoryObject struct {
	content []byte
	tag     envdb.Tag
	at      time.Time
}

func (m *memory) failing(op, key string) error {
	m.mu.Lock()
	fault := m.fault
	m.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(op, key)
}

func (m *memory) setFault(fault func(op, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

// now is the store's clock.
func (m *memory) now() time.Time {
	if m.clock != nil {
		return m.clock()
	}
	return time.Now()
}

func down(string, string) error {
	return envdb.Fail(envdb.ErrUnreachable, "the store does not answer")
}

func (m *memory) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	content, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	if err := m.failing("put", key); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, exists := m.objects[key]
	if cond.Absent() && exists || cond.Match() != "" && (!exists || old.tag != cond.Match()) {
		return "", fmt.Errorf("put %s: %w", key, envdb.ErrCondition)
	}
	if m.objects == nil {
		m.objects = map[string]memoryObject{}
	}
	m.version++
	tag := envdb.Tag(fmt.Sprint(m.version))
	m.objects[key] = memoryObject{content: content, tag: tag, at: m.now()}
	if m.after != nil {
		if err := m.after("put", key); err != nil {
			return "", err
		}
	}
	return tag, nil
}

func (m *memory) Get(ctx context.Context, key string, _ envdb.Span) (io.ReadCloser, envdb.Object, error) {
	if err := m.failing("get", key); err != nil {
		return nil, envdb.Object{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, envdb.Object{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return nil, envdb.Object{}, fmt.Errorf("get %s: %w", key, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(o.content)), envdb.Object{Key: key, Size: int64(len(o.content)), Tag: o.tag, Modified: o.at}, nil
}

func (m *memory) List(_ context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	return func(yield func(envdb.Object, error) bool) {
		if err := m.failing("list", prefix); err != nil {
			yield(envdb.Object{}, err)
			return
		}
		for _, key := range m.keys(prefix) {
			m.mu.Lock()
			o, there := m.objects[key]
			m.mu.Unlock()
			if !there {
				continue // deleted meanwhile
			}
			if !yield(envdb.Object{Key: key, Size: int64(len(o.content)), Modified: o.at}, nil) {
				return
			}
		}
	}
}

func (m *memory) Delete(_ context.Context, key string) error {
	if err := m.failing("delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

// keys returns the keys under a prefix, in order.
func (m *memory) keys(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(m.objects)) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

// deaf is a store that ignores conditions, as some endpoints do.
type deaf struct{ *memory }

func (d deaf) Put(ctx context.Context, key string, body io.Reader, _ envdb.Condition) (envdb.Tag, error) {
	return d.memory.Put(ctx, key, body, envdb.Condition{})
}
