package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"sluice/backend"
)

// Put implements backend.Store.
func (s *Store) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	if err := s.check(ctx, key); err != nil {
		return backend.Object{}, fmt.Errorf("put %q: %w", key, err)
	}
	o, err := s.replace(key, opts.Attributes, opts.If, func(f *os.File) error {
		_, err := f.Write(p)
		return err
	})
	if err != nil {
		return backend.Object{}, fmt.Errorf("put %q: %w", key, classify(err))
	}
	return o, nil
}

// replace makes the object at key of what fill writes.
func (s *Store) replace(key string, a backend.Attributes, c backend.Condition, fill func(*os.File) error) (backend.Object, error) {
	f, tmp, err := s.create()
	if err != nil {
		return backend.Object{}, err
	}
	var o backend.Object
	if err = fill(f); err == nil {
		o, err = s.publish(key, f, tmp, a, c)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		return o, nil
	}
	if left := s.root.Remove(tmp); left != nil && !missing(left) {
		err = errors.Join(err, left)
	}
	return backend.Object{}, err
}

// publish puts the file f, which is at tmp, in the place of key, durably and with its attributes. The file stays at tmp if
// that fails.
func (s *Store) publish(key string, f *os.File, tmp string, a backend.Attributes, c backend.Condition) (backend.Object, error) {
	now := time.Now()
	at := stamp(a.ModTime, now)
	if err := s.root.Chtimes(tmp, now, at); err != nil {
		return backend.Object{}, err
	}
	if err := f.Sync(); err != nil {
		return backend.Object{}, err
	}
	o, dir, err := s.switchTo(key, f, tmp, at, now, a, c)
	if err != nil {
		return backend.Object{}, err
	}
	return o, s.sync(dir)
}

// switchTo does what publish must do with the directory locked. It returns the folder that changed.
func (s *Store) switchTo(key string, f *os.File, tmp string, at, now time.Time, a backend.Attributes, c backend.Condition) (o backend.Object, dir string, err error) {
	release, err := s.acquire()
	if err != nil {
		return o, "", err
	}
	defer release()
	_, old, err := s.find(key)
	if err != nil && !errors.Is(err, backend.ErrNotExist) {
		return o, "", err
	}
	vs, err := s.versions(key)
	if err != nil {
		return o, "", err
	}
	if err := holds(key, old, vs, c); err != nil {
		return o, "", err
	}
	fi, err := s.distinct(f, tmp, at, now, old, vs)
	if err != nil {
		return o, "", err
	}
	if !plainAttributes(a) {
		next := []version{{fi.Size(), fi.ModTime().UnixNano(), now.UnixNano(), a.ModTime, a.ContentType, a.Metadata}}
		if old != nil {
			if v := match(vs, old); v != nil {
				next = append(next, *v)
			}
		}
		if err := s.writeVersions(key, next); err != nil {
			return o, "", err
		}
		vs = next
	}
	name, err := s.target(key)
	if err != nil {
		return o, "", err
	}
	if err := s.root.Rename(tmp, name); err != nil {
		return o, "", err
	}
	if plain, escaped := place(key); name == plain {
		if err := s.root.Remove(escaped); err != nil && !missing(err) {
			return o, "", err
		}
	}
	if len(vs) > 0 && plainAttributes(a) {
		if err := s.root.Remove(sidecarName(key)); err != nil && !missing(err) {
			return o, "", err
		}
	}
	if fi, err = s.root.Lstat(name); err != nil { // the move has changed its change time
		return o, "", err
	}
	return object(key, fi, match(vs, fi)), path.Dir(name), nil
}

// holds checks a condition on what is at key: old, or nothing if that is nil.
func holds(key string, old fs.FileInfo, vs []version, c backend.Condition) error {
	switch {
	case c.Absent && old != nil, c.ETag != "" && old == nil:
		return backend.ErrChanged
	case c.ETag != "" && object(key, old, match(vs, old)).ETag != c.ETag:
		return backend.ErrChanged
	}
	return nil
}

// distinct gives the new file f a time that tells it from old, and from every version of which attributes are stored. That
// is at once, unless the client gives the same time to objects of the same size.
func (s *Store) distinct(f *os.File, tmp string, at, now time.Time, old fs.FileInfo, vs []version) (fs.FileInfo, error) {
	for step := time.Duration(1); ; step *= 1000 { // file systems keep nanoseconds, microseconds, seconds
		fi, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if match(vs, fi) == nil && (old == nil || old.Size() != fi.Size() || !old.ModTime().Equal(fi.ModTime())) {
			return fi, nil
		}
		at = at.Add(step)
		if err := s.root.Chtimes(tmp, now, at); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
	}
}

// target returns where the object at key has to be written, and makes the folders on the way.
func (s *Store) target(key string) (string, error) {
	plain, escaped := place(key)
	name := plain
	if plain == "" {
		name = escaped
	} else if fi, err := s.root.Stat(plain); err == nil && fi.IsDir() {
		name = escaped
	} else if _, esc := s.root.Lstat(escaped); err != nil && esc == nil {
		name = escaped
	}
	return name, s.mkdir(path.Dir(name))
}

