package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"sluice/backend"
)

// errClosed is what the methods of an upload return after Commit or Abort.
var errClosed = errors.New("upload is over")

// upload is one way to a state that it may share with others: each ResumeUpload makes one more.
type upload struct {
	*state
	opts backend.PutOptions
}

type state struct {
	s   *Store
	key string
	id  string

	mu    sync.Mutex
	parts map[int][]byte
	over  bool
}

// NewUpload implements backend.Store.
func (s *Store) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	const op = "newupload"
	if err := s.check(op, key); err != nil {
		return nil, err
	}
	if err := s.begin(ctx, op, key); err != nil {
		return nil, err
	}
	u := &upload{&state{s: s, key: key, parts: map[int][]byte{}}, opts}
	s.mu.Lock()
	s.version++
	u.id = "upload-" + strconv.FormatInt(s.version, 10)
	s.uploads[u.id] = u.state
	s.mu.Unlock()
	if err := s.end(op, key); err != nil {
		return nil, err
	}
	return u, nil
}

// ResumeUpload implements backend.Store.
func (s *Store) ResumeUpload(ctx context.Context, key, id string, opts backend.PutOptions) (backend.Upload, error) {
	const op = "resumeupload"
	if err := s.check(op, key); err != nil {
		return nil, err
	}
	if err := s.begin(ctx, op, key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	found := s.uploads[id]
	s.mu.Unlock()
	if found == nil || found.key != key {
		return nil, fmt.Errorf("%s %q: %w", op, key, backend.ErrNotExist)
	}
	if err := s.end(op, key); err != nil {
		return nil, err
	}
	return &upload{found, opts}, nil
}

func (u *upload) ID() string { return u.id }

func (u *upload) Parts(ctx context.Context) ([]backend.Part, error) {
	const op = "parts"
	if err := u.s.begin(ctx, op, u.key); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return nil, fmt.Errorf("%s of %q: %w", op, u.key, backend.ErrNotExist)
	}
	var parts []backend.Part
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		parts = append(parts, backend.Part{Number: n, Size: int64(len(u.parts[n]))})
	}
	return parts, nil
}

// set makes p, which becomes the store's own, part n.
func (u *state) set(op string, n int, p []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return fmt.Errorf("%s %d of %q: %w", op, n, u.key, errClosed)
	}
	u.parts[n] = p
	return nil
}

func (u *state) number(op string, n int) error {
	switch {
	case n < 1:
		return fmt.Errorf("%s %d of %q: parts are numbered from 1", op, n, u.key)
	case n > u.s.caps.MaxParts:
		return fmt.Errorf("%s %d of %q: %w", op, n, u.key, backend.ErrTooLarge)
	}
	return nil
}

func (u *upload) WritePart(ctx context.Context, n int, p []byte) error {
	const op = "writepart"
	if err := u.number(op, n); err != nil {
		return err
	}
	if int64(len(p)) > u.s.caps.MaxPart {
		return fmt.Errorf("%s %d of %q: %d bytes: %w", op, n, u.key, len(p), backend.ErrTooLarge)
	}
	if err := u.s.begin(ctx, op, u.key); err != nil {
		return err
	}
	if err := u.set(op, n, bytes.Clone(p)); err != nil {
		return err
	}
	return u.s.end(op, u.key)
}

func (u *upload) CopyPart(ctx context.Context, n int, src string, off, length int64, opts backend.CopyPartOptions) error {
	const op = "copypart"
	if !u.s.caps.CopyPart {
		return fmt.Errorf("%s %d of %q: %w", op, n, u.key, backend.ErrUnsupported)
	}
	if err := u.number(op, n); err != nil {
		return err
	}
	if err := u.s.check(op, src); err != nil {
		return err
	}
	if length > u.s.caps.MaxCopyPart {
		return fmt.Errorf("%s %d of %q: %d bytes: %w", op, n, u.key, length, backend.ErrTooLarge)
	}
	if err := u.s.begin(ctx, op, u.key); err != nil {
		return err
	}
	o, err := u.s.content(op, src, opts.SrcETag)
	if err != nil {
		return err
	}
	if off < 0 || length < 1 || off > o.Size-length {
		return fmt.Errorf("%s %d of %q: %d bytes at %d of %d: %w", op, n, u.key, length, off, o.Size, backend.ErrRange)
	}
	if err := u.set(op, n, o.data[off:off+length]); err != nil {
		return err
	}
	return u.s.end(op, u.key)
}

func (u *upload) Commit(ctx context.Context, parts int) (backend.Object, error) {
	const op = "commit"
	if err := u.s.begin(ctx, op, u.key); err != nil {
		return backend.Object{}, err
	}
	o, err := u.commit(op, parts)
	if err == nil {
		err = u.s.end(op, u.key)
	}
	if err != nil {
		return backend.Object{}, err
	}
	return o, nil
}

func (u *upload) commit(op string, parts int) (backend.Object, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return backend.Object{}, fmt.Errorf("%s %q: %w", op, u.key, errClosed)
	}
	if parts < 1 {
		return backend.Object{}, fmt.Errorf("%s %q: no parts", op, u.key)
	}
	var data []byte
	for n := 1; n <= parts; n++ {
		p, ok := u.parts[n]
		switch {
		case !ok:
			return backend.Object{}, fmt.Errorf("%s %q: part %d is missing", op, u.key, n)
		case n < parts && int64(len(p)) < u.s.caps.MinPart:
			return backend.Object{}, fmt.Errorf("%s %q: part %d has %d bytes, fewer than %d", op, u.key, n, len(p), u.s.caps.MinPart)
		}
		data = append(data, p...)
	}
	return u.s.put(op, u.key, data, u.opts.Attributes, u.opts.If, u.end)
}

// end closes the upload. Both locks are held.
func (u *state) end() {
	u.over, u.parts = true, nil
	delete(u.s.uploads, u.id)
}

func (u *upload) Abort(ctx context.Context) error {
	const op = "abort"
	if err := u.s.begin(ctx, op, u.key); err != nil {
		return err
	}
	u.mu.Lock()
	u.s.mu.Lock()
	u.end()
	u.s.mu.Unlock()
	u.mu.Unlock()
	return u.s.end(op, u.key)
}
