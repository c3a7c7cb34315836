package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"sluice/backend"
)

var resumeCases = []testcase{
	{"Resume", "", testResume},
	{"ResumeParts", "", testResumeParts},
	{"ResumeCondition", CommitCondition, testResumeCondition},
	{"ResumeCopyPart", "", testResumeCopyPart},
	{"ResumeUnknown", "", testResumeUnknown},
	{"ResumeAborted", AbortedUploads, testResumeAborted},
}

// resume finds an upload again that is aborted when the test ends.
func (t *suite) resume(key, id string, opts backend.PutOptions) backend.Upload {
	t.Helper()
	u, err := t.again().ResumeUpload(t.Context(), key, id, opts)
	if err != nil {
		t.Fatalf("ResumeUpload %q: %v", key, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		if err := u.Abort(ctx); err != nil {
			t.Errorf("Abort %q: %v", key, err)
		}
	})
	return u
}

// has checks which parts an upload has; a size per number.
func (t *suite) has(what string, u backend.Upload, want map[int]int) {
	t.Helper()
	got, err := u.Parts(t.Context())
	if err != nil {
		t.Errorf("%s: Parts: %v", what, err)
	}
	ok := len(got) == len(want) && slices.IsSortedFunc(got, func(a, b backend.Part) int { return a.Number - b.Number })
	for _, p := range got {
		ok = ok && p.Size == int64(want[p.Number])
	}
	if !ok {
		t.Errorf("%s: Parts %v, want %v", what, got, want)
	}
}

// testResume: an upload goes on through another value, and becomes one object with the attributes that it was begun with.
func testResume(t *suite) {
	if !t.lacks(StickyAttributes) {
		t.put("dir/o", []byte("old"))
	}
	opts := backend.PutOptions{Attributes: attributes()}
	first := t.upload("dir/o", opts)
	if first.ID() == "" {
		t.Errorf("the upload has no ID")
	}
	t.write(first, 1, t.part(1))
	t.write(first, 2, t.part(2))
	second := t.resume("dir/o", first.ID(), opts)
	if second.ID() != first.ID() {
		t.Errorf("resumed as %q, want %q", second.ID(), first.ID())
	}
	if t.lacks(StickyAttributes) {
		t.absent("dir/o")
	} else {
		t.holds("dir/o", []byte("old"))
	}
	t.has("resumed", second, map[int]int{1: len(t.part(1)), 2: len(t.part(2))})
	t.write(second, 3, t.part(3))
	third := t.resume("dir/o", second.ID(), opts)
	t.write(third, 4, []byte("end"))
	want := slices.Concat(t.part(1), t.part(2), t.part(3), []byte("end"))
	o := t.commit(third, 4)
	if st := t.holds("dir/o", want); st.ETag != o.ETag || o.Size != int64(len(want)) || o.Key != "dir/o" {
		t.Errorf("Commit returned %+v, Stat %+v", o, st)
	}
	st, err := t.s.Stat(t.Context(), "dir/o")
	if err != nil {
		t.Errorf("Stat: %v", err)
	}
	t.described("Stat", st, attributes())
	if _, err := t.again().ResumeUpload(t.Context(), "dir/o", first.ID(), opts); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("ResumeUpload after Commit: %v, want ErrNotExist", err)
	}
	if err := third.Abort(t.Context()); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	t.holds("dir/o", want)
}

// testResumeParts: Parts knows what was written, in order and with gaps, and the last write of a part counts.
func testResumeParts(t *suite) {
	u := t.upload("o", backend.PutOptions{})
	t.has("empty", u, nil)
	for _, n := range []int{7, 2, 4, 1} {
		t.write(u, n, t.part(n)[:100+n])
	}
	t.has("with gaps", u, map[int]int{1: 101, 2: 102, 4: 104, 7: 107})
	r := t.resume("o", u.ID(), backend.PutOptions{})
	t.has("resumed with gaps", r, map[int]int{1: 101, 2: 102, 4: 104, 7: 107})
	t.write(r, 1, t.part(1))
	t.write(r, 3, []byte("third"))
	t.write(r, 2, t.part(2))
	t.has("rewritten", r, map[int]int{1: len(t.part(1)), 2: len(t.part(2)), 3: 5, 4: 104, 7: 107})
	again := t.resume("o", u.ID(), backend.PutOptions{})
	t.has("rewritten and resumed", again, map[int]int{1: len(t.part(1)), 2: len(t.part(2)), 3: 5, 4: 104, 7: 107})
	t.commit(again, 3)
	t.holds("o", slices.Concat(t.part(1), t.part(2), []byte("third")))
}

