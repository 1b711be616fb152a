package seed

import (
	"io/fs"
	"strings"
	"time"
)

// oneFile is a file system with one file in it, for goose, which reads
// directories.
type oneFile struct{ name, text string }

// Open implements fs.FS.
func (f oneFile) Open(name string) (fs.File, error) {
	switch name {
	case ".":
		return &oneDir{f: f}, nil
	case f.name:
		return &openFile{strings.NewReader(f.text), f}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Name, Size, Mode, ModTime, IsDir, Sys, Type and Info make f its own entry.
func (f oneFile) Name() string               { return f.name }
func (f oneFile) Size() int64                { return int64(len(f.text)) }
func (f oneFile) Mode() fs.FileMode          { return 0o444 }
func (f oneFile) ModTime() time.Time         { return time.Time{} }
func (f oneFile) IsDir() bool                { return false }
func (f oneFile) Sys() any                   { return nil }
func (f oneFile) Type() fs.FileMode          { return 0 }
func (f oneFile) Info() (fs.FileInfo, error) { return f, nil }

type openFile struct {
	*strings.Reader
	f oneFile
}

func (o *openFile) Stat() (fs.FileInfo, error) { return o.f, nil }
func (o *openFile) Close() error               { return nil }

// oneDir is the directory of the file.
type oneDir struct {
	f    oneFile
	read bool
}

func (d *oneDir) Stat() (fs.FileInfo, error) { return dirInfo{d.f}, nil }
func (d *oneDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: ".", Err: fs.ErrInvalid}
}
func (d *oneDir) Close() error { return nil }

// ReadDir implements fs.ReadDirFile; it is called once, for everything.
func (d *oneDir) ReadDir(int) ([]fs.DirEntry, error) {
	if d.read {
		return nil, nil
	}
	d.read = true
	return []fs.DirEntry{d.f}, nil
}

type dirInfo struct{ oneFile }

func (dirInfo) Name() string      { return "." }
func (dirInfo) Mode() fs.FileMode { return fs.ModeDir | 0o555 }
func (dirInfo) IsDir() bool       { return true }
