// Package file is a backend.Store in a local directory, safe against crashes: what a mutation reported as done is on the
// disk, and a reader, or a process that starts after a crash, finds each object whole, with its own attributes.
//
// An object is a plain file of plain bytes whose path is its key, and a file that some other program puts into the
// directory is an object. Symbolic links are no objects and nothing leads out of the directory. A folder is seen only
// through what is below it. The directory has to lie on one file system, one with case-sensitive names.
//
// Names that begin with ".sluice" are the driver's own. The folder .sluice holds attributes (meta), uploads that are under way
// (uploads), and what else running processes are writing (run). Keys that a file system cannot hold are escaped, segment by segment; see place.
//
// It knows nothing of users, mounts or caches. The program opens it; backend/transfer and backend/vfs use it.
package file

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/backend"
)

// The private folder, and what is in it.
const (
	private  = ".sluice"
	metaDir  = private + "/meta" // attributes, see meta.go
	runDir   = private + "/run"  // one folder for each process that has the store open
	lockName = private + "/lock" // whoever holds its flock may change the directory
	liveName = "live"            // in a process's folder: its flock says that the process lives
)

// tries bounds how often a reader begins anew because the object was replaced under it.
const tries = 100

// Config names the directory.
type Config struct {
	Path string // made if it is missing
	// Keep is how long an upload can be resumed whose process is gone. It is removed by the next Open after that, so that
	// nothing piles up. 0: a week. Negative: not at all.
	Keep time.Duration
}

// Store is a directory. It implements backend.Store.
type Store struct {
	path string
	root *os.Root
	run  string   // folder of this process
	live *os.File // holds the flock on liveName
	seq  atomic.Int64

	mu   sync.Mutex // held for every change of the directory, together with the flock of lock
	lock *os.File
}

// Open opens the store, and removes what processes that were killed have left behind.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Path == "" {
		return nil, errors.New("file store: no path")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("file store %s: %w", cfg.Path, err)
	}
	if err := os.MkdirAll(cfg.Path, 0o750); err != nil {
		var p *fs.PathError
		if errors.As(err, &p) && errors.Is(err, syscall.ENOTDIR) {
			return nil, fmt.Errorf("file store: %s is a file; a directory is needed", p.Path)
		}
		return nil, fmt.Errorf("file store: %w", classify(err))
	}
	root, err := os.OpenRoot(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("file store: %w", classify(err))
	}
	s := &Store{path: cfg.Path, root: root}
	if err := s.begin(cmp.Or(cfg.Keep, 7*24*time.Hour)); err != nil {
		return nil, fmt.Errorf("file store %s: %w", cfg.Path, errors.Join(classify(err), s.Close()))
	}
	return s, nil
}

