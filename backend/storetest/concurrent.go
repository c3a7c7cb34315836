package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"sluice/backend"
)

// testConcurrent has writers that replace one object while others read, list and delete: each reader must find one version
// whole, its bytes, size and metadata being of the same writer.
func testConcurrent(t *suite) {
	const writers, rounds = 4, 8
	version := func(w, i int) (string, []byte) {
		n := w*rounds + i + 1
		return strconv.Itoa(n), bytes.Repeat([]byte{byte(n)}, 500*n)
	}
	name, p := version(0, 0)
	t.put("shared", p, backend.PutOptions{Attributes: backend.Attributes{Metadata: map[string]string{"version": name}}})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				name, p := version(w, i)
				opts := backend.PutOptions{Attributes: backend.Attributes{Metadata: map[string]string{"version": name}}}
				if _, err := t.s.Put(t.Context(), "shared", p, opts); err != nil {
					t.Errorf("Put: %v", err)
				}
				own := fmt.Sprintf("own/%d-%d", w, i)
				if _, err := t.s.Put(t.Context(), own, p, opts); err != nil {
					t.Errorf("Put %s: %v", own, err)
				}
				if err := t.s.Delete(t.Context(), own, backend.DeleteOptions{}); err != nil {
					t.Errorf("Delete %s: %v", own, err)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				p, o, err := t.read("shared", backend.OpenOptions{})
				if errors.Is(err, backend.ErrChanged) || errors.Is(err, backend.ErrUnavailable) {
					continue // replaced while it was read, and the store says so
				}
				if err != nil || len(p) == 0 || int64(len(p)) != o.Size || o.Metadata["version"] != strconv.Itoa(int(p[0])) ||
					len(p) != 500*int(p[0]) || bytes.Count(p, p[:1]) != len(p) {
					t.Errorf("read %s of size %d, version %q: %v", brief(p), o.Size, o.Metadata["version"], err)
				}
				for e, err := range t.s.List(t.Context(), "", backend.ListOptions{Recursive: true}) {
					known := e.Key == "shared" || strings.HasPrefix(e.Key, "own/")
					if err != nil || !known && !t.lacks(TemporaryNames) {
						t.Errorf("List: %+v, %v", e, err)
					}
				}
			}
		})
	}
	wg.Wait()
	if got := t.list("own/", backend.ListOptions{}); got != nil {
		t.Errorf("%q are left", got)
	}
}

var cancelCases = []testcase{{"Cancelled", "", testCancelled}}

// testCancelled calls everything with a context that has ended: it fails for that reason and changes nothing.
func testCancelled(t *suite) {
	t.put("o", []byte("old"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want := func(what string, err error) {
		t.Helper()
		t.is(what, err, context.Canceled)
	}
	_, err := t.s.Stat(ctx, "o")
	want("Stat", err)
	_, _, err = t.s.Open(ctx, "o", backend.OpenOptions{})
	want("Open", err)
	_, err = t.s.Put(ctx, "o", []byte("new"), backend.PutOptions{})
	want("Put", err)
	_, err = t.s.NewUpload(ctx, "o", backend.PutOptions{})
	want("NewUpload", err)
	_, err = t.s.Copy(ctx, "o2", "o", backend.CopyOptions{})
	want("Copy", err)
	want("Delete", t.s.Delete(ctx, "o", backend.DeleteOptions{}))
	var n int
	for _, err := range t.s.List(ctx, "", backend.ListOptions{}) {
		n++
		want("List", err)
	}
	if n != 1 {
		t.Errorf("List under a cancelled context yields %d times, want one error", n)
	}
	u := t.upload("o", backend.PutOptions{})
	t.write(u, 1, []byte("new"))
	want("WritePart", u.WritePart(ctx, 1, []byte("newer")))
	if t.s.Caps().CopyPart {
		want("CopyPart", u.CopyPart(ctx, 1, "o", 0, 3, backend.CopyPartOptions{}))
	}
	_, err = u.Commit(ctx, 1)
	want("Commit", err)
	want("Abort", u.Abort(ctx))
	t.holds("o", []byte("old"))
	t.absent("o2")
}
