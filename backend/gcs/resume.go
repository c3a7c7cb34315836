package gcs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"

	"sluice/backend"
)

// ResumeUpload returns an upload that NewUpload began, perhaps in another process, and that has neither been committed nor aborted.
// opts are those that it was begun with. ErrNotExist where the store knows no such upload of the key.
func (s *Store) ResumeUpload(ctx context.Context, key, id string, opts backend.PutOptions) (backend.Upload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if len(id) != len(rand.Text()) || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return nil, fmt.Errorf("gcs resume %s: no id of an upload: %w", key, backend.ErrNotExist)
	}
	u := &upload{store: s, key: key, id: id, opts: opts}
	r, _, err := s.open(ctx, u.recorded(), backend.OpenOptions{})
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	switch string(text) {
	case key:
	case "": // whoever aborted it has not come to the end
		if err := u.sweep(ctx); err != nil {
			return nil, err
		}
		return nil, u.over("resume")
	default:
		return nil, fmt.Errorf("gcs resume %s: the upload is of another key: %w", key, backend.ErrNotExist)
	}
	if u.parts, err = u.stored(ctx); err != nil {
		return nil, err
	}
	return u, nil
}

// over is the error of what is asked of an upload that has been committed or aborted.
func (u *upload) over(op string) error {
	return fmt.Errorf("gcs %s %s: the upload is over: %w", op, u.key, backend.ErrNotExist)
}

// stored asks for the parts that the store holds.
func (u *upload) stored(ctx context.Context) (map[int]part, error) {
	parts, alive := map[int]part{}, false
	q := &storage.Query{Prefix: u.prefix(), Projection: storage.ProjectionNoACL}
	it := u.store.bucket.Objects(ctx, q)
	for {
		a, err := it.Next()
		if errors.Is(err, errDone) {
			break
		}
		if err != nil {
			return nil, u.store.wrap(ctx, "parts", u.key, err)
		}
		alive = alive || a.Name == u.recorded() && a.Size > 0
		if n, err := strconv.Atoi(strings.TrimPrefix(a.Name, u.prefix())); err == nil {
			// A listing names no checksum of what a customer key encrypts.
			parts[n] = part{size: a.Size, sum: a.CRC32C, checked: u.store.key == nil}
		}
	}
	if !alive {
		return nil, u.over("parts of")
	}
	return parts, nil
}

// ID is all that ResumeUpload needs besides the key to find the upload again.
func (u *upload) ID() string { return u.id }

// Parts returns the parts that the store holds, in ascending order. ErrNotExist where the upload is over.
func (u *upload) Parts(ctx context.Context) ([]backend.Part, error) {
	stored, err := u.stored(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]backend.Part, 0, len(stored))
	for _, n := range slices.Sorted(maps.Keys(stored)) {
		list = append(list, backend.Part{Number: n, Size: stored[n].size})
	}
	return list, nil
}