// begin makes the private folder and this process's own in it. Nobody else begins meanwhile, so a folder whose flock is
// free is one that was left behind.
func (s *Store) begin(keep time.Duration) error {
	for _, dir := range []string{metaDir, runDir, uploadsDir} {
		if err := s.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	var err error
	if s.lock, err = s.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	unlock, err := s.acquire()
	if err != nil {
		return err
	}
	defer unlock()
	left, err := fs.ReadDir(s.root.FS(), runDir)
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := s.sweep(path.Join(runDir, e.Name())); err != nil {
			return err
		}
	}
	if err := s.sweepUploads(keep); err != nil {
		return err
	}
	s.run = path.Join(runDir, rand.Text())
	if err := s.root.Mkdir(s.run, 0o700); err != nil {
		return err
	}
	if s.live, err = s.root.OpenFile(path.Join(s.run, liveName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	_, err = flock(s.live, false)
	return err
}

// sweep removes the folder of a process, unless that process lives.
func (s *Store) sweep(dir string) error {
	f, err := s.root.OpenFile(path.Join(dir, liveName), os.O_RDWR, 0)
	if err == nil {
		defer f.Close()
		if free, err := flock(f, false); err != nil || !free {
			return err
		}
	} else if !missing(err) {
		return err
	}
	return s.root.RemoveAll(dir)
}

// Close gives the directory up. Uploads that are open can be resumed by another process.
func (s *Store) Close() error {
	var errs []error
	if s.run != "" {
		errs = append(errs, s.root.RemoveAll(s.run))
	}
	for _, f := range []*os.File{s.live, s.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(append(errs, s.root.Close())...)
}

// acquire waits until nobody else, in this process or another, changes the directory.
func (s *Store) acquire() (release func(), err error) {
	s.mu.Lock()
	if _, err := flock(s.lock, true); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	return func() {
		// Giving up a lock that is held cannot fail.
		_ = funlock(s.lock)
		s.mu.Unlock()
	}, nil
}

// Caps implements backend.Store.
func (s *Store) Caps() backend.Caps {
	return backend.Caps{
		Name: "file", MaxKey: 1024, MaxObject: math.MaxInt64, MaxPut: 1 << 40,
		MinPart: 1, MaxPart: 1 << 40, MaxParts: 1 << 20, PartConcurrency: 4,
		CopyPart: true, MaxCopyPart: math.MaxInt64, MaxCopy: math.MaxInt64, Conditional: true, ListMetadata: true,
		FolderTimes: true,
	}
}

// Check tells whether the directory can be written.
func (s *Store) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("file store %s: %w", s.path, err)
	}
	f, name, err := s.create()
	if err == nil {
		_, err = f.Write([]byte("sluice"))
		err = errors.Join(err, f.Sync(), f.Close(), s.root.Remove(name))
	}
	if err != nil {
		return fmt.Errorf("the directory %s cannot be written: %w", s.path, classify(err))
	}
	return nil
}

// create makes a new file in this process's folder.
func (s *Store) create() (f *os.File, name string, err error) {
	name = fmt.Sprintf("%s/%d", s.run, s.seq.Add(1))
	f, err = s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	return f, name, err
}

// find returns where the object at key is, and what the file system says about it.
func (s *Store) find(key string) (string, fs.FileInfo, error) {
	plain, escaped := place(key)
	for _, name := range []string{plain, escaped} {
		if name == "" {
			continue
		}
		fi, err := s.root.Lstat(name)
		switch {
		case err == nil && fi.Mode().IsRegular():
			return name, fi, nil
		case err != nil && !missing(err):
			return "", nil, err
		}
	}
	return "", nil, backend.ErrNotExist
}

// stat returns the object at key and where it is.
func (s *Store) stat(key string) (backend.Object, string, error) {
	for range tries {
		name, fi, err := s.find(key)
		if err != nil {
			return backend.Object{}, "", err
		}
		o, err := s.describe(key, name, fi)
		if !errors.Is(err, errReplaced) {
			return o, name, err
		}
	}
	return backend.Object{}, "", backend.ErrUnavailable
}

// Stat implements backend.Store.
func (s *Store) Stat(ctx context.Context, key string) (backend.Object, error) {
	if err := s.check(ctx, key); err != nil {
		return backend.Object{}, fmt.Errorf("stat %q: %w", key, err)
	}
	o, _, err := s.stat(key)
	if err != nil {
		err, o = classify(err), backend.Object{}
		if errors.Is(err, backend.ErrNotExist) && strings.HasSuffix(key, "/") {
			o.Updated = s.changed(folder(key))
		}
		return o, fmt.Errorf("stat %q: %w", key, err)
	}
	return o, nil
}

// Move implements backend.Store: the attributes of a file stand under its key, so that two places would have to change.
func (s *Store) Move(_ context.Context, dst, src string, _ backend.MoveOptions) (backend.Object, error) {
	return backend.Object{}, fmt.Errorf("move %q to %q: %w", src, dst, backend.ErrUnsupported)
}

// Restore implements backend.Store: a file can be read at once.
func (s *Store) Restore(ctx context.Context, key string, _ backend.RestoreOptions) error {
	if err := s.check(ctx, key); err != nil {
		return fmt.Errorf("restore %q: %w", key, err)
	}
	return fmt.Errorf("restore %q: %w", key, backend.ErrUnsupported)
}

// Open implements backend.Store.
func (s *Store) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	if err := s.check(ctx, key); err != nil {
		return nil, backend.Object{}, fmt.Errorf("open %q: %w", key, err)
	}
	f, o, err := s.open(key, opts.ETag)
	if err != nil {
		return nil, backend.Object{}, fmt.Errorf("open %q: %w", key, classify(err))
	}
	if opts.Offset < 0 || opts.Offset > o.Size {
		_ = f.Close() // it was only read
		return nil, backend.Object{}, fmt.Errorf("open %q at %d of %d: %w", key, opts.Offset, o.Size, backend.ErrRange)
	}
	n := o.Size - opts.Offset
	if opts.Length > 0 {
		n = min(n, opts.Length)
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, backend.Object{}, errors.Join(fmt.Errorf("open %q: %w", key, classify(err)), f.Close())
	}
	return &body{ctx: ctx, key: key, f: f, fi: fi, r: io.NewSectionReader(f, opts.Offset, n), left: n}, o, nil
}

