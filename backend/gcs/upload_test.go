package gcs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/backend"
)

// begin starts an upload and writes its parts.
func begin(t *testing.T, s *Store, key string, opts backend.PutOptions, parts ...string) *upload {
	t.Helper()
	u, err := s.NewUpload(t.Context(), key, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range parts {
		if err := u.WritePart(t.Context(), i+1, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	return u.(*upload)
}

// TestManyParts: more parts than one compose takes are joined in several rounds, and nothing of them stays.
func TestManyParts(t *testing.T) {
	c := newCloud(t)
	s := c.open(Config{PageSize: 7})
	for _, n := range []int{1, 32, 33, 64, 65, 1025} {
		var want strings.Builder
		var parts []string
		for i := range n {
			p := fmt.Sprintf("part %d of %d;", i+1, n)
			parts = append(parts, p)
			want.WriteString(p)
		}
		u := begin(t, s, "o", backend.PutOptions{}, parts...)
		o, err := u.Commit(t.Context(), n)
		if err != nil {
			t.Fatalf("%d parts: %v", n, err)
		}
		if got, err := readAll(s, t, "o", backend.OpenOptions{}); err != nil || got != want.String() || o.Size != int64(len(got)) {
			t.Errorf("%d parts: %d bytes, %v, want %d", n, len(got), err, want.Len())
		}
		if keys := c.keys(); !slices.Equal(keys, []string{"o"}) {
			t.Errorf("%d parts: the bucket holds %d objects, among them %s", n, len(keys), keys[0])
		}
	}
}

// TestCommitFaults: a commit that fails leaves the old object, one whose answer was lost is recognized.
func TestCommitFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		fault func(call) fault
		cond  backend.Condition
		want  error
	}{
		"503 once":           {on("compose", 1, fault{status: 503}), backend.Condition{}, nil},
		"503 for ever":       {always("compose", fault{status: 503}), backend.Condition{}, backend.ErrUnavailable},
		"lost answer":        {on("compose", 1, fault{lose: true}), backend.Condition{ETag: "current"}, nil},
		"all answers lost":   {always("compose", fault{lose: true}), backend.Condition{}, nil},
		"condition":          {nil, backend.Condition{Absent: true}, backend.ErrChanged},
		"another version":    {nil, backend.Condition{ETag: "17"}, backend.ErrChanged},
		"wrong sum, once":    {always("compose", fault{sum: true}), backend.Condition{}, nil}, // the object proves to be right
		"wrong sum":          {func(call) fault { return fault{sum: true} }, backend.Condition{}, backend.ErrUnavailable},
		"wrong size":         {func(call) fault { return fault{size: true} }, backend.Condition{}, backend.ErrUnavailable},
		"forbidden":          {always("compose", fault{status: 403}), backend.Condition{}, backend.ErrPermission},
		"reset for ever":     {always("compose", fault{reset: true}), backend.Condition{}, backend.ErrUnavailable},
		"reset, then forbid": {func(c call) fault { return fault{reset: c.op == "compose" && c.nth == 1} }, backend.Condition{Absent: true}, backend.ErrChanged},
	} {
		c := newCloud(t)
		s := c.open(Config{})
		c.put("o", "old")
		old, err := s.Stat(t.Context(), "o")
		if err != nil {
			t.Fatal(err)
		}
		if tc.cond.ETag == "current" {
			tc.cond.ETag = old.ETag
		}
		u := begin(t, s, "o", backend.PutOptions{If: tc.cond}, "new ", "text")
		c.fail(tc.fault)
		o, err := u.Commit(t.Context(), 2)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		c.fail(nil)
		want := "old"
		if tc.want == nil || name == "wrong sum" || name == "wrong size" { // which is only said, not so
			want = "new text"
		}
		st, err := s.Stat(t.Context(), "o")
		if got, readErr := readAll(s, t, "o", backend.OpenOptions{}); err != nil || readErr != nil || got != want || tc.want == nil && st.ETag != o.ETag {
			t.Errorf("%s: the object is %q in %s, Commit says %s; %v, %v", name, got, st.ETag, o.ETag, err, readErr)
		}
		if err := u.Abort(t.Context()); err != nil || !slices.Equal(c.keys(), []string{"o"}) {
			t.Errorf("%s: Abort: %v, the bucket holds %q", name, err, c.keys())
		}
	}
}

// TestDamagedPart: the store refuses to make an object that is not what was sent.
func TestDamagedPart(t *testing.T) {
	c := newCloud(t)
	s := c.open(Config{})
	c.put("o", "old")
	u := begin(t, s, "o", backend.PutOptions{}, "one", "two", "three")
	c.edit(u.name(2), func(o *stored) { o.data = []byte("tow") })
	if _, err := u.Commit(t.Context(), 3); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a part with other bytes: %v, want ErrUnavailable", err)
	}
	if got, err := readAll(s, t, "o", backend.OpenOptions{}); err != nil || got != "old" {
		t.Errorf("the object is %q, %v", got, err)
	}
	c.mu.Lock()
	delete(c.objects, u.name(3))
	c.mu.Unlock()
	if _, err := u.Commit(t.Context(), 3); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("a part that somebody deleted: %v, want ErrChanged", err)
	}
}

