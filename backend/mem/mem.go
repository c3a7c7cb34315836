// Package mem is a complete backend.Store in memory, for tests: conditional, paged, with limits as small as a test wants
// them and with faults on demand. It keeps nothing and no program serves it. The tests of transfer, vfs, cache and the
// server use it as the store that they can see into.
package mem

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // what stores tell of their objects
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"sluice/backend"
)

// Config says how the store behaves. The zero value is a store without faults.
//
// The operations that the hooks hear of are stat, list (one call per page, the key being the prefix), open, put, newupload,
// resumeupload, parts, writepart, copypart, commit, abort, copy and move (the key being the destination) and delete. Hooks run without any lock held, so
// they may block or use the store, and several may run at once.
type Config struct {
	Caps *backend.Caps // nil: DefaultCaps
	Page int           // entries of one page of a listing; 0: 1000
	Cold string        // storage class whose objects must be restored before they can be read; empty: there is none

	// Fault runs before an operation, which fails with its error and without effect.
	Fault func(op, key string) error
	// Lost runs after an operation that succeeded. Its error is what the caller gets instead of the answer, although the
	// operation took effect. An object that open found is closed again.
	Lost func(op, key string) error
	// Delay is how long an operation waits before it begins, or until its context ends.
	Delay func(op, key string) time.Duration
	// Cut lets the body of an object break with err after n bytes of what was asked for. A nil err lets it be.
	Cut func(key string) (n int64, err error)
}

// DefaultCaps are those of a Store whose Config names none: no smallest part, every operation, 10,000 parts.
func DefaultCaps() backend.Caps {
	return backend.Caps{
		Name: "mem", MaxKey: 1024, MaxObject: 1 << 40, MaxPut: 1 << 30,
		MinPart: 1, MaxPart: 1 << 30, MaxParts: 10000, PartConcurrency: 8,
		CopyPart: true, MaxCopyPart: 1 << 30, MaxCopy: 1 << 30, Conditional: true, ListMetadata: true,
	}
}

// Store is a bucket in memory. It implements backend.Store.
type Store struct {
	cfg  Config
	caps backend.Caps

	mu      sync.Mutex
	objects map[string]object
	keys    []string // of objects, sorted
	uploads map[string]*state
	counts  map[string]int
	version int64
}

// object is one version; nothing in it changes once it is in the map.
type object struct {
	backend.Object
	data []byte
}

// New returns an empty store.
func New(cfg Config) *Store {
	s := &Store{cfg: cfg, caps: DefaultCaps(), objects: map[string]object{}, uploads: map[string]*state{}, counts: map[string]int{}}
	if cfg.Caps != nil {
		s.caps = *cfg.Caps
	}
	if s.cfg.Page <= 0 {
		s.cfg.Page = 1000
	}
	return s
}

// Count tells how often an operation was called, those that failed by Fault included.
func (s *Store) Count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[op]
}

// Uploads returns the keys of the uploads that were neither committed nor aborted, sorted.
func (s *Store) Uploads() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for _, u := range s.uploads {
		keys = append(keys, u.key)
	}
	slices.Sort(keys)
	return keys
}

// Keys returns the keys of all objects, sorted. No hook hears of it.
func (s *Store) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys)
}

// Caps implements backend.Store.
func (s *Store) Caps() backend.Caps { return s.caps }

