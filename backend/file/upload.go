package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"sluice/backend"
)

var (
	errOver    = errors.New("upload is over")
	errNoPart  = errors.New("a part is missing")
	errNumbers = errors.New("parts are numbered from 1")
)

// upload writes its parts into one file, each where it belongs, as long as the sizes of those before it are known. A part
// that comes too early, or again, waits in a file of its own until Commit.
//
// It has a folder, and there a list of the parts that are on the disk, so that it outlives its process; see resume.go.
type upload struct {
	s    *Store
	key  string
	id   string
	opts backend.PutOptions

	mu    sync.Mutex
	f     *os.File // with the parts that are in place
	tmp   string   // its name
	list  *os.File // of the parts, one line each
	parts map[int]*part
	next  int   // first part whose place is not known
	end   int64 // that place
	over  bool
}

type part struct {
	size int64
	off  int64  // in upload.f, if file is empty
	file string // the part's own file
	old  string // the file of what was the part before; empty: none
	busy bool   // being written
	done bool   // written
}

// NewUpload implements backend.Store.
func (s *Store) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	if err := s.check(ctx, key); err != nil {
		return nil, fmt.Errorf("new upload %q: %w", key, err)
	}
	u, err := s.found(key, opts)
	if err != nil {
		return nil, fmt.Errorf("new upload %q: %w", key, classify(err))
	}
	return u, nil
}

// begin finds a place for size bytes as part n, and a file handle that stands there.
func (u *upload) begin(n int, size int64) (*part, *os.File, error) {
	switch {
	case n < 1:
		return nil, nil, errNumbers
	case n > u.s.Caps().MaxParts:
		return nil, nil, backend.ErrTooLarge
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return nil, nil, errOver
	}
	p := u.parts[n]
	switch {
	case p != nil && p.file == "" && p.size == size && !p.busy && !p.done: // again after a failure, in the same place
	case p == nil && n == u.next:
		p = &part{size: size, off: u.end}
		u.parts[n] = p
		for q := p; q != nil; q = u.parts[u.next] {
			u.end += q.size
			u.next++
		}
	default:
		name := u.file()
		f, err := u.s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return nil, nil, err
		}
		old := ""
		if p != nil {
			old = p.file
		}
		p = &part{size: size, file: name, old: old, busy: true}
		u.parts[n] = p
		return p, f, nil
	}
	f, err := u.s.root.OpenFile(u.tmp, os.O_WRONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	if _, err := f.Seek(p.off, io.SeekStart); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	p.busy, p.done = true, false
	return p, f, nil
}

// finish says how the writing of part n went. What went well is put on the list.
func (u *upload) finish(n int, p *part, err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	p.busy = false
	switch {
	case err != nil:
		return err
	case u.over:
		return errOver
	}
	if err := u.enlist(n, p); err != nil {
		return err
	}
	p.done = true
	if p.old != "" {
		err = u.s.root.Remove(p.old)
		p.old = ""
	}
	return err
}

