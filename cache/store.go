package cache

import (
	"context"
	"errors"
	"io"

	"sluice/backend"
)

// Store is a backend.Store with a Cache before it. Cache.Wrap makes one.
type Store struct {
	cache *Cache
	name  string
	space uint32
	inner backend.Store
}

var _ backend.Store = (*Store)(nil)

// Caps implements backend.Store.
func (s *Store) Caps() backend.Caps {
	caps := s.inner.Caps()
	caps.ListRemembered = min(s.cache.cfg.ListTTL, s.cache.cfg.NegativeTTL) > 0
	return caps
}

// Open implements backend.Store. It always asks the store, and forgets what the store's answer proves wrong.
func (s *Store) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	r, obj, err := s.inner.Open(ctx, key, opts)
	switch {
	case err != nil:
		s.suspect(key, err)
	case opts.ETag == "": // otherwise obj may be an old version, where the store keeps those
		s.cache.saw(id{s.space, key}, obj)
	}
	return r, obj, err
}

// Put implements backend.Store.
func (s *Store) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	return s.mutate(key, func() (backend.Object, error) { return s.inner.Put(ctx, key, p, opts) })
}

// Copy implements backend.Store.
func (s *Store) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	obj, err := s.mutate(dst, func() (backend.Object, error) { return s.inner.Copy(ctx, dst, src, opts) })
	if err != nil {
		s.suspect(src, err)
	}
	return obj, err
}

// Move implements backend.Store: two keys change.
func (s *Store) Move(ctx context.Context, dst, src string, opts backend.MoveOptions) (backend.Object, error) {
	return s.change(src, absent, func() (backend.Object, error) {
		return s.mutate(dst, func() (backend.Object, error) { return s.inner.Move(ctx, dst, src, opts) })
	})
}

// Delete implements backend.Store.
func (s *Store) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	_, err := s.change(key, absent, func() (backend.Object, error) {
		return backend.Object{}, s.inner.Delete(ctx, key, opts)
	})
	return err
}

// Restore implements backend.Store. What is known of the object is forgotten: it may be readable from now on.
func (s *Store) Restore(ctx context.Context, key string, opts backend.RestoreOptions) error {
	err := s.inner.Restore(ctx, key, opts)
	if !errors.Is(err, backend.ErrUnsupported) {
		s.cache.forget(id{s.space, key})
	}
	return err
}

// NewUpload implements backend.Store.
func (s *Store) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	u, err := s.inner.NewUpload(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	return &upload{Upload: u, store: s, key: key}, nil
}

// ResumeUpload implements backend.Store.
func (s *Store) ResumeUpload(ctx context.Context, key, id string, opts backend.PutOptions) (backend.Upload, error) {
	u, err := s.inner.ResumeUpload(ctx, key, id, opts)
	if err != nil {
		return nil, err
	}
	return &upload{Upload: u, store: s, key: key}, nil
}

// upload mutates when it commits; nothing of it can be seen before.
type upload struct {
	backend.Upload
	store *Store
	key   string
}

func (u *upload) CopyPart(ctx context.Context, n int, src string, off, length int64, opts backend.CopyPartOptions) error {
	err := u.Upload.CopyPart(ctx, n, src, off, length, opts)
	if err != nil {
		u.store.suspect(src, err)
	}
	return err
}

func (u *upload) Commit(ctx context.Context, parts int) (backend.Object, error) {
	return u.store.mutate(u.key, func() (backend.Object, error) { return u.Upload.Commit(ctx, parts) })
}

func (s *Store) mutate(key string, do func() (backend.Object, error)) (backend.Object, error) {
	return s.change(key, present, do)
}

// change runs a mutation after which the object at key is what do returns, or absent, and lets everybody know. A panic is
// an error whose outcome is in doubt.
func (s *Store) change(key string, becomes kind, do func() (backend.Object, error)) (obj backend.Object, err error) {
	k, c := id{s.space, key}, s.cache
	shard := c.shard(k)
	w, at, returned := shard.begin(k), c.now(), false
	defer func() {
		var e *entry
		what := change{kind: unknown}
		switch {
		case returned && err == nil:
			e, what = &entry{kind: becomes, obj: obj, at: at}, change{kind: gone, at: at}
			if becomes == present {
				what = change{kind: set, at: at, row: backend.Entry{Object: obj}}
			}
			if obj.Partial {
				e = nil
			}
		case !returned || !final(err):
			e = &entry{kind: doubt, at: c.now()}
		}
		if shard.end(k, w, e) {
			what = change{kind: unknown}
		}
		c.lists.apply(k, what)
		if c.cfg.Changed != nil {
			c.cfg.Changed(s.name, key)
		}
	}()
	obj, err = do()
	returned = true
	return obj, err
}

// final reports whether a mutation that failed with err can no longer take effect. (It may have done so before, if the
// driver tried twice.)
func final(err error) bool {
	for _, target := range []error{
		backend.ErrNotExist, backend.ErrPermission, backend.ErrUnsupported, backend.ErrChanged, backend.ErrTooLarge,
		backend.ErrArchived, backend.ErrBadKey, backend.ErrRange,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// suspect forgets key if err says that a read of it did not find what its caller expected.
func (s *Store) suspect(key string, err error) {
	if errors.Is(err, backend.ErrChanged) || errors.Is(err, backend.ErrNotExist) {
		s.cache.forget(id{s.space, key})
	}
}

// saw forgets k if the store has just shown a version of it that is not the known one.
func (c *Cache) saw(k id, obj backend.Object) {
	if e := c.shard(k).look(k); e != nil && (e.kind == absent || e.kind == present && e.obj.ETag != obj.ETag) {
		c.forget(k)
		return
	}
	c.lists.confirm(k, &entry{kind: present, obj: obj})
}
