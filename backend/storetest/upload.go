package storetest

import (
	"bytes"
	"math"
	"slices"
	"sync"

	"sluice/backend"
)

var uploadCases = []testcase{
	{"Upload", "", testUpload},
	{"UploadOverlapping", "", testOverlapping},
	{"UploadRewrite", "", testRewrite},
	{"UploadAbort", "", testAbort},
	{"UploadMissingPart", "", testMissingPart},
	{"UploadLimits", "", testUploadLimits},
	{"UploadTwice", SharedParts, testTwoUploads},
	{"UploadCopyPart", "", testCopyPart},
	{"UploadCopyPartVersion", CopySource, testCopyPartVersion},
}

// testUpload: nothing is seen before Commit, and the old object is read meanwhile.
func testUpload(t *suite) {
	t.put("dir/old", []byte("old"))
	var want []byte
	a, b := t.upload("dir/new", backend.PutOptions{}), t.upload("dir/old", backend.PutOptions{Attributes: attributes()})
	for n := 1; n <= 3; n++ {
		p := t.part(n)
		if n == 3 {
			p = p[:7]
		}
		want = append(want, p...)
		t.write(a, n, p)
		t.write(b, n, p)
		clear(p) // the caller's again
		t.absent("dir/new")
		t.holds("dir/old", []byte("old"))
		if got := t.list("", backend.ListOptions{Recursive: true}); !slices.Equal(got, []string{"dir/old"}) {
			t.Errorf("while the uploads run, the store lists %q", got)
		}
	}
	for key, u := range map[string]backend.Upload{"dir/new": a, "dir/old": b} {
		o := t.commit(u, 3)
		if st := t.holds(key, want); st.ETag != o.ETag || o.Size != int64(len(want)) || o.Key != key {
			t.Errorf("Commit returned %+v, Stat %+v", o, st)
		}
		if err := u.Abort(t.Context()); err != nil {
			t.Errorf("Abort after Commit: %v", err)
		}
		t.holds(key, want)
	}
	st, err := t.s.Stat(t.Context(), "dir/old")
	if err != nil {
		t.Errorf("Stat: %v", err)
	}
	if !t.lacks(StickyAttributes) {
		t.described("Stat", st, attributes())
	}
	from := int64(len(t.part(1)) - 3) // across the seam of two parts
	if got, _, err := t.read("dir/new", backend.OpenOptions{Offset: from, Length: 6}); err != nil || !bytes.Equal(got, want[from:from+6]) {
		t.Errorf("Open across parts: %s, %v, want %s", brief(got), err, brief(want[from:from+6]))
	}
}

// testOverlapping writes parts at the same time and out of order.
func testOverlapping(t *suite) {
	parts := min(max(t.s.Caps().PartConcurrency, 2)+2, 10)
	u := t.upload("o", backend.PutOptions{})
	var want []byte
	var wg sync.WaitGroup
	slots := make(chan bool, max(t.s.Caps().PartConcurrency, 1))
	for n := 1; n <= parts; n++ {
		want = append(want, t.part(n)...)
	}
	for n := parts; n >= 1; n-- {
		wg.Go(func() {
			slots <- true
			defer func() { <-slots }()
			if err := u.WritePart(t.Context(), n, t.part(n)); err != nil {
				t.Errorf("WritePart %d: %v", n, err)
			}
		})
	}
	wg.Wait()
	t.commit(u, parts)
	t.holds("o", want)
}

// testRewrite: the last write of a part counts, and parts beyond the number committed do not.
func testRewrite(t *suite) {
	u := t.upload("o", backend.PutOptions{})
	t.write(u, 2, t.part(9))
	t.write(u, 1, t.part(8))
	t.write(u, 3, []byte("beyond"))
	t.write(u, 1, t.part(1))
	t.write(u, 2, []byte("shorter"))
	o := t.commit(u, 2)
	want := append(t.part(1), "shorter"...)
	t.holds("o", want)
	if o.Size != int64(len(want)) {
		t.Errorf("Commit returned size %d, want %d", o.Size, len(want))
	}
}

func testAbort(t *suite) {
	t.put("old", []byte("old"))
	for _, key := range []string{"old", "new", "dir/new"} {
		u := t.upload(key, backend.PutOptions{})
		t.write(u, 1, t.part(1))
		for range 2 {
			if err := u.Abort(t.Context()); err != nil {
				t.Errorf("Abort %q: %v", key, err)
			}
		}
		if _, err := u.Commit(t.Context(), 1); err == nil {
			t.Errorf("Commit of %q after Abort succeeded", key)
		}
		if err := u.WritePart(t.Context(), 2, []byte("late")); err == nil {
			t.Errorf("WritePart of %q after Abort succeeded", key)
		}
	}
	if err := t.upload("none", backend.PutOptions{}).Abort(t.Context()); err != nil {
		t.Errorf("Abort without parts: %v", err)
	}
	t.holds("old", []byte("old"))
	if got := t.list("", backend.ListOptions{Recursive: true}); !slices.Equal(got, []string{"old"}) {
		t.Errorf("listed %q", got)
	}
}