// testResumeCondition: the condition of the value that commits counts.
func testResumeCondition(t *suite) {
	u := t.upload("o", backend.PutOptions{})
	t.write(u, 1, []byte("new"))
	old := t.put("o", []byte("old"))
	if !t.lacks(SharedParts) { // otherwise nothing is left of the upload
		_, err := t.resume("o", u.ID(), backend.PutOptions{If: backend.Condition{Absent: true}}).Commit(t.Context(), 1)
		t.is("Commit where there is an object", err, backend.ErrChanged)
		t.holds("o", []byte("old"))
	}

	u = t.upload("o", backend.PutOptions{If: backend.Condition{Absent: true}})
	t.write(u, 1, []byte("new"))
	t.commit(t.resume("o", u.ID(), backend.PutOptions{If: backend.Condition{ETag: old.ETag}}), 1)
	t.holds("o", []byte("new"))
}

// testResumeCopyPart: a part that was copied is a part like others.
func testResumeCopyPart(t *suite) {
	if !t.s.Caps().CopyPart {
		return
	}
	src := t.part(1)
	t.put("src", src)
	u := t.upload("o", backend.PutOptions{})
	if err := u.CopyPart(t.Context(), 1, "src", 0, int64(len(src)), backend.CopyPartOptions{}); err != nil {
		t.Fatalf("CopyPart: %v", err)
	}
	r := t.resume("o", u.ID(), backend.PutOptions{})
	t.has("resumed", r, map[int]int{1: len(src)})
	t.write(r, 2, []byte("end"))
	t.commit(r, 2)
	t.holds("o", append(src, "end"...))
}

// testResumeUnknown: an upload is found by its key and its ID together.
func testResumeUnknown(t *suite) {
	a, b := t.upload("a", backend.PutOptions{}), t.upload("b", backend.PutOptions{})
	t.write(a, 1, []byte("a"))
	t.write(b, 1, []byte("b"))
	_, err := t.s.ResumeUpload(t.Context(), "b", a.ID(), backend.PutOptions{})
	t.is("ResumeUpload of another key's upload", err, backend.ErrNotExist)
	_, err = t.s.ResumeUpload(t.Context(), "c", a.ID(), backend.PutOptions{})
	t.is("ResumeUpload at a key without uploads", err, backend.ErrNotExist)
	t.commit(b, 1)
	t.commit(t.resume("a", a.ID(), backend.PutOptions{}), 1)
	t.holds("a", []byte("a"))
	t.holds("b", []byte("b"))
}

// testResumeAborted: nothing is left of an upload that was aborted, and a value that outlived it writes nothing.
func testResumeAborted(t *suite) {
	u := t.upload("o", backend.PutOptions{})
	t.write(u, 1, t.part(1))
	r := t.resume("o", u.ID(), backend.PutOptions{})
	if err := r.Abort(t.Context()); err != nil {
		t.Fatalf("Abort: %v", err)
	}
	_, err := t.again().ResumeUpload(t.Context(), "o", u.ID(), backend.PutOptions{})
	t.is("ResumeUpload after Abort", err, backend.ErrNotExist)
	if _, err := u.Parts(t.Context()); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("Parts after another value's Abort: %v, want ErrNotExist", err)
	}
	if err := u.WritePart(t.Context(), 2, []byte("late")); err == nil {
		t.Errorf("WritePart after another value's Abort succeeded")
	}
	if _, err := u.Commit(t.Context(), 1); err == nil {
		t.Errorf("Commit after another value's Abort succeeded")
	}
	t.absent("o")
}
