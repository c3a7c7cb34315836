package cache

import (
	"context"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// pause is how long a request or an answer of a read takes. It does not depend on who runs first at one moment, so that
// a plan can be played again.
func (w *world) pause(key string) time.Duration {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, w.Seed, key, time.Now().UnixNano())
	return time.Duration(rand.New(rand.NewPCG(h.Sum64(), 0)).IntN(1_500_000)) * time.Microsecond
}

type byModel struct{}

// slow is the store as the cache sees it: each request and each answer takes time.
type slow struct {
	*mem.Store
	w *world
}

func (s slow) Stat(ctx context.Context, key string) (backend.Object, error) {
	if err := wait(ctx, s.w.pause(key)); err != nil {
		return backend.Object{}, err
	}
	o, err := s.Store.Stat(ctx, key)
	if late := wait(ctx, s.w.pause(key)); late != nil {
		return backend.Object{}, late
	}
	return o, err
}

// List holds each page back, request and answer.
func (s slow) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		n := 0
		for e, err := range s.Store.List(ctx, prefix, opts) {
			if n%3 == 0 { // mem made a new page for this row
				if late := wait(ctx, s.w.pause(prefix)); late != nil {
					yield(backend.Entry{}, late)
					return
				}
			}
			if n++; !yield(e, err) {
				return
			}
		}
	}
}

func (s slow) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (o backend.Object, err error) {
	return s.w.slowly(ctx, key, func(ctx context.Context) (backend.Object, error) { return s.Store.Put(ctx, key, p, opts) })
}

func (s slow) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	return s.w.slowly(ctx, dst, func(ctx context.Context) (backend.Object, error) { return s.Store.Copy(ctx, dst, src, opts) })
}

func (s slow) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	_, err := s.w.slowly(ctx, key, func(ctx context.Context) (backend.Object, error) {
		return backend.Object{}, s.Store.Delete(ctx, key, opts)
	})
	return err
}

func (s slow) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	u, err := s.Store.NewUpload(ctx, key, opts)
	return slowUpload{u, s.w, key}, err
}

type slowUpload struct {
	backend.Upload
	w   *world
	key string
}

func (u slowUpload) Commit(ctx context.Context, parts int) (backend.Object, error) {
	return u.w.slowly(ctx, u.key, func(ctx context.Context) (backend.Object, error) { return u.Upload.Commit(ctx, parts) })
}

// slowly does a mutation as the action in ctx says, and writes the history.
func (w *world) slowly(ctx context.Context, key string, do func(context.Context) (backend.Object, error)) (backend.Object, error) {
	a := ctx.Value(byModel{}).(*doing)
	if err := wait(ctx, a.To); err != nil {
		return backend.Object{}, err
	}
	land := func() (backend.Object, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		o, err := do(context.WithoutCancel(ctx))
		if err == nil {
			w.history[key] = append(w.history[key], state{time.Now(), o.ETag})
		}
		return o, err
	}
	if a.What == "late" {
		a.late.Go(func() {
			time.Sleep(a.Fro * 5)
			_, _ = land()
		})
		return backend.Object{}, errOdd
	}
	o, err := land()
	a.landed = time.Now()
	if late := wait(ctx, a.Fro); late != nil {
		return backend.Object{}, late
	}
	if a.What == "lost" {
		return backend.Object{}, errOdd
	}
	return o, err
}

// doing is an action while it is done.
type doing struct {
	action
	landed time.Time
	late   *sync.WaitGroup
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
