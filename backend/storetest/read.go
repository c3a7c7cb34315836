package storetest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/backend"
)

var readCases = []testcase{
	{"Ranges", "", testRanges},
	{"Missing", "", testMissing},
	{"ReadCancel", "", testReadCancel},
	{"ReadPinned", ReadCondition, testPinned},
	{"ReadWhileReplaced", "", testReadReplaced},
}

var writeCases = []testcase{
	{"Put", "", testPut},
	{"PutTooLarge", "", testPutTooLarge},
	{"Attributes", "", testAttributes},
	{"Restore", "", testRestore},
	{"Checksums", "", testChecksums},
	{"Delete", "", testDelete},
	{"Concurrent", "", testConcurrent},
}

func testRanges(t *suite) {
	p := pattern(1, 1000)
	t.put("o", p)
	t.put("empty", nil)
	for _, r := range []struct{ off, length, from, to int64 }{
		{0, 0, 0, 1000}, {0, 1, 0, 1}, {0, 1000, 0, 1000}, {0, 5000, 0, 1000}, {1, 0, 1, 1000}, {999, 0, 999, 1000}, {999, 1, 999, 1000},
		{500, 100, 500, 600}, {999, 7, 999, 1000}, {1000, 0, 1000, 1000}, {1000, 10, 1000, 1000},
	} {
		got, obj, err := t.read("o", backend.OpenOptions{Offset: r.off, Length: r.length})
		if err != nil || !bytes.Equal(got, p[r.from:r.to]) || obj.Size != 1000 || obj.ETag == "" || obj.Key != "o" {
			t.Errorf("Open at %d for %d: %s, %+v, %v", r.off, r.length, brief(got), obj, err)
		}
	}
	for _, length := range []int64{0, 5} {
		if got, obj, err := t.read("empty", backend.OpenOptions{Length: length}); err != nil || len(got) != 0 || obj.Size != 0 {
			t.Errorf("Open of the empty object: %q, %+v, %v", got, obj, err)
		}
	}
	t.holds("empty", nil)
	for key, off := range map[string]int64{"o": 1001, "empty": 1} {
		_, _, err := t.read(key, backend.OpenOptions{Offset: off})
		t.is("Open beyond the end", err, backend.ErrRange)
		_, _, err = t.read(key, backend.OpenOptions{Offset: off + 1<<40, Length: 3})
		t.is("Open far beyond the end", err, backend.ErrRange)
	}
}

func testMissing(t *suite) {
	t.put("here/below", []byte("x"))
	for _, key := range []string{"none", "none/", "here", "here/", "here/below/", "here/below/x", "here/belo", "her"} {
		t.absent(key)
		_, _, err := t.s.Open(t.Context(), key, backend.OpenOptions{Offset: 5, Length: 1})
		t.is("Open a range of "+key, err, backend.ErrNotExist)
		if t.Lacks[Nested] == "" || !strings.HasPrefix("here/below/x", key) { // where folders are in the way
			_, err = t.s.Copy(t.Context(), "copy", key, backend.CopyOptions{})
			t.is("Copy from "+key, err, backend.ErrNotExist)
		}
		if err := t.s.Delete(t.Context(), key, backend.DeleteOptions{}); err != nil && (t.Lacks[Nested] == "" || key != "here/") {
			t.Errorf("Delete of the missing %q: %v", key, err)
		}
	}
	t.absent("copy")
	t.holds("here/below", []byte("x"))
}

// testReadCancel: the context governs the whole read.
func testReadCancel(t *suite) {
	t.put("big", pattern(1, int(min(1<<20, t.s.Caps().MaxPut))))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, _, err := t.s.Open(ctx, "big", backend.OpenOptions{})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatalf("Read: %v", err)
	}
	cancel()
	_, err = io.Copy(io.Discard, r)
	t.is("Read after the end of the context", err, context.Canceled)
}

func testPinned(t *suite) {
	old := t.put("o", []byte("old"))
	if got, _, err := t.read("o", backend.OpenOptions{ETag: old.ETag}); err != nil || string(got) != "old" {
		t.Errorf("Open of the current version: %q, %v", got, err)
	}
	cur := t.put("o", []byte("newer"))
	if cur.ETag == old.ETag {
		t.Errorf("both versions have ETag %q", old.ETag)
	}
	for _, opts := range []backend.OpenOptions{{ETag: old.ETag}, {ETag: old.ETag, Offset: 1, Length: 1}} {
		_, _, err := t.read("o", opts)
		t.is("Open of a version that was replaced", err, backend.ErrChanged)
	}
	if got, obj, err := t.read("o", backend.OpenOptions{ETag: cur.ETag, Offset: 2}); err != nil || string(got) != "wer" || obj.ETag != cur.ETag {
		t.Errorf("Open of the current version: %q, %+v, %v", got, obj, err)
	}
}

// testReadReplaced: a reader gets the version that it began with, or an error, and never bytes of two.
func testReadReplaced(t *suite) {
	n := int(min(1<<20, t.s.Caps().MaxPut))
	one, two := pattern(1, n), pattern(2, n)
	t.put("o", one)
	r, _, err := t.s.Open(t.Context(), "o", backend.OpenOptions{})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer r.Close()
	head := make([]byte, 100)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatalf("Read: %v", err)
	}
	t.put("o", two)
	rest, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(slices.Concat(head, rest), one) {
		t.Errorf("a read across a replacement gave %s, want %s", brief(slices.Concat(head, rest)), brief(one))
	}
	t.holds("o", two)
}