// open opens the object at key if it is the version etag, where one is given.
func (s *Store) open(key, etag string) (*os.File, backend.Object, error) {
	for range tries {
		name, fi, err := s.find(key)
		if err != nil {
			return nil, backend.Object{}, err
		}
		f, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // should it turn into a pipe just now
		if missing(err) {
			continue
		} else if err != nil {
			return nil, backend.Object{}, err
		}
		o, err := s.opened(key, name, f, fi)
		if err == nil && etag != "" && etag != o.ETag {
			err = backend.ErrChanged
		}
		if err == nil {
			return f, o, nil
		}
		if err := errors.Join(err, f.Close()); !errors.Is(err, errReplaced) {
			return nil, backend.Object{}, err
		}
	}
	return nil, backend.Object{}, backend.ErrUnavailable
}

// opened describes an open file that was found as fi.
func (s *Store) opened(key, name string, f *os.File, fi fs.FileInfo) (backend.Object, error) {
	now, err := f.Stat()
	if err != nil {
		return backend.Object{}, err
	}
	if !os.SameFile(fi, now) {
		return backend.Object{}, errReplaced
	}
	return s.describe(key, name, now)
}

// body reads a range of a file. If another program has written into the file meanwhile, its end is ErrChanged.
type body struct {
	ctx  context.Context
	key  string
	f    *os.File
	fi   fs.FileInfo
	r    *io.SectionReader
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %q: %w", b.key, err)
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if err == io.EOF {
		fi, err := b.f.Stat()
		switch {
		case err != nil:
			return n, fmt.Errorf("read %q: %w", b.key, classify(err))
		case b.left > 0 || fi.Size() != b.fi.Size() || !fi.ModTime().Equal(b.fi.ModTime()):
			return n, fmt.Errorf("read %q: %w", b.key, backend.ErrChanged)
		}
		return n, io.EOF
	}
	if err != nil {
		return n, fmt.Errorf("read %q: %w", b.key, classify(err))
	}
	return n, nil
}

func (b *body) Close() error { return b.f.Close() }

func (s *Store) check(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := backend.CheckKey(key, s.Caps().MaxKey); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// missing says that there is nothing at a path.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// classify gives an error of the file system its sentinel.
func classify(err error) error {
	var errno syscall.Errno
	var perr *fs.PathError
	switch {
	case err == nil:
		return nil
	case missing(err):
		return fmt.Errorf("%w (%w)", backend.ErrNotExist, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w (%w)", backend.ErrPermission, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EMFILE),
		errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ESTALE):
		return fmt.Errorf("%w (%w)", backend.ErrUnavailable, err)
	case errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w (%w)", backend.ErrTooLarge, err)
	case errors.As(err, &perr) && !errors.As(err, &errno): // os.Root itself: a symbolic link leads out
		return fmt.Errorf("%w (%w)", backend.ErrPermission, err)
	}
	return err
}

// stamp is the time that a new version gets in the file system: the client's, as far as file systems can hold it.
func stamp(modTime, now time.Time) time.Time {
	if y := modTime.Year(); y < 1902 || y > 2261 {
		return now
	}
	return modTime
}
