package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"sluice/backend/vfs"
)

// memory is a tree of one directory, enough to see what the limits let through.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (m *memory) Stat(_ context.Context, name string) (vfs.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.files[name]
	if !ok {
		return vfs.Info{}, fmt.Errorf("stat %s: %w", name, fs.ErrNotExist)
	}
	return vfs.Info{Name: name, Size: int64(len(p))}, nil
}

func (m *memory) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, vfs.Info, error) {
	info, err := m.Stat(ctx, name)
	if err != nil {
		return nil, info, err
	}
	return io.NopCloser(bytes.NewReader(m.files[name][offset:])), info, nil
}

func (m *memory) Put(ctx context.Context, name string, offset int64, r io.Reader, _ vfs.PutOptions) (vfs.Info, error) {
	p, err := io.ReadAll(r)
	if err != nil {
		return vfs.Info{}, errors.New("the reader failed") // hides the cause, as the worst tree would
	}
	m.mu.Lock()
	if offset == vfs.AtEnd {
		offset = int64(len(m.files[name]))
	}
	m.files[name] = append(m.files[name][:offset:offset], p...)
	m.mu.Unlock()
	return m.Stat(ctx, name)
}

func (m *memory) ReadDir(context.Context, string) iter.Seq2[vfs.Info, error] {
	return func(func(vfs.Info, error) bool) {}
}
func (m *memory) Rename(context.Context, string, string) error { return errors.ErrUnsupported }
func (m *memory) Remove(context.Context, string) error         { return errors.ErrUnsupported }
func (m *memory) Mkdir(context.Context, string) error          { return errors.ErrUnsupported }
func (m *memory) Rmdir(context.Context, string) error          { return errors.ErrUnsupported }
func (m *memory) SetTimes(context.Context, string, time.Time, time.Time) error {
	return errors.ErrUnsupported
}
func (m *memory) Copy(context.Context, string, string) error     { return errors.ErrUnsupported }
func (m *memory) Concat(context.Context, string, []string) error { return errors.ErrUnsupported }
func (m *memory) Restore(context.Context, string, int) (bool, error) {
	return false, errors.ErrUnsupported
}
func (m *memory) Hash(context.Context, string, string, int64, int64) ([]byte, int64, error) {
	return nil, 0, errors.ErrUnsupported
}

func tree(l Limits) *limited {
	m := newMeter()
	m.set(l)
	return &limited{FS: &memory{files: map[string][]byte{}}, meter: m}
}

func put(t *testing.T, f *limited, name string, offset int64, n int, size int64) error {
	t.Helper()
	_, err := f.Put(t.Context(), name, offset, strings.NewReader(strings.Repeat("x", n)), vfs.PutOptions{Size: size})
	return err
}

func TestFileBytes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		have   int
		offset int64
		n      int
		size   int64
		want   error
	}{
		{"at the limit", 0, 0, 100, 0, nil},
		{"beyond", 0, 0, 101, 0, vfs.ErrQuota},
		{"announced", 0, 0, 0, 101, vfs.ErrQuota},
		{"announced at the limit", 0, 0, 100, 100, nil},
		{"append to the limit", 60, vfs.AtEnd, 40, 40, nil},
		{"append beyond", 60, vfs.AtEnd, 41, 0, vfs.ErrQuota},
		{"append announced", 60, vfs.AtEnd, 0, 41, vfs.ErrQuota},
		{"append to nothing", -1, vfs.AtEnd, 100, 0, nil},
		{"continue to the limit", 60, 60, 40, 0, nil},
		{"continue beyond", 60, 60, 41, 0, vfs.ErrQuota},
		{"offset beyond", 0, 101, 0, 0, vfs.ErrQuota},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tree(Limits{FileBytes: 100})
			files := f.FS.(*memory).files
			if tt.have >= 0 {
				files["/a"] = bytes.Repeat([]byte("y"), tt.have)
			}
			err := put(t, f, "/a", tt.offset, tt.n, tt.size)
			if !errors.Is(err, tt.want) {
				t.Errorf("Put = %v, want %v", err, tt.want)
			}
			if want := max(0, tt.have); err != nil && len(files["/a"]) != want {
				t.Errorf("a refused Put left %d bytes, want %d", len(files["/a"]), want)
			}
		})
	}
}

