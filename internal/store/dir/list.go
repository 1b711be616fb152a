package dir

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/envdb/envdb"
)

// List implements envdb.Store. It holds one directory of each level in memory.
// Tags are left empty. What is neither a file nor a directory is no object.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	return func(yield func(envdb.Object, error) bool) {
		w := &walk{store: s, ctx: ctx, prefix: prefix, yield: yield}
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			if keyFault(prefix[:i]) != "" {
				return // no key begins so
			}
			w.dir(prefix[:i+1])
			return
		}
		w.dir("")
	}
}

// walk is one listing.
type walk struct {
	store  *Store
	ctx    context.Context // of the List call
	prefix string
	yield  func(envdb.Object, error) bool
}

// dir yields what lies below the directory key base ("" or ending in a slash),
// and reports whether to go on.
func (w *walk) dir(base string) bool {
	path := filepath.Join(w.store.root, filepath.FromSlash(base))
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return true
	}
	if err != nil {
		return w.fail(w.store.explain("list", path, err))
	}
	// A directory's keys all go on with a slash, and "a-b" < "a/b": the order
	// of names is not the order of keys.
	keys := make([]string, len(entries))
	for i, entry := range entries {
		keys[i] = base + entry.Name()
		if entry.IsDir() {
			keys[i] += "/"
		}
	}
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(keys[i], keys[j]) })
	for _, i := range order {
		if !w.entry(keys[i], entries[i]) {
			return false
		}
	}
	return true
}

func (w *walk) entry(key string, entry fs.DirEntry) bool {
	if err := w.ctx.Err(); err != nil {
		return w.fail(err)
	}
	if !strings.Contains(strings.TrimSuffix(key, "/"), "/") && reserved(entry.Name()) {
		return true
	}
	if entry.IsDir() {
		if strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key) {
			return w.dir(key)
		}
		return true
	}
	if !entry.Type().IsRegular() || !strings.HasPrefix(key, w.prefix) {
		return true
	}
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return true // deleted meanwhile
	}
	if err != nil {
		return w.fail(w.store.explain("list", key, err))
	}
	return w.yield(envdb.Object{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil)
}

func (w *walk) fail(err error) bool {
	w.yield(envdb.Object{}, err)
	return false
}
