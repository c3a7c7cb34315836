package protocol_test

import (
	"bytes"
	"context"
	"io"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/vfs"
)

type fsys = vfs.FS

type mapFS struct {
	mu sync.Mutex
	m  map[string][]byte
	d  map[string]bool
	t  map[string]time.Time
}

func newFS(*testing.T) fsys {
	return &mapFS{m: map[string][]byte{}, d: map[string]bool{"/": true}, t: map[string]time.Time{}}
}
func (f *mapFS) info(n string) (vfs.Info, error) {
	if f.d[n] {
		return vfs.Info{Name: path.Base(n), Dir: true, Rights: vfs.Full}, nil
	}
	if b, ok := f.m[n]; ok {
		return vfs.Info{Name: path.Base(n), Size: int64(len(b)), Rights: vfs.Full, ModTime: f.t[n]}, nil
	}
	return vfs.Info{}, backend.ErrNotExist
}
func (f *mapFS) Stat(_ context.Context, n string) (vfs.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.info(n)
}
func (f *mapFS) ReadDir(_ context.Context, n string) iter.Seq2[vfs.Info, error] {
	return func(yield func(vfs.Info, error) bool) {
		f.mu.Lock()
		i, err := f.info(n)
		if err == nil && !i.Dir {
			err = vfs.ErrNotDir
		}
		if err != nil {
			f.mu.Unlock()
			yield(vfs.Info{}, err)
			return
		}
		var ns []string
		for k := range f.m {
			ns = append(ns, k)
		}
		for k := range f.d {
			ns = append(ns, k)
		}
		slices.Sort(ns)
		f.mu.Unlock()
		for _, k := range ns {
			if k != "/" && path.Dir(k) == n {
				i, _ := f.info(k)
				if !yield(i, nil) {
					return
				}
			}
		}
	}
}
func (f *mapFS) Open(_ context.Context, n string, off int64) (io.ReadCloser, vfs.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.info(n)
	if err == nil && i.Dir {
		err = vfs.ErrIsDir
	}
	if err == nil && off > i.Size {
		err = vfs.ErrOffset
	}
	if err != nil {
		return nil, i, err
	}
	return io.NopCloser(bytes.NewReader(f.m[n][off:])), i, nil
}
func (f *mapFS) Put(_ context.Context, n string, off int64, r io.Reader, _ vfs.PutOptions) (vfs.Info, error) {
	f.mu.Lock()
	var err error
	switch {
	case f.d[n]:
		err = vfs.ErrIsDir
	case strings.HasPrefix(n, "/.sluice"):
		err = vfs.ErrName
	case !f.d[path.Dir(n)]:
		err = backend.ErrNotExist
	case off > int64(len(f.m[n])):
		err = vfs.ErrOffset
	}
	if off < 0 {
		off = int64(len(f.m[n]))
	}
	f.mu.Unlock()
	if err != nil {
		return vfs.Info{}, err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return vfs.Info{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.m[n] = append(slices.Clone(f.m[n][:off]), b...)
	f.t[n] = time.Now()
	return f.info(n)
}
func (f *mapFS) Rename(_ context.Context, a, b string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.d[b] {
		return vfs.ErrExist
	}
	f.m[b] = f.m[a]
	delete(f.m, a)
	return nil
}
func (f *mapFS) Remove(_ context.Context, n string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.info(n)
	if err == nil && i.Dir {
		return vfs.ErrIsDir
	}
	delete(f.m, n)
	return err
}
func (f *mapFS) Mkdir(_ context.Context, n string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.info(n); err == nil {
		return vfs.ErrExist
	}
	if !f.d[path.Dir(n)] {
		return backend.ErrNotExist
	}
	f.d[n] = true
	return nil
}
func (f *mapFS) Rmdir(_ context.Context, n string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.info(n)
	if err == nil && !i.Dir {
		return vfs.ErrNotDir
	}
	for k := range f.d {
		if k != "/" && path.Dir(k) == n {
			return vfs.ErrNotEmpty
		}
	}
	delete(f.d, n)
	return err
}
