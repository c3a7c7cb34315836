package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/backend"
)

// Stat implements backend.Store. Callers who ask for the same key at once share one request; the end of one caller's
// context fails no other.
func (s *Store) Stat(ctx context.Context, key string) (backend.Object, error) {
	if err := ctx.Err(); err != nil {
		return backend.Object{}, fmt.Errorf("stat %s: %w", key, err)
	}
	if backend.ChecksumsWanted(ctx) {
		return s.statStore(ctx, key)
	}
	k, c := id{s.space, key}, s.cache
	shard := c.shard(k)
	e := shard.look(k)
	if e == nil {
		// In doubt, not even a listing is believed.
		switch obj, known := c.lists.find(k); {
		case known == absent && backend.CheckKey(key, s.Caps().MaxKey) == nil:
			return s.missing(key)
		case known == present && (!obj.Partial || backend.PartialAllowed(ctx)):
			c.stats.hits.Add(1)
			return obj, nil
		}
	}
	for {
		if e != nil && e.kind != doubt {
			if e.kind == absent {
				return s.missing(key)
			}
			c.stats.hits.Add(1)
			return e.obj, nil
		}
		var f *fill
		var lead bool
		if e, f, lead = shard.join(k); e != nil {
			continue
		}
		if lead {
			c.stats.misses.Add(1)
			s.fill(ctx, shard, k, f)
			return f.obj, f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return backend.Object{}, fmt.Errorf("stat %s: %w", key, ctx.Err())
		}
		if !f.void {
			c.stats.shared.Add(1)
			return f.obj, f.err
		}
	}
}

// statStore asks the store, for what is not kept here, and forgets what the store's answer proves wrong.
func (s *Store) statStore(ctx context.Context, key string) (backend.Object, error) {
	obj, err := s.inner.Stat(ctx, key)
	if err != nil {
		s.suspect(key, err)
		return obj, err
	}
	known := obj
	known.Checksums = nil
	s.cache.saw(id{s.space, key}, known)
	return obj, nil
}

func (s *Store) missing(key string) (backend.Object, error) {
	s.cache.stats.negativeHits.Add(1)
	return backend.Object{}, fmt.Errorf("stat %s: %w", key, backend.ErrNotExist)
}

// fill asks the store and settles f.
func (s *Store) fill(ctx context.Context, shard *shard, k id, f *fill) {
	var e *entry
	f.void = true // until the store has answered: it might panic
	defer func() {
		if shard.settle(k, f, e) {
			s.cache.lists.confirm(k, e)
		}
	}()
	at := s.cache.now()
	f.obj, f.err = s.inner.Stat(ctx, k.name)
	f.void = f.err != nil && ctx.Err() != nil
	e = outcome(f.obj, f.err, at)
}

// outcome is the entry that an answer of the store is worth, or nil.
func outcome(obj backend.Object, err error, at time.Duration) *entry {
	switch {
	case err == nil && !obj.Partial:
		return &entry{kind: present, obj: obj, at: at}
	case errors.Is(err, backend.ErrNotExist):
		return &entry{kind: absent, at: at}
	}
	return nil
}
