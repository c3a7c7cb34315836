package transfer

import (
	"context"
	"fmt"
	"io"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
)

// sink is a store that takes parts and forgets them, so that the engine alone is measured.
type sink struct{ backend.Store }

func (s sink) Put(_ context.Context, key string, p []byte, _ backend.PutOptions) (backend.Object, error) {
	return backend.Object{Key: key, Size: int64(len(p)), ETag: "1"}, nil
}

func (s sink) NewUpload(context.Context, string, backend.PutOptions) (backend.Upload, error) {
	return &sinkUpload{sizes: make(chan int64, 10000)}, nil
}

type sinkUpload struct{ sizes chan int64 }

func (u *sinkUpload) WritePart(_ context.Context, _ int, p []byte) error {
	u.sizes <- int64(len(p))
	return nil
}

func (u *sinkUpload) CopyPart(context.Context, int, string, int64, int64, backend.CopyPartOptions) error {
	return backend.ErrUnsupported
}

func (u *sinkUpload) Commit(context.Context, int) (backend.Object, error) {
	close(u.sizes)
	var o backend.Object
	for n := range u.sizes {
		o.Size += n
	}
	return o, nil
}

func (u *sinkUpload) ID() string { return "sink" }

func (u *sinkUpload) Parts(context.Context) ([]backend.Part, error) {
	return nil, backend.ErrUnsupported
}

func (u *sinkUpload) Abort(context.Context) error { return nil }

// zeros delivers n bytes in pieces of 16 KiB, as a TLS connection does.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(int64(len(p)), 16<<10, z.n)
	z.n -= n
	if n == 0 {
		return 0, io.EOF
	}
	return int(n), nil
}

func BenchmarkUpload(b *testing.B) {
	for _, size := range []int64{1 << 10, 1 << 20, 256 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			e := New(Config{})
			s := sink{mem.New(mem.Config{})}
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Upload(b.Context(), s, "k", &zeros{size}, UploadOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDownload(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20, 256 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			e := New(Config{})
			s := mem.New(mem.Config{})
			mustPut(b, s, "k", make([]byte, size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				r, _, err := e.Open(b.Context(), s, "k", OpenOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != int64(size) {
					b.Fatal(n, err)
				}
				r.Close()
			}
		})
	}
}
