package dir

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/envdb/envdb"
)

// smallObject is the size up to which a tag is a hash of the content. Leases
// and marks are small and rewritten often: within one tick of the file
// system's clock, and onto an inode number that was free a moment ago.
const smallObject = 64 << 10

// describe returns what is known of the open object f.
func describe(f *os.File, key string) (envdb.Object, error) {
	info, err := f.Stat()
	if err != nil {
		return envdb.Object{}, err
	}
	tag, err := tagOf(f, info)
	if err != nil {
		return envdb.Object{}, err
	}
	return envdb.Object{Key: key, Size: info.Size(), Tag: tag, Modified: info.ModTime()}, nil
}

// tagOf returns the object's tag: of a small one the hash of its content, of a
// large one its inode, size and time, whose last digits Put made random.
func tagOf(f *os.File, info os.FileInfo) (envdb.Tag, error) {
	if info.Size() > smallObject {
		return envdb.Tag(fmt.Sprintf("%x-%x-%x", inode(info), info.Size(), info.ModTime().UnixNano())), nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return "", err
	}
	return envdb.Tag(hex.EncodeToString(hash.Sum(nil)[:16])), nil
}

// inode returns the file's inode number, 0 where there is none.
func inode(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}

// scatter gives the file the current time with a random fraction of its last
// millisecond, so that two writes never have equal times.
func scatter(path string) error {
	t := time.Now().Truncate(time.Millisecond).Add(time.Duration(rand.Int64N(int64(time.Millisecond))))
	return os.Chtimes(path, t, t)
}