// WritePart implements backend.Upload.
func (u *upload) WritePart(ctx context.Context, n int, b []byte) error {
	err := ctx.Err()
	if err == nil {
		err = u.write(n, int64(len(b)), func(f *os.File) error {
			_, err := f.Write(b)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("write part %d of %q: %w", n, u.key, classify(err))
	}
	return nil
}

func (u *upload) write(n int, size int64, fill func(*os.File) error) error {
	p, f, err := u.begin(n, size)
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	return u.finish(n, p, errors.Join(err, f.Close()))
}

// CopyPart implements backend.Upload.
func (u *upload) CopyPart(ctx context.Context, n int, src string, off, length int64, opts backend.CopyPartOptions) error {
	err := u.s.check(ctx, src)
	if err == nil {
		err = u.copyPart(ctx, n, src, off, length, opts.SrcETag)
	}
	if err != nil {
		return fmt.Errorf("copy %q to part %d of %q: %w", src, n, u.key, classify(err))
	}
	return nil
}

func (u *upload) copyPart(ctx context.Context, n int, src string, off, length int64, etag string) error {
	from, o, err := u.s.open(src, etag)
	if err != nil {
		return err
	}
	defer from.Close()
	if off < 0 || length < 1 || off > o.Size-length {
		return fmt.Errorf("%d bytes at %d of %d: %w", length, off, o.Size, backend.ErrRange)
	}
	if _, err := from.Seek(off, io.SeekStart); err != nil {
		return err
	}
	return u.write(n, length, func(f *os.File) error { return copyBytes(ctx, f, from, length) })
}

// Commit implements backend.Upload.
func (u *upload) Commit(ctx context.Context, parts int) (backend.Object, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	err := ctx.Err()
	var o backend.Object
	if err == nil {
		o, err = u.commit(ctx, parts)
	}
	if err != nil {
		return backend.Object{}, fmt.Errorf("commit %q: %w", u.key, classify(err))
	}
	return o, nil
}

func (u *upload) commit(ctx context.Context, parts int) (backend.Object, error) {
	switch {
	case u.over:
		return backend.Object{}, errOver
	case parts < 1:
		return backend.Object{}, errNoPart
	}
	var end int64
	straight := true // no part lies where another one belongs
	for n := 1; n <= parts; n++ {
		p := u.parts[n]
		if p == nil || !p.done {
			return backend.Object{}, fmt.Errorf("%d: %w", n, errNoPart)
		}
		straight = straight && (p.file != "" || p.off == end)
		end += p.size
	}
	if !straight {
		if err := u.move(ctx, parts); err != nil {
			return backend.Object{}, err
		}
	}
	if err := u.gather(ctx, u.f, parts, false); err != nil {
		return backend.Object{}, err
	}
	if err := u.f.Truncate(end); err != nil {
		return backend.Object{}, err
	}
	o, err := u.s.publish(u.key, u.f, u.tmp, u.opts.Attributes, u.opts.If)
	if err != nil {
		return backend.Object{}, err
	}
	_ = u.drop() // the object is there; should a file of a part be left, the next Open sweeps it
	return o, nil
}

// gather copies the parts that are elsewhere, or all of them, to where they belong in f.
func (u *upload) gather(ctx context.Context, to *os.File, parts int, all bool) error {
	var off int64
	for n := 1; n <= parts; n++ {
		p := u.parts[n]
		if p.file != "" || all {
			if _, err := to.Seek(off, io.SeekStart); err != nil {
				return err
			}
			if err := u.copyTo(ctx, to, p); err != nil {
				return err
			}
		}
		off += p.size
	}
	return nil
}

func (u *upload) copyTo(ctx context.Context, to *os.File, p *part) error {
	name := p.file
	if name == "" {
		name = u.tmp
	}
	from, err := u.s.root.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := from.Seek(p.off, io.SeekStart); err != nil {
		return err
	}
	return copyBytes(ctx, to, from, p.size)
}

// move starts the file anew, with every part where it belongs.
func (u *upload) move(ctx context.Context, parts int) error {
	name := u.file()
	f, err := u.s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := u.gather(ctx, f, parts, true); err != nil {
		return errors.Join(err, f.Close(), u.s.root.Remove(name))
	}
	// The list goes on naming the old file, which stays until the upload is over.
	err = u.f.Close()
	u.f, u.tmp = f, name
	u.end = 0
	for n := 1; n <= parts; n++ {
		p := u.parts[n]
		p.file, p.off = "", u.end
		u.end += p.size
	}
	u.next = parts + 1
	return err
}

// Abort implements backend.Upload.
func (u *upload) Abort(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	err := ctx.Err()
	if err == nil {
		err = u.drop()
	}
	if err != nil {
		return fmt.Errorf("abort %q: %w", u.key, classify(err))
	}
	return nil
}

// drop ends the upload and removes what is left of it.
func (u *upload) drop() error {
	if u.over {
		return nil
	}
	u.over = true
	return errors.Join(u.f.Close(), u.list.Close(), u.s.root.RemoveAll(u.dir()))
}