// TestTidy: what a commit could not clean up, Abort does.
func TestTidy(t *testing.T) {
	c := newCloud(t)
	s := c.open(Config{})
	u := begin(t, s, "o", backend.PutOptions{}, "one", "two")
	c.fail(always("delete", fault{status: 503}))
	if _, err := u.Commit(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if n := len(c.keys()); n != 2 {
		t.Errorf("%d objects, want the object and the record", n)
	}
	if err := u.Abort(t.Context()); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("Abort: %v, want ErrUnavailable", err)
	}
	c.fail(nil)
	if err := u.Abort(t.Context()); err != nil || !slices.Equal(c.keys(), []string{"o"}) {
		t.Errorf("Abort: %v, the bucket holds %q", err, c.keys())
	}
	c.fail(nil)
	if err := u.Abort(t.Context()); err != nil || len(c.calls("")) > 0 {
		t.Errorf("Abort of what is gone: %v, %d requests", err, len(c.calls("")))
	}
}

// TestResume: another process finds an upload by its id, and goes on with it.
func TestResume(t *testing.T) {
	ctx := t.Context()
	c := newCloud(t)
	opts := backend.PutOptions{Attributes: backend.Attributes{ContentType: "text/x"}}
	killed := begin(t, c.open(Config{PageSize: 2}), "dir/o", opts, "one ", "zwei", "three ")

	s := c.open(Config{PageSize: 2}) // a new process
	for what, tc := range map[string]struct{ key, id string }{
		"another key": {"dir/p", killed.ID()}, "unknown": {"dir/o", strings.Repeat("A", 26)}, "no id": {"dir/o", ""}, "path": {"dir/o", "../" + killed.ID()},
		"too long": {"dir/o", killed.ID() + "A"}, "slash": {"dir/o", killed.ID()[:25] + "/"},
	} {
		c.fail(nil)
		if _, err := s.ResumeUpload(ctx, tc.key, tc.id, opts); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("%s: %v, want ErrNotExist", what, err)
		}
		if calls := c.calls(""); len(calls) > 0 && what != "another key" && what != "unknown" {
			t.Errorf("%s: the store was asked %+v", what, calls)
		}
	}
	resumed, err := s.ResumeUpload(ctx, "dir/o", killed.ID(), opts)
	if err != nil {
		t.Fatal(err)
	}
	u := resumed.(*upload)
	parts, err := u.Parts(ctx)
	if want := []backend.Part{{Number: 1, Size: 4}, {Number: 2, Size: 4}, {Number: 3, Size: 6}}; err != nil || !slices.Equal(parts, want) || u.ID() != killed.ID() {
		t.Errorf("Parts: %v, %v, want %v", parts, err, want)
	}
	if err := errors.Join(u.WritePart(ctx, 2, []byte("two ")), u.WritePart(ctx, 4, []byte("four"))); err != nil {
		t.Fatal(err)
	}
	o, err := u.Commit(ctx, 4)
	if got, readErr := readAll(s, t, "dir/o", backend.OpenOptions{}); err != nil || readErr != nil || got != "one two three four" || o.ContentType != "text/x" {
		t.Errorf("resumed to %q, %+v, %v, %v", got, o, err, readErr)
	}
	if _, err := s.ResumeUpload(ctx, "dir/o", killed.ID(), opts); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("after Commit: %v, want ErrNotExist", err)
	}

	aborted := begin(t, s, "dir/o", opts, "one")
	if parts, err := aborted.Parts(ctx); err != nil || len(parts) != 1 {
		t.Errorf("Parts: %v, %v", parts, err)
	}
	if u, err := s.ResumeUpload(ctx, "dir/o", begin(t, s, "dir/o", opts).ID(), opts); err != nil || u.Abort(ctx) != nil {
		t.Errorf("an upload without parts: %v", err)
	}
	if err := aborted.Abort(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ResumeUpload(ctx, "dir/o", aborted.ID(), opts); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("after Abort: %v, want ErrNotExist", err)
	}
	if keys := c.keys(); !slices.Equal(keys, []string{"dir/o"}) {
		t.Errorf("the bucket holds %q", keys)
	}
}

