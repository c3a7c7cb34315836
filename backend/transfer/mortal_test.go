package transfer

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync/atomic"

	"sluice/backend"
)

var errDead = errors.New("the process was killed")

// mortal is the store of a process that is killed after some operations: from then on nothing that it does has an effect.
type mortal struct {
	backend.Store
	left *atomic.Int64
}

func newMortal(s backend.Store, left int64) mortal {
	m := mortal{s, &atomic.Int64{}}
	m.left.Store(left)
	return m
}

func (m mortal) dies() error {
	if m.left.Add(-1) < 0 {
		return errDead
	}
	return nil
}

func (m mortal) dead() bool { return m.left.Load() < 0 }

func (m mortal) Stat(ctx context.Context, key string) (backend.Object, error) {
	if err := m.dies(); err != nil {
		return backend.Object{}, err
	}
	return m.Store.Stat(ctx, key)
}

func (m mortal) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	if err := m.dies(); err != nil {
		return func(yield func(backend.Entry, error) bool) { yield(backend.Entry{}, err) }
	}
	return m.Store.List(ctx, prefix, opts)
}

func (m mortal) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	if err := m.dies(); err != nil {
		return nil, backend.Object{}, err
	}
	return m.Store.Open(ctx, key, opts)
}

func (m mortal) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	if err := m.dies(); err != nil {
		return backend.Object{}, err
	}
	return m.Store.Put(ctx, key, p, opts)
}

func (m mortal) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	if err := m.dies(); err != nil {
		return err
	}
	return m.Store.Delete(ctx, key, opts)
}

func (m mortal) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	if err := m.dies(); err != nil {
		return nil, err
	}
	u, err := m.Store.NewUpload(ctx, key, opts)
	return mortalUpload{u, m}, err
}

func (m mortal) ResumeUpload(ctx context.Context, key, id string, opts backend.PutOptions) (backend.Upload, error) {
	if err := m.dies(); err != nil {
		return nil, err
	}
	u, err := m.Store.ResumeUpload(ctx, key, id, opts)
	return mortalUpload{u, m}, err
}

type mortalUpload struct {
	backend.Upload
	m mortal
}

func (u mortalUpload) Parts(ctx context.Context) ([]backend.Part, error) {
	if err := u.m.dies(); err != nil {
		return nil, err
	}
	return u.Upload.Parts(ctx)
}

func (u mortalUpload) WritePart(ctx context.Context, n int, p []byte) error {
	if err := u.m.dies(); err != nil {
		return err
	}
	return u.Upload.WritePart(ctx, n, p)
}

func (u mortalUpload) CopyPart(ctx context.Context, n int, src string, off, length int64, opts backend.CopyPartOptions) error {
	if err := u.m.dies(); err != nil {
		return err
	}
	return u.Upload.CopyPart(ctx, n, src, off, length, opts)
}

func (u mortalUpload) Commit(ctx context.Context, parts int) (backend.Object, error) {
	if err := u.m.dies(); err != nil {
		return backend.Object{}, err
	}
	return u.Upload.Commit(ctx, parts)
}

func (u mortalUpload) Abort(ctx context.Context) error {
	if err := u.m.dies(); err != nil {
		return err
	}
	return u.Upload.Abort(ctx)
}