// mkdir makes a folder and those above it, durably. An object in the way moves to its escaped name.
func (s *Store) mkdir(dir string) error {
	if dir == "." {
		return nil
	}
	if fi, err := s.root.Stat(dir); err == nil && fi.IsDir() {
		return nil
	}
	above := path.Dir(dir)
	if err := s.mkdir(above); err != nil {
		return err
	}
	if fi, err := s.root.Lstat(dir); err == nil && fi.Mode().IsRegular() {
		_, escaped := leaf(path.Base(dir))
		to := path.Join(above, escaped)
		if err := s.mkdir(path.Dir(to)); err != nil {
			return err
		}
		if err := s.root.Rename(dir, to); err != nil {
			return err
		}
		if err := s.sync(path.Dir(to)); err != nil {
			return err
		}
	}
	if err := s.root.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.sync(above)
}

// Copy implements backend.Store. The file system copies the bytes, or shares them where it can.
func (s *Store) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	if err := s.check(ctx, dst, src); err != nil {
		return backend.Object{}, fmt.Errorf("copy %q to %q: %w", src, dst, err)
	}
	var o backend.Object
	var err error
	if dst == src && opts.Replace != nil {
		o, err = s.rewrite(dst, opts)
	} else {
		o, err = s.copy(ctx, dst, src, opts)
	}
	if err != nil {
		return backend.Object{}, fmt.Errorf("copy %q to %q: %w", src, dst, classify(err))
	}
	return o, nil
}

func (s *Store) copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	f, from, err := s.open(src, opts.SrcETag)
	if err != nil {
		return backend.Object{}, err
	}
	defer f.Close()
	a := backend.Attributes{ContentType: from.ContentType, ModTime: from.ModTime, Metadata: from.Metadata}
	if opts.Replace != nil {
		a = *opts.Replace
	}
	return s.replace(dst, a, opts.If, func(to *os.File) error { return copyBytes(ctx, to, f, from.Size) })
}

// copyBytes copies n bytes from where f stands to where to stands. The kernel does it where it can.
func copyBytes(ctx context.Context, to, f *os.File, n int64) error {
	const step = 64 << 20 // bytes between two looks at ctx
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		done, err := io.CopyN(to, f, min(n, step))
		if err == io.EOF {
			return backend.ErrChanged // it was cut while it was read
		}
		if err != nil {
			return err
		}
		n -= done
	}
	return nil
}

// rewrite replaces the attributes of an object and leaves its bytes where they are.
func (s *Store) rewrite(key string, opts backend.CopyOptions) (backend.Object, error) {
	release, err := s.acquire()
	if err != nil {
		return backend.Object{}, err
	}
	defer release()
	name, fi, err := s.find(key)
	if err != nil {
		return backend.Object{}, err
	}
	vs, err := s.versions(key)
	if err != nil {
		return backend.Object{}, err
	}
	for _, c := range []backend.Condition{opts.If, {ETag: opts.SrcETag}} {
		if err := holds(key, fi, vs, c); err != nil {
			return backend.Object{}, err
		}
	}
	a, now := opts.Replace, time.Now()
	at := stamp(a.ModTime, now)
	v := version{fi.Size(), fi.ModTime().UnixNano(), now.UnixNano(), a.ModTime, a.ContentType, a.Metadata}
	moved := v
	moved.Stamp = at.UnixNano()
	if err := s.writeVersions(key, []version{v, moved}); err != nil {
		return backend.Object{}, err
	}
	// If the file system keeps another time than at, the attributes would no longer match: then the old time is put back.
	if err := s.root.Chtimes(name, now, at); err != nil {
		return backend.Object{}, err
	}
	vs = []version{v, moved}
	set, err := s.root.Lstat(name)
	if err != nil {
		return backend.Object{}, err
	}
	if match(vs, set) == nil {
		if err := s.root.Chtimes(name, now, fi.ModTime()); err != nil {
			return backend.Object{}, err
		}
		if set, err = s.root.Lstat(name); err != nil {
			return backend.Object{}, err
		}
	}
	return object(key, set, match(vs, set)), nil
}

// Delete implements backend.Store. Folders that become empty go too.
func (s *Store) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	if err := s.check(ctx, key); err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	if err := s.remove(key, opts.ETag); err != nil {
		return fmt.Errorf("delete %q: %w", key, classify(err))
	}
	return nil
}

func (s *Store) remove(key, etag string) error {
	release, err := s.acquire()
	if err != nil {
		return err
	}
	defer release()
	o, _, err := s.stat(key)
	switch {
	case errors.Is(err, backend.ErrNotExist) && etag == "":
		return nil
	case errors.Is(err, backend.ErrNotExist):
		return backend.ErrChanged
	case err != nil:
		return err
	case etag != "" && etag != o.ETag:
		return backend.ErrChanged
	}
	plain, escaped := place(key)
	if fi, err := s.root.Lstat(plain); plain != "" && err == nil && fi.Mode().IsRegular() {
		if err := s.root.Remove(plain); err != nil {
			return err
		}
	}
	for _, name := range []string{escaped, sidecarName(key)} {
		if err := s.root.Remove(name); err != nil && !missing(err) {
			return err
		}
	}
	return s.prune(path.Dir(escaped))
}

// prune removes dir and the folders above it that are empty, and makes that durable.
func (s *Store) prune(dir string) error {
	for dir != "." {
		if err := s.root.Remove(dir); err != nil && !missing(err) {
			break // not empty
		}
		dir = path.Dir(dir)
	}
	return s.sync(dir)
}