// What is refused without the bytes is refused before they are asked for.
func TestRefusedBeforeRead(t *testing.T) {
	unread := iotest.ErrReader(errors.New("read"))
	f := tree(Limits{FileBytes: 10, DailyBytes: 20, Transfers: 1})
	check := func(want error, offset int64, opts vfs.PutOptions) {
		t.Helper()
		if _, err := f.Put(t.Context(), "/a", offset, unread, opts); !errors.Is(err, want) {
			t.Errorf("Put = %v, want %v", err, want)
		}
	}
	check(vfs.ErrQuota, 0, vfs.PutOptions{Size: 11})
	check(vfs.ErrQuota, 11, vfs.PutOptions{})
	for range 2 {
		if err := put(t, f, "/a", 0, 10, 0); err != nil {
			t.Fatal(err)
		}
	}
	check(vfs.ErrQuota, 0, vfs.PutOptions{})
	f = tree(Limits{Transfers: 1})
	f.FS.(*memory).files["/a"] = nil
	body, _, err := f.Open(t.Context(), "/a", 0)
	if err != nil {
		t.Fatal(err)
	}
	check(vfs.ErrBusy, 0, vfs.PutOptions{})
	if _, _, err := f.Open(t.Context(), "/a", 0); !errors.Is(err, vfs.ErrBusy) {
		t.Errorf("Open = %v, want ErrBusy", err)
	}
	body.Close()
	body.Close()
	if err := put(t, f, "/a", 0, 1, 0); err != nil {
		t.Errorf("after Close: %v", err)
	}
	if _, _, err := f.Open(t.Context(), "/missing", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open = %v, want ErrNotExist", err)
	}
	if n := f.meter.transfers; n != 0 {
		t.Errorf("%d transfers are counted when none runs", n)
	}
}

func TestDailyBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight UTC
		f := tree(Limits{DailyBytes: 100})
		if err := put(t, f, "/a", 0, 60, 0); err != nil {
			t.Fatal(err)
		}
		read := func() (int, error) {
			body, _, err := f.Open(t.Context(), "/a", 0)
			if err != nil {
				return 0, err
			}
			defer body.Close()
			p, err := io.ReadAll(body)
			return len(p), err
		}
		if _, err := read(); !errors.Is(err, vfs.ErrQuota) {
			t.Errorf("120 bytes on one day: %v, want ErrQuota", err)
		}
		if err := put(t, f, "/b", 0, 1, 0); !errors.Is(err, vfs.ErrQuota) {
			t.Errorf("Put = %v, want ErrQuota", err)
		}
		time.Sleep(24*time.Hour - time.Second)
		if _, err := read(); !errors.Is(err, vfs.ErrQuota) {
			t.Errorf("a second before midnight: %v, want ErrQuota", err)
		}
		time.Sleep(time.Second)
		if n, err := read(); n != 60 || err != nil {
			t.Errorf("the next day: %d, %v", n, err)
		}
	})
}

// Two transfers share the rate; a change of the limits reaches the one that runs.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mib = 1 << 20
		f := tree(Limits{BytesPerSecond: mib})
		begin := time.Now()
		done := make(chan error, 2)
		for _, name := range []string{"/a", "/b"} {
			go func() { done <- put(t, f, name, 0, 5*mib, 0) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begin); d < 9500*time.Millisecond || d > 10*time.Second {
			t.Errorf("10 MiB at 1 MiB/s took %v", d)
		}

		begin = time.Now()
		go func() { done <- put(t, f, "/a", 0, 10*mib, 0) }()
		time.Sleep(5 * time.Second)
		f.meter.set(Limits{BytesPerSecond: 5 * mib})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d < 5900*time.Millisecond || d > 6200*time.Millisecond {
			t.Errorf("5 s at 1 MiB/s and the rest of 10 MiB at 5 MiB/s took %v", d)
		}
		f.meter.set(Limits{})
		begin = time.Now()
		if err := put(t, f, "/a", 0, 10*mib, 0); err != nil || time.Since(begin) > 0 {
			t.Errorf("without a limit: %v after %v", err, time.Since(begin))
		}
	})
}

// The end of a transfer that waits is the cause of its context, not a quota.
func TestRateCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := tree(Limits{BytesPerSecond: 1024})
		f.FS.(*memory).files["/a"] = make([]byte, 1<<20)
		cause := errors.New("aborted")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		body, _, err := f.Open(ctx, "/a", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if _, err := io.Copy(io.Discard, body); !errors.Is(err, cause) {
			t.Errorf("Copy = %v, want %v", err, cause)
		}
	})
}