// TestForeignAbort: an upload that another process aborts is over for everybody, and what was being written stays nowhere.
func TestForeignAbort(t *testing.T) {
	ctx := t.Context()
	c := newCloud(t)
	s := c.open(Config{})
	u := begin(t, s, "o", backend.PutOptions{}, "one")
	other, err := s.ResumeUpload(ctx, "o", u.ID(), backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Abort(ctx); err != nil {
		t.Fatal(err)
	}
	c.put("src", "text")
	late, copied := u.WritePart(ctx, 2, []byte("late")), u.CopyPart(ctx, 3, "src", 0, 4, backend.CopyPartOptions{})
	_, parts := u.Parts(ctx)
	_, resumed := s.ResumeUpload(ctx, "o", u.ID(), backend.PutOptions{})
	for what, err := range map[string]error{"WritePart": late, "CopyPart": copied, "Parts": parts, "ResumeUpload": resumed} {
		if !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("%s: %v, want ErrNotExist", what, err)
		}
	}
	if _, err := u.Commit(ctx, 1); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("Commit: %v, want ErrChanged", err)
	}
	if keys := c.keys(); !slices.Equal(keys, []string{"src"}) {
		t.Errorf("the bucket holds %q", keys)
	}

	u = begin(t, s, "o", backend.PutOptions{}, "one") // the abort dies behind its first step
	c.fail(always("delete", fault{reset: true}))
	if err := u.Abort(ctx); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("Abort: %v, want ErrUnavailable", err)
	}
	c.fail(nil)
	if _, err := s.ResumeUpload(ctx, "o", u.ID(), backend.PutOptions{}); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("ResumeUpload: %v, want ErrNotExist", err)
	}
	if keys := c.keys(); !slices.Equal(keys, []string{"src"}) {
		t.Errorf("what the abort left: %q", keys)
	}
}

