package transfer

import (
	"context"
	"errors"
	"math"
	"slices"

	"sluice/backend"
)

// restore finds the streams of a record again and takes what the store has of them for the beginning of the file: the parts from
// the first one on, without a gap, and no others. It changes nothing. It returns the tail if that still follows them. ErrGone
// where the upload is over.
func (u *upload) restore(ctx context.Context, rec record) (*tailRecord, error) {
	tail := rec.Tail
	if tail != nil {
		obj, err := u.store.Stat(ctx, tail.Key)
		switch {
		case errors.Is(err, backend.ErrNotExist):
			tail = nil
		case err != nil:
			return nil, err
		case obj.Size != tail.Size:
			tail = nil
		}
	}
	whole := true
	for i, s := range rec.Streams {
		if !whole {
			u.left = append(u.left, s)
			continue
		}
		most := math.MaxInt
		switch {
		case s.Key == rec.Key && i > 0: // it was begun to join the segments, and has nothing but copies of them
			most = 0
		case i < len(rec.Streams)-1: // what is behind are such copies too
			most = s.Given
		}
		stream, err := u.reopen(ctx, rec, s, most, tail)
		if err != nil {
			return nil, err
		}
		if stream == nil {
			whole = s.Given == 0
			continue
		}
		if s.Key == rec.Key {
			u.main = stream
		} else {
			u.segments = append(u.segments, stream)
		}
		u.streams = append(u.streams, stream)
		u.parts += len(stream.sizes)
		u.total += stream.size
		whole = stream.object != nil || len(stream.sizes) >= s.Given
	}
	if tail != nil && tail.At != u.total {
		tail = nil
	}
	if tail == nil && u.total == 0 {
		return nil, ErrGone
	}
	return tail, nil
}

// reopen finds a stream again, of which most parts at most are of the file. It is nil where the store does not know it and nothing is
// lost by that.
func (u *upload) reopen(ctx context.Context, rec record, s streamRecord, most int, tail *tailRecord) (*stream, error) {
	var opts backend.PutOptions
	if s.Key == rec.Key {
		opts = backend.PutOptions{Attributes: rec.Attributes, If: rec.If}
	}
	var up backend.Upload
	var parts []backend.Part
	err := backend.ErrNotExist
	if s.ETag == "" {
		if up, err = u.store.ResumeUpload(ctx, s.Key, s.ID, opts); err == nil {
			parts, err = up.Parts(ctx)
		}
	}
	switch {
	case errors.Is(err, backend.ErrNotExist) && s.Key != rec.Key:
		return u.sealed(ctx, s)
	case errors.Is(err, backend.ErrNotExist) && len(s.Parts) == 0:
		return nil, nil // an upload without parts may be unknown
	case errors.Is(err, backend.ErrNotExist):
		return nil, ErrGone
	case err != nil:
		return nil, err
	}
	found := &stream{key: s.Key, up: up}
	recorded := expand(s.Parts)
	for _, p := range parts {
		i := len(found.sizes)
		if i == most || p.Number != i+1 || slices.Contains(s.Stale, p.Number) || p.Size < u.caps.MinPart || i < len(recorded) && recorded[i] != p.Size ||
			tail != nil && u.total+found.size+p.Size > tail.At {
			break
		}
		found.sizes, found.written = append(found.sizes, p.Size), append(found.written, true)
		found.size += p.Size
	}
	found.parts = len(found.sizes)
	for _, p := range parts {
		if p.Number > found.parts {
			found.stale = append(found.stale, p.Number)
		}
	}
	return found, nil
}

// sealed finds a segment that is complete. The record may not know that yet.
func (u *upload) sealed(ctx context.Context, s streamRecord) (*stream, error) {
	obj, err := u.store.Stat(ctx, s.Key)
	switch {
	case errors.Is(err, backend.ErrNotExist) && s.ETag == "" && len(s.Parts) == 0:
		return nil, nil
	case errors.Is(err, backend.ErrNotExist), err == nil && s.ETag != "" && obj.ETag != s.ETag:
		return nil, ErrGone
	case err != nil:
		return nil, err
	}
	return &stream{
		key: s.Key, up: over{id: s.ID}, parts: 1, size: obj.Size, object: &obj, sizes: []int64{obj.Size}, written: []bool{true},
	}, nil
}

// over is the upload of a segment that is complete.
type over struct {
	backend.Upload
	id string
}

// ID implements backend.Upload.
func (o over) ID() string { return o.id }

// Abort implements backend.Upload.
func (o over) Abort(context.Context) error { return nil }