func testMissingPart(t *suite) {
	t.put("old", []byte("old"))
	for key, parts := range map[string]int{"old": 3, "new": 3, "new2": 1, "new3": 0} {
		u := t.upload(key, backend.PutOptions{})
		if parts == 3 {
			t.write(u, 1, t.part(1))
			t.write(u, 3, []byte("3"))
		}
		if o, err := u.Commit(t.Context(), parts); err == nil {
			t.Errorf("Commit of %q without a part: %+v", key, o)
		}
		if err := u.Abort(t.Context()); err != nil {
			t.Errorf("Abort after a failed Commit: %v", err)
		}
	}
	t.holds("old", []byte("old"))
	if got := t.list("", backend.ListOptions{Recursive: true}); !slices.Equal(got, []string{"old"}) {
		t.Errorf("listed %q", got)
	}
}

func testUploadLimits(t *suite) {
	c := t.s.Caps()
	u := t.upload("o", backend.PutOptions{})
	for _, n := range []int{0, -1} {
		if err := u.WritePart(t.Context(), n, []byte("x")); err == nil {
			t.Errorf("WritePart %d succeeded", n)
		}
	}
	t.is("WritePart beyond MaxParts", u.WritePart(t.Context(), c.MaxParts+1, []byte("x")), backend.ErrTooLarge)
	if c.MaxPart <= 64<<20 {
		t.is("WritePart above MaxPart", u.WritePart(t.Context(), 1, make([]byte, c.MaxPart+1)), backend.ErrTooLarge)
	}
	t.write(u, 1, []byte("ok"))
	t.commit(u, 1)
	t.holds("o", []byte("ok"))
}

// testTwoUploads: uploads of one key do not mix, and the last commit wins.
func testTwoUploads(t *suite) {
	a, b := t.upload("o", backend.PutOptions{}), t.upload("o", backend.PutOptions{})
	t.write(a, 1, t.part(1))
	t.write(b, 1, t.part(2))
	t.write(a, 2, []byte("a"))
	t.write(b, 2, []byte("b"))
	t.commit(b, 2)
	t.holds("o", append(t.part(2), 'b'))
	t.commit(a, 2)
	t.holds("o", append(t.part(1), 'a'))
}

func testCopyPart(t *suite) {
	ctx := t.Context()
	c := t.s.Caps()
	u := t.upload("dir/o", backend.PutOptions{})
	if !c.CopyPart {
		t.put("src", []byte("source"))
		t.is("CopyPart", u.CopyPart(ctx, 1, "src", 0, 6, backend.CopyPartOptions{}), backend.ErrUnsupported)
		return
	}
	src := append(append(t.part(1), t.part(2)...), t.part(3)...)
	const key = "s/a +%?&é.bin"
	up := t.upload(key, backend.PutOptions{})
	for n := 1; n <= 3; n++ {
		t.write(up, n, t.part(n))
	}
	obj := t.commit(up, 3)
	n := int64(len(src) / 3)
	copyPart := func(part int, off, length int64, opts backend.CopyPartOptions) {
		t.Helper()
		if err := u.CopyPart(ctx, part, key, off, length, opts); err != nil {
			t.Fatalf("CopyPart %d: %v", part, err)
		}
	}
	copyPart(1, 10, n, backend.CopyPartOptions{SrcETag: obj.ETag})
	t.write(u, 2, t.part(7))
	copyPart(3, 2*n, n, backend.CopyPartOptions{})
	copyPart(3, 0, n, backend.CopyPartOptions{}) // again: this one counts
	copyPart(4, 3*n-5, 5, backend.CopyPartOptions{})
	t.is("CopyPart of a missing object", u.CopyPart(ctx, 5, "none", 0, 1, backend.CopyPartOptions{}), backend.ErrNotExist)
	t.is("CopyPart beyond the end", u.CopyPart(ctx, 5, key, 3*n, 1, backend.CopyPartOptions{}), backend.ErrRange)
	t.is("CopyPart across the end", u.CopyPart(ctx, 5, key, 3*n-1, 2, backend.CopyPartOptions{}), backend.ErrRange)
	if c.MaxCopyPart < math.MaxInt64 {
		t.is("CopyPart above MaxCopyPart", u.CopyPart(ctx, 5, key, 0, c.MaxCopyPart+1, backend.CopyPartOptions{}), backend.ErrTooLarge)
	}
	t.commit(u, 4)
	t.holds("dir/o", slices.Concat(src[10:10+n], t.part(7), src[:n], src[3*n-5:]))
	t.holds(key, src)
}

func testCopyPartVersion(t *suite) {
	if !t.s.Caps().CopyPart {
		return
	}
	old := t.put("src", t.part(1))
	cur := t.put("src", append(t.part(2), 'x'))
	u := t.upload("o", backend.PutOptions{})
	t.is("CopyPart of a version that was replaced", u.CopyPart(t.Context(), 1, "src", 0, old.Size, backend.CopyPartOptions{SrcETag: old.ETag}), backend.ErrChanged)
	if err := u.CopyPart(t.Context(), 1, "src", 0, cur.Size, backend.CopyPartOptions{SrcETag: cur.ETag}); err != nil {
		t.Fatalf("CopyPart: %v", err)
	}
	t.commit(u, 1)
	t.holds("o", append(t.part(2), 'x'))
}
