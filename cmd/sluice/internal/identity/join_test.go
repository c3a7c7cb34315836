package identity

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend/mem"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
)

// realTree returns a tree over a store in memory within limits, with files of 40 bytes.
func realTree(t *testing.T, l Limits, names ...string) *limited {
	t.Helper()
	fs, err := vfs.New(vfs.Config{
		Engine: transfer.New(transfer.Config{}),
		Mounts: []vfs.Mount{{Path: "/", Store: mem.New(mem.Config{}), Rights: vfs.Full}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := newMeter()
	f := &limited{FS: fs, meter: m}
	for _, name := range names {
		if err := put(t, f, name, 0, 40, 0); err != nil {
			t.Fatal(err)
		}
	}
	m.bytes = 0
	m.set(l)
	return f
}

// No file becomes larger by joining or copying than by uploading.
func TestFileBytesOfJoined(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit int64
		do    func(f *limited) error
		want  error
	}{
		{"copy at the limit", 40, func(f *limited) error { return f.Copy(t.Context(), "/a", "/new") }, nil},
		{"copy beyond", 39, func(f *limited) error { return f.Copy(t.Context(), "/a", "/new") }, vfs.ErrQuota},
		{"copy onto another", 40, func(f *limited) error { return f.Copy(t.Context(), "/a", "/b") }, nil},
		{"copy of nothing", 40, func(f *limited) error { return f.Copy(t.Context(), "/none", "/b") }, vfs.ErrNotExist},
		{"join at the limit", 80, func(f *limited) error { return f.Concat(t.Context(), "/new", []string{"/a", "/b"}) }, nil},
		{"join beyond", 79, func(f *limited) error { return f.Concat(t.Context(), "/new", []string{"/a", "/b"}) }, vfs.ErrQuota},
		{"add at the limit", 80, func(f *limited) error { return f.Concat(t.Context(), "/a", []string{"/b"}) }, nil},
		{"add beyond", 79, func(f *limited) error { return f.Concat(t.Context(), "/a", []string{"/b"}) }, vfs.ErrQuota},
		{"add to the named at the limit", 80, func(f *limited) error { return f.Concat(t.Context(), "/a", []string{"/a", "/b"}) }, nil},
		{"add to the named beyond", 79, func(f *limited) error { return f.Concat(t.Context(), "/a", []string{"/a", "/b"}) }, vfs.ErrQuota},
		{"no limit", 0, func(f *limited) error { return f.Concat(t.Context(), "/a", []string{"/b"}) }, nil},
	} {
		f := realTree(t, Limits{FileBytes: tt.limit}, "/a", "/b")
		if err := tt.do(f); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		for _, name := range []string{"/a", "/b"} {
			if info, err := f.Stat(t.Context(), name); tt.want != nil && (err != nil || info.Size != 40) {
				t.Errorf("%s: %+v, %v", tt.name, info, err)
			}
		}
		if n := f.meter.transfers; n != 0 {
			t.Errorf("%s: %d transfers are counted when none runs", tt.name, n)
		}
	}
}

// Copies, joins and digests take their turn with the transfers.
func TestTransfersOfJoined(t *testing.T) {
	f := realTree(t, Limits{Transfers: 1}, "/a", "/b")
	do := map[string]func() error{
		"copy": func() error { return f.Copy(t.Context(), "/a", "/c") },
		"hash": func() error { _, _, err := f.Hash(t.Context(), "/a", "SHA-256", 0, -1); return err },
		"join": func() error { return f.Concat(t.Context(), "/d", []string{"/c"}) },
	}
	body, _, err := f.Open(t.Context(), "/a", 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range do {
		if err := run(); !errors.Is(err, vfs.ErrBusy) {
			t.Errorf("%s: %v, want ErrBusy", name, err)
		}
	}
	body.Close()
	for _, name := range []string{"copy", "hash", "join"} {
		if err := do[name](); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a digest reads counts as a download does; one that the store keeps costs nothing.
func TestBytesOfHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := realTree(t, Limits{DailyBytes: 100, BytesPerSecond: 10}, "/a")
		digest := func(algorithm string) error {
			_, _, err := f.Hash(t.Context(), "/a", algorithm, 0, -1)
			return err
		}
		f.meter.limiter.AllowN(time.Now(), f.meter.limiter.Burst()) // what may go at once is gone
		for _, step := range []struct {
			algorithm string
			bytes     int64
			want      error
		}{{"MD5", 0, nil}, {"SHA-1", 40, nil}, {"SHA-1", 80, nil}, {"MD5", 80, nil}, {"SHA-1", 120, vfs.ErrQuota}, {"MD5", 120, vfs.ErrQuota}} {
			before, start := f.meter.bytes, time.Now()
			if err := digest(step.algorithm); !errors.Is(err, step.want) || step.want == nil && err != nil || f.meter.bytes != step.bytes {
				t.Errorf("%+v: %v, %d bytes", step, err, f.meter.bytes)
			}
			wait := time.Duration(step.bytes-before) * time.Second / 10
			if d := time.Since(start); step.want == nil && (d < wait-time.Millisecond || d > wait+time.Millisecond) {
				t.Errorf("%+v took %v, want %v", step, d, wait)
			}
		}
	})
}