func testPut(t *suite) {
	p := []byte("first")
	a := t.put("dir/o", p)
	copy(p, "XXXXX") // the caller's again
	if a.Key != "dir/o" || a.Size != 5 || a.ETag == "" {
		t.Errorf("Put returned %+v", a)
	}
	if st := t.holds("dir/o", []byte("first")); st.ETag != a.ETag {
		t.Errorf("Put returned ETag %q, Stat says %q", a.ETag, st.ETag)
	}
	b := t.put("dir/o", []byte("second"))
	if st := t.holds("dir/o", []byte("second")); st.ETag != b.ETag || st.ETag == a.ETag {
		t.Errorf("ETags: first %q, second %q, Stat %q", a.ETag, b.ETag, st.ETag)
	}
	t.put("dir/o", nil)
	t.holds("dir/o", nil)
}

func testPutTooLarge(t *suite) {
	c := t.s.Caps()
	if c.MaxPut <= 0 || c.MaxPart <= 0 || c.MaxParts <= 0 || c.MaxObject < c.MaxPut || c.MaxCopy <= 0 || c.PartConcurrency <= 0 || c.MaxKey <= 0 || c.Name == "" {
		t.Errorf("Caps without a limit: %+v", c)
	}
	if c.MaxPut <= 61<<20 {
		_, err := t.s.Put(t.Context(), "o", make([]byte, c.MaxPut+1), backend.PutOptions{})
		t.is("Put above MaxPut", err, backend.ErrTooLarge)
		t.absent("o")
		t.put("o", make([]byte, c.MaxPut))
	}
}

// attributes are what the tests store: a time with nanoseconds, letters beyond ASCII.
func attributes() backend.Attributes {
	return backend.Attributes{
		ContentType: "text/plain; charset=utf-8",
		ModTime:     time.Date(2001, 2, 3, 4, 5, 6, 123456789, time.UTC),
		Metadata:    map[string]string{"origin": "scanner 7", "note": "gr\u00fc\u00df \u2713, 50% a=b"},
	}
}

// described checks the attributes of an object.
func (t *suite) described(what string, o backend.Object, a backend.Attributes) {
	t.Helper()
	if a.ContentType == "" {
		a.ContentType = "application/octet-stream"
	}
	if o.ContentType != a.ContentType || !o.ModTime.Equal(a.ModTime) || !maps.Equal(o.Metadata, a.Metadata) || o.Partial {
		t.Errorf("%s: %q, %v, %q, partial %v\nwant %q, %v, %q", what, o.ContentType, o.ModTime, o.Metadata, o.Partial, a.ContentType, a.ModTime, a.Metadata)
	}
	if !a.ModTime.IsZero() && !o.Time().Equal(a.ModTime) || a.ModTime.IsZero() && o.Time().IsZero() {
		t.Errorf("%s: Time is %v", what, o.Time())
	}
}

func testAttributes(t *suite) {
	odd := attributes()
	odd.ModTime = time.Date(1969, 12, 31, 23, 59, 58, 500000000, time.UTC)
	far := attributes()
	far.ModTime = time.Date(2106, 2, 7, 6, 28, 17, 1, time.UTC)
	for key, a := range map[string]backend.Attributes{"some": attributes(), "none": {}, "before 1970": odd, "after 2106": far} {
		up := "up/" + key
		t.put(key, []byte(key), backend.PutOptions{Attributes: a})
		u := t.upload(up, backend.PutOptions{Attributes: a})
		t.write(u, 1, []byte(up))
		t.commit(u, 1)
		for _, k := range []string{key, up} {
			t.described("Stat "+k, t.holds(k, []byte(k)), a)
			_, o, err := t.read(k, backend.OpenOptions{Offset: 1, Length: 1})
			if err != nil {
				t.Errorf("Open: %v", err)
			}
			t.described("Open "+k, o, a)
			for e, err := range t.s.List(t.Context(), k, backend.ListOptions{Recursive: true}) {
				switch {
				case err != nil:
					t.Errorf("List: %v", err)
				case t.s.Caps().ListMetadata:
					t.described("List "+k, e.Object, a)
				case !e.Partial:
					t.Errorf("List %s: a row without metadata must be Partial: %+v", k, e.Object)
				}
			}
		}
	}
	t.put("some", []byte("x")) // replaced with all that was said about it
	t.described("Stat after it was replaced", t.holds("some", []byte("x")), backend.Attributes{})
}

func testDelete(t *suite) {
	ctx := t.Context()
	t.put("o", []byte("x"))
	t.put("o2", []byte("y"))
	for range 2 {
		if err := t.s.Delete(ctx, "o", backend.DeleteOptions{}); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		t.absent("o")
	}
	t.holds("o2", []byte("y"))
	t.put("dir/sub/x", []byte("x"))
	if err := t.s.Delete(ctx, "dir/sub/x", backend.DeleteOptions{}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if got := t.list("dir", backend.ListOptions{}); got != nil {
		t.Errorf("%q are left of a folder without objects", got)
	}
	t.put("dir", []byte("now an object"))
	t.holds("dir", []byte("now an object"))
}

// testRestore: an object that can be read needs no restore, and a store that has no others says so.
func testRestore(t *suite) {
	t.put("o", []byte("x"))
	if err := t.s.Restore(t.Context(), "o", backend.RestoreOptions{Days: 1}); err != nil {
		t.is("Restore", err, backend.ErrUnsupported)
	}
	t.holds("o", []byte("x"))
	t.is("Restore of a bad key", t.s.Restore(t.Context(), "a/../b", backend.RestoreOptions{}), backend.ErrBadKey)
}
