package transfer

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// late is a store in which the last part of an upload, on its way when its process died, has not come yet.
type late struct {
	backend.Store
	come *atomic.Bool
}

func (l late) ResumeUpload(ctx context.Context, key, id string, opts backend.PutOptions) (backend.Upload, error) {
	u, err := l.Store.ResumeUpload(ctx, key, id, opts)
	return lateUpload{u, l.come}, err
}

type lateUpload struct {
	backend.Upload
	come *atomic.Bool
}

func (u lateUpload) Parts(ctx context.Context) ([]backend.Part, error) {
	parts, err := u.Upload.Parts(ctx)
	if !u.come.Load() && len(parts) > 0 {
		parts = parts[:len(parts)-1]
	}
	return parts, err
}

// TestLatePart: a part that comes between the size that a client is told and its APPE moves nothing: the client sends what is behind that size.
func TestLatePart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *mem.Store
		data := pattern(150)
		for n := int64(4); ; n++ { // until the process lives for two parts
			s = mem.New(mem.Config{})
			_, err := small().Upload(t.Context(), newMortal(s, n), "k", &endReader{p: data[:100], err: io.ErrUnexpectedEOF, step: 20, every: 6 * time.Second}, anns())
			if err == nil || n > 100 {
				t.Fatal(n, err)
			}
			time.Sleep(time.Minute)
			p, err := small().Partial(t.Context(), s, "ann", "k")
			if err != nil {
				t.Fatal(err)
			}
			if p != nil && p.Size >= 40 && p.Size < 100 {
				break
			}
		}
		e, l := small(), late{s, &atomic.Bool{}}
		told, err := e.Partial(t.Context(), l, "ann", "k")
		if err != nil || told == nil {
			t.Fatal(told, err)
		}
		l.come.Store(true)
		if there, err := small().Partial(t.Context(), l, "ann", "k"); err != nil || there == nil || there.Size <= told.Size {
			t.Fatalf("no part came late: %+v behind %+v, %v", there, told, err)
		}
		p, err := e.Partial(t.Context(), l, "ann", "k")
		if err != nil || p == nil || p.Size != told.Size {
			t.Fatalf("%+v, told was %+v, %v", p, told, err)
		}
		if _, err := e.Resume(t.Context(), l, *p, AtEnd, bytes.NewReader(data[told.Size:]), anns()); err != nil {
			t.Fatal(err)
		}
		if got := content(t, s, "k"); !bytes.Equal(got, data) {
			t.Errorf("%d bytes, want %d, or others", len(got), len(data))
		}
	})
}