// begin counts an operation, waits for Delay and asks Fault.
func (s *Store) begin(ctx context.Context, op, key string) error {
	s.mu.Lock()
	s.counts[op]++
	s.mu.Unlock()
	if s.cfg.Delay != nil {
		if d := s.cfg.Delay(op, key); d > 0 {
			t := time.NewTimer(d)
			defer t.Stop()
			select {
			case <-t.C:
			case <-ctx.Done():
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %q: %w", op, key, err)
	}
	if s.cfg.Fault != nil {
		if err := s.cfg.Fault(op, key); err != nil {
			return fmt.Errorf("%s %q: %w", op, key, err)
		}
	}
	return nil
}

// end asks Lost.
func (s *Store) end(op, key string) error {
	if s.cfg.Lost != nil {
		if err := s.cfg.Lost(op, key); err != nil {
			return fmt.Errorf("%s %q: %w", op, key, err)
		}
	}
	return nil
}

func (s *Store) check(op string, keys ...string) error {
	for _, key := range keys {
		if err := backend.CheckKey(key, s.caps.MaxKey); err != nil {
			return fmt.Errorf("%s %q: %w", op, key, err)
		}
	}
	return nil
}

// get returns the object at key if it is the version etag, where one is given.
func (s *Store) get(op, key, etag string) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	switch {
	case !ok:
		return object{}, fmt.Errorf("%s %q: %w", op, key, backend.ErrNotExist)
	case etag != "" && o.ETag != etag:
		return object{}, fmt.Errorf("%s %q: %w", op, key, backend.ErrChanged)
	}
	return o, nil
}

// put makes data, which becomes the store's own, the object at key. after runs with the lock held if the condition holds.
func (s *Store) put(op, key string, data []byte, a backend.Attributes, c backend.Condition, after func()) (backend.Object, error) {
	if int64(len(data)) > s.caps.MaxObject {
		return backend.Object{}, fmt.Errorf("%s %q: %w", op, key, backend.ErrTooLarge)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.objects[key]
	if s.caps.Conditional && (c.Absent && ok || c.ETag != "" && old.ETag != c.ETag) {
		return backend.Object{}, fmt.Errorf("%s %q: %w", op, key, backend.ErrChanged)
	}
	s.version++
	if a.ContentType == "" {
		a.ContentType = "application/octet-stream"
	}
	o := object{data: data, Object: backend.Object{
		Key: key, Size: int64(len(data)), Updated: time.Now().UTC(), ModTime: a.ModTime, ETag: strconv.FormatInt(s.version, 10),
		ContentType: a.ContentType, StorageClass: a.StorageClass, Archived: a.StorageClass != "" && a.StorageClass == s.cfg.Cold, Metadata: maps.Clone(a.Metadata),
	}}
	s.add(o)
	if after != nil {
		after()
	}
	return o.Object, nil
}

// Restore implements backend.Store. What is restored can be read at once, and stays so.
func (s *Store) Restore(ctx context.Context, key string, _ backend.RestoreOptions) error {
	const op = "restore"
	if err := s.check(op, key); err != nil {
		return err
	}
	if err := s.begin(ctx, op, key); err != nil {
		return err
	}
	if s.cfg.Cold == "" {
		return fmt.Errorf("%s %q: %w", op, key, backend.ErrUnsupported)
	}
	s.mu.Lock()
	o, ok := s.objects[key]
	if ok {
		o.Archived = false
		s.objects[key] = o
	}
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("%s %q: %w", op, key, backend.ErrNotExist)
	}
	return s.end(op, key)
}

// content returns the object at key to be read.
func (s *Store) content(op, key, etag string) (object, error) {
	o, err := s.get(op, key, etag)
	if err == nil && o.Archived {
		return object{}, fmt.Errorf("%s %q: %w", op, key, backend.ErrArchived)
	}
	return o, err
}

// Stat implements backend.Store.
func (s *Store) Stat(ctx context.Context, key string) (backend.Object, error) {
	const op = "stat"
	if err := s.check(op, key); err != nil {
		return backend.Object{}, err
	}
	if err := s.begin(ctx, op, key); err != nil {
		return backend.Object{}, err
	}
	o, err := s.get(op, key, "")
	if err == nil {
		err = s.end(op, key)
	}
	if err != nil {
		return backend.Object{}, err
	}
	if backend.ChecksumsWanted(ctx) {
		sum := md5.Sum(o.data)
		o.Checksums = map[string][]byte{"MD5": sum[:]}
	}
	return o.Object, nil
}

// Open implements backend.Store.
func (s *Store) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	const op = "open"
	if err := s.check(op, key); err != nil {
		return nil, backend.Object{}, err
	}
	if err := s.begin(ctx, op, key); err != nil {
		return nil, backend.Object{}, err
	}
	o, err := s.content(op, key, opts.ETag)
	if err == nil && (opts.Offset < 0 || opts.Offset > o.Size) {
		err = fmt.Errorf("%s %q at %d of %d: %w", op, key, opts.Offset, o.Size, backend.ErrRange)
	}
	if err == nil {
		err = s.end(op, key)
	}
	if err != nil {
		return nil, backend.Object{}, err
	}
	data := o.data[opts.Offset:]
	if opts.Length > 0 && opts.Length < int64(len(data)) {
		data = data[:opts.Length]
	}
	b := &body{ctx: ctx, end: io.EOF}
	if s.cfg.Cut != nil {
		if n, err := s.cfg.Cut(key); err != nil {
			data = data[:min(n, int64(len(data)))]
			b.end = fmt.Errorf("read %q: %w", key, err)
		}
	}
	b.r.Reset(data)
	return b, o.Object, nil
}

