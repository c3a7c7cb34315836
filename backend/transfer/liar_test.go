package transfer

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
)

// liar is a store whose answers to writes tell of one byte less than it was sent.
type liar struct{ backend.Store }

func short(o backend.Object, err error) (backend.Object, error) {
	o.Size--
	return o, err
}

func (l liar) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	return short(l.Store.Put(ctx, key, p, opts))
}

func (l liar) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	return short(l.Store.Copy(ctx, dst, src, opts))
}

func (l liar) Move(ctx context.Context, dst, src string, opts backend.MoveOptions) (backend.Object, error) {
	return short(l.Store.Move(ctx, dst, src, opts))
}

func (l liar) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	u, err := l.Store.NewUpload(ctx, key, opts)
	return lyingUpload{u}, err
}

type lyingUpload struct{ backend.Upload }

func (u lyingUpload) Commit(ctx context.Context, parts int) (backend.Object, error) {
	return short(u.Upload.Commit(ctx, parts))
}

// A store that does not say that it has all the bytes does not have them, whatever the operation.
func TestWrongSize(t *testing.T) {
	caps := mem.DefaultCaps()
	caps.Move = true
	m := mem.New(mem.Config{Caps: &caps})
	s, e := liar{m}, New(Config{PartSize: 10})
	src := mustPut(t, m, "src", pattern(100))
	upload := func(n int) func() error {
		return func() error {
			_, err := e.Upload(t.Context(), s, "k", bytes.NewReader(pattern(n)), UploadOptions{})
			return err
		}
	}
	for name, do := range map[string]func() error{
		"small": upload(5), "parts": upload(50),
		"append": func() error {
			_, err := e.Append(t.Context(), s, src, 100, bytes.NewReader(pattern(5)), UploadOptions{})
			src, _ = m.Stat(t.Context(), "src")
			return err
		},
		"copy": func() error { _, err := e.Copy(t.Context(), s, "copy", src, backend.CopyOptions{}); return err },
		"join": func() error {
			_, err := e.Concat(t.Context(), s, "joined", []Source{{Object: src}, {Object: src}}, backend.PutOptions{})
			return err
		},
		"move": func() error {
			o := mustPut(t, m, "moving", pattern(100))
			_, err := e.Move(t.Context(), s, "moved", o, backend.MoveOptions{})
			return err
		},
	} {
		if err := do(); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
}