// TestHidden: parts are in no listing, and neither are folders of nothing else.
func TestHidden(t *testing.T) {
	c := newCloud(t)
	s := c.open(Config{PageSize: 1})
	begin(t, s, "o", backend.PutOptions{}, "one", "two")
	for prefix, want := range map[string]string{"": "", ".": "", ".sluice/": "", ".sluice/parts": "", hidden: "", ".sluice/x": ""} {
		if got, err := list(s, t, prefix); err != nil || got != want {
			t.Errorf("List %q: %q, %v", prefix, got, err)
		}
	}
	for key, want := range map[string]string{".sluice/a": ".sluice/", ".sluice/uploads/x": ".sluice/", ".sluice/partsandmore": ".sluice/", ".sluice": ".sluice"} {
		c.put(key, "x")
		if got, err := list(s, t, ""); err != nil || got != want {
			t.Errorf("beside %s, List yields %q, %v", key, got, err)
		}
		if err := s.Delete(t.Context(), key, backend.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Stat(t.Context(), hidden+"x"); !errors.Is(err, backend.ErrBadKey) {
		t.Errorf("Stat of a part: %v, want ErrBadKey", err)
	}
	if err := s.Delete(t.Context(), hidden+"x", backend.DeleteOptions{}); !errors.Is(err, backend.ErrBadKey) {
		t.Errorf("Delete of a part: %v, want ErrBadKey", err)
	}
}

// TestCopyPart: a whole object is copied inside the store, a range passes through, also when its body breaks.
func TestCopyPart(t *testing.T) {
	ctx := t.Context()
	c := newCloud(t)
	c.class = "NEARLINE"
	s := c.open(Config{StorageClass: "COLDLINE"})
	text := strings.Repeat("0123456789", 1000)
	c.put("src", text)
	c.edit("src", func(o *stored) { o.StorageClass = "ARCHIVE" })
	u := begin(t, s, "o", backend.PutOptions{}, "written")
	c.edit(u.name(1), func(o *stored) {
		if o.StorageClass != standard {
			t.Errorf("a part has class %s", o.StorageClass)
		}
	})
	c.fail(nil)
	if err := u.CopyPart(ctx, 1, "src", 0, 10_000, backend.CopyPartOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(c.calls("read")) > 0 || len(c.calls("rewrite")) != 2 { // the second one goes on
		t.Errorf("a whole object: %+v", c.calls(""))
	}
	c.edit(u.name(1), func(o *stored) {
		if o.StorageClass != standard {
			t.Errorf("the part has class %s", o.StorageClass)
		}
	})
	c.fail(func(this call) fault {
		switch this.op {
		case "read":
			return fault{cut: 7 * this.nth}
		case "insert":
			return fault{sum: this.nth == 1}
		}
		return fault{}
	})
	if err := u.CopyPart(ctx, 2, "src", 100, 20, backend.CopyPartOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(c.calls("insert")) != 2 || len(c.calls("rewrite")) > 0 {
		t.Errorf("a range: %+v", c.calls(""))
	}
	for slice, pieces := range map[int64]int{7: 32, 500: 20} { // bytes
		s.slice = slice
		c.fail(on("compose", 1, fault{lose: true}))
		if err := u.CopyPart(ctx, 3, "src", 1, 9998, backend.CopyPartOptions{}); err != nil {
			t.Fatal(err)
		}
		if n := len(c.calls("insert")); n != pieces {
			t.Errorf("slices of %d: %d, want %d", slice, n, pieces)
		}
	}
	c.fail(func(this call) fault {
		if this.op == "read" { // replaced behind the look at it
			c.write("src", bytes.Repeat([]byte("x"), 10_000), &c.objects["src"].Object)
		}
		return fault{}
	})
	if err := u.CopyPart(ctx, 4, "src", 0, 5, backend.CopyPartOptions{}); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("replaced meanwhile: %v, want ErrChanged", err)
	}
	c.fail(nil)
	if o, err := u.Commit(ctx, 3); err != nil || o.StorageClass != "COLDLINE" {
		t.Fatalf("%+v, %v", o, err)
	}
	if keys := c.keys(); !slices.Equal(keys, []string{"o", "src"}) {
		t.Errorf("the bucket holds %q", keys)
	}
	if got, err := readAll(s, t, "o", backend.OpenOptions{}); err != nil || got != text+text[100:120]+text[1:9999] {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