// body reads an object; end is what comes after its last byte.
type body struct {
	ctx context.Context
	r   bytes.Reader
	end error
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = b.end
	}
	return n, err
}

func (b *body) Close() error { return nil }

// Put implements backend.Store.
func (s *Store) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	const op = "put"
	if err := s.check(op, key); err != nil {
		return backend.Object{}, err
	}
	if int64(len(p)) > s.caps.MaxPut {
		return backend.Object{}, fmt.Errorf("%s %q: %w", op, key, backend.ErrTooLarge)
	}
	if err := s.begin(ctx, op, key); err != nil {
		return backend.Object{}, err
	}
	o, err := s.put(op, key, bytes.Clone(p), opts.Attributes, opts.If, nil)
	if err == nil {
		err = s.end(op, key)
	}
	if err != nil {
		return backend.Object{}, err
	}
	return o, nil
}

// Copy implements backend.Store.
func (s *Store) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	const op = "copy"
	if err := s.check(op, dst, src); err != nil {
		return backend.Object{}, err
	}
	if err := s.begin(ctx, op, dst); err != nil {
		return backend.Object{}, err
	}
	from, err := s.content(op, src, opts.SrcETag)
	if err != nil {
		return backend.Object{}, err
	}
	if from.Size > s.caps.MaxCopy {
		return backend.Object{}, fmt.Errorf("%s %q: %w", op, src, backend.ErrTooLarge)
	}
	a := from.Attributes()
	a.StorageClass = cmp.Or(opts.StorageClass, a.StorageClass)
	if opts.Replace != nil {
		a = *opts.Replace
	}
	o, err := s.put(op, dst, from.data, a, opts.If, nil)
	if err == nil {
		err = s.end(op, dst)
	}
	if err != nil {
		return backend.Object{}, err
	}
	return o, nil
}

// Move implements backend.Store.
func (s *Store) Move(ctx context.Context, dst, src string, opts backend.MoveOptions) (backend.Object, error) {
	const op = "move"
	if err := s.check(op, dst, src); err != nil {
		return backend.Object{}, err
	}
	if err := s.begin(ctx, op, dst); err != nil {
		return backend.Object{}, err
	}
	if !s.caps.Move {
		return backend.Object{}, fmt.Errorf("%s %q: %w", op, src, backend.ErrUnsupported)
	}
	o, err := s.move(dst, src, opts)
	if err != nil {
		return backend.Object{}, fmt.Errorf("%s %q to %q: %w", op, src, dst, err)
	}
	if err := s.end(op, dst); err != nil {
		return backend.Object{}, err
	}
	return o, nil
}

func (s *Store) move(dst, src string, opts backend.MoveOptions) (backend.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[src]
	old, taken := s.objects[dst]
	switch {
	case !ok && opts.SrcETag == "":
		return backend.Object{}, backend.ErrNotExist
	case !ok, opts.SrcETag != "" && o.ETag != opts.SrcETag, opts.If.Absent && taken, opts.If.ETag != "" && old.ETag != opts.If.ETag:
		return backend.Object{}, backend.ErrChanged
	}
	s.drop(src)
	s.version++
	o.Key, o.ETag, o.Updated = dst, strconv.FormatInt(s.version, 10), time.Now().UTC()
	s.add(o)
	return o.Object, nil
}

// add makes o the object at its key. It needs the lock, and so does drop.
func (s *Store) add(o object) {
	if _, ok := s.objects[o.Key]; !ok {
		i, _ := slices.BinarySearch(s.keys, o.Key)
		s.keys = slices.Insert(s.keys, i, o.Key)
	}
	s.objects[o.Key] = o
}

func (s *Store) drop(key string) {
	if _, ok := s.objects[key]; !ok {
		return
	}
	delete(s.objects, key)
	i, _ := slices.BinarySearch(s.keys, key)
	s.keys = slices.Delete(s.keys, i, i+1)
}

// Delete implements backend.Store.
func (s *Store) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	const op = "delete"
	if err := s.check(op, key); err != nil {
		return err
	}
	if err := s.begin(ctx, op, key); err != nil {
		return err
	}
	s.mu.Lock()
	if s.caps.Conditional && opts.ETag != "" && s.objects[key].ETag != opts.ETag {
		s.mu.Unlock()
		return fmt.Errorf("%s %q: %w", op, key, backend.ErrChanged)
	}
	s.drop(key)
	s.mu.Unlock()
	return s.end(op, key)
}
