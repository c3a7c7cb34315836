package vfs

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"sluice/backend"
)

// mortal is a store as a process sees it that dies at one of its requests. From then on nothing that it does has an effect. hit tells
// that it has come so far.
type mortal struct {
	backend.Store
	at     int                       // number of that request
	when   func(op, key string) bool // or which one it is, asked of each until it is found
	answer bool                      // the last request takes effect; its answer is lost
	late   chan struct{}             // the last request takes effect when this is closed
	held   chan struct{}             // the process does not die: that request and all that follow wait until this is closed

	mu  sync.Mutex
	n   int
	hit bool
}

// request runs one request.
func request[T any](ctx context.Context, m *mortal, op, key string, do func(context.Context) (T, error)) (T, error) {
	m.mu.Lock()
	m.n++
	n := m.n
	if m.when != nil && m.when(op, key) {
		m.at, m.when = n, nil
	}
	m.hit = m.hit || m.when == nil && n >= m.at
	hit := m.hit
	m.mu.Unlock()
	var none T
	switch {
	case hit && m.held != nil:
		<-m.held
		return do(ctx)
	case !hit:
		return do(ctx)
	case n == m.at && m.late != nil:
		<-m.late
		_, _ = do(context.WithoutCancel(ctx))
	case n == m.at && m.answer:
		_, _ = do(ctx)
	}
	return none, fmt.Errorf("%w: %w", errBroken, backend.ErrUnavailable)
}

func (m *mortal) Stat(ctx context.Context, key string) (backend.Object, error) {
	return request(ctx, m, "stat", key, func(ctx context.Context) (backend.Object, error) { return m.Store.Stat(ctx, key) })
}

func (m *mortal) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	seq, err := request(ctx, m, "list", prefix, func(ctx context.Context) (iter.Seq2[backend.Entry, error], error) {
		return m.Store.List(ctx, prefix, opts), nil
	})
	if err != nil {
		return func(yield func(backend.Entry, error) bool) { yield(backend.Entry{}, err) }
	}
	return seq
}

func (m *mortal) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	var obj backend.Object
	body, err := request(ctx, m, "open", key, func(ctx context.Context) (body io.ReadCloser, err error) {
		body, obj, err = m.Store.Open(ctx, key, opts)
		return body, err
	})
	return body, obj, err
}

func (m *mortal) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	return request(ctx, m, "put", key, func(ctx context.Context) (backend.Object, error) { return m.Store.Put(ctx, key, p, opts) })
}

func (m *mortal) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	return request(ctx, m, "copy", dst, func(ctx context.Context) (backend.Object, error) { return m.Store.Copy(ctx, dst, src, opts) })
}

func (m *mortal) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	_, err := request(ctx, m, "delete", key, func(ctx context.Context) (struct{}, error) { return struct{}{}, m.Store.Delete(ctx, key, opts) })
	return err
}
