package vfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"

	"sluice/backend"
	"sluice/backend/transfer"
)

// digested is a version that tells of the content, as S3 has them: equal ones are of equal bytes.
var digested = regexp.MustCompile(`^"?[0-9a-f]{32}(-[0-9]+)?"?$`)

// same reports whether two objects of the store, as listed, have the same content: by their versions where these are digests, by the
// checksums that the store keeps, or else by their bytes. What has become another version, is gone or cannot be read is not the same.
func (m *move) same(ctx context.Context, a, b backend.Object) (bool, error) {
	switch {
	case a.Size != b.Size:
		return false, nil
	case a.Size == 0, a.ETag == b.ETag && digested.MatchString(a.ETag):
		return true, nil
	}
	var sums [2]map[string][]byte
	for i, o := range []backend.Object{a, b} {
		now, err := m.store.Stat(backend.WithChecksums(ctx), o.Key)
		if taken(err) || err == nil && now.ETag != o.ETag {
			return false, nil
		} else if err != nil {
			return false, err
		}
		sums[i] = now.Checksums
	}
	known := false
	for name, sum := range sums[0] {
		if other, ok := sums[1][name]; ok {
			if known = true; !bytes.Equal(sum, other) {
				return false, nil
			}
		}
	}
	if known {
		return true, nil
	}
	equal, err := m.compare(ctx, a, b)
	if taken(err) || errors.Is(err, backend.ErrArchived) {
		return false, nil
	}
	return equal, err
}

// compare reads two objects of the same size.
func (m *move) compare(ctx context.Context, a, b backend.Object) (bool, error) {
	var bodies [2]io.Reader
	for i, o := range []backend.Object{a, b} {
		body, _, err := m.engine.Open(ctx, m.store, o.Key, transfer.OpenOptions{ETag: o.ETag})
		if err != nil {
			return false, err
		}
		defer body.Close()
		bodies[i] = body
	}
	var p, q [32 << 10]byte
	for {
		n, err := io.ReadFull(bodies[0], p[:])
		k, other := io.ReadFull(bodies[1], q[:])
		for _, err := range []error{err, other} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if !bytes.Equal(p[:n], q[:k]) {
			return false, nil
		}
		if n < len(p) {
			return true, nil
		}
	}
}
