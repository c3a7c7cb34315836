package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"sluice/backend"
)

var conditionCases = []testcase{
	{"PutConditions", "", testPutConditions},
	{"CommitConditions", CommitCondition, testCommitConditions},
	{"CopyConditions", CopyCondition, testCopyConditions},
	{"CopySourceVersion", CopySource, testCopySource},
	{"DeleteConditions", DeleteVersion, testDeleteConditions},
	{"ConditionRaces", ConditionRaces, testConditionRaces},
}

var copyCases = []testcase{
	{"Copy", "", testCopy},
	{"CopyKeys", "", testCopyKeys},
	{"CopyReplace", "", testCopyReplace},
}

// conditions runs a mutation of key under conditions that hold and that do not. mutate writes body.
func conditions(t *suite, mutate func(key string, body []byte, c backend.Condition) error) {
	if !t.s.Caps().Conditional {
		return
	}
	old := t.put("o", []byte("old"))
	cur := t.put("o", []byte("current"))
	for name, c := range map[string]backend.Condition{"Absent": {Absent: true}, "ETag": {ETag: old.ETag}} {
		t.is("with "+name+" that does not hold", mutate("o", []byte("no"), c), backend.ErrChanged)
		if st := t.holds("o", []byte("current")); st.ETag != cur.ETag {
			t.Errorf("with %s that does not hold, the ETag went from %q to %q", name, cur.ETag, st.ETag)
		}
	}
	if !t.lacks(AbsentETag) {
		t.is("with ETag where there is no object", mutate("new", []byte("no"), backend.Condition{ETag: cur.ETag}), backend.ErrChanged)
		t.absent("new")
	}
	for key, c := range map[string]backend.Condition{"new": {Absent: true}, "o": {ETag: cur.ETag}, "plain": {}} {
		if err := mutate(key, []byte("yes "+key), c); err != nil {
			t.Errorf("%q with %+v that holds: %v", key, c, err)
		}
		t.holds(key, []byte("yes "+key))
	}
	if err := t.s.Delete(t.Context(), "new", backend.DeleteOptions{}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if err := mutate("new", []byte("again"), backend.Condition{Absent: true}); err != nil {
		t.Errorf("Absent after Delete: %v", err)
	}
}

func testPutConditions(t *suite) {
	conditions(t, func(key string, body []byte, c backend.Condition) error {
		_, err := t.s.Put(t.Context(), key, body, backend.PutOptions{If: c})
		return err
	})
}

// testCommitConditions: a condition may be refused when the upload begins; what counts is that Commit checks it.
func testCommitConditions(t *suite) {
	upload := func(key string, body []byte, c backend.Condition, between func()) error {
		u, err := t.s.NewUpload(t.Context(), key, backend.PutOptions{If: c})
		if err != nil {
			return err
		}
		t.write(u, 1, body)
		between()
		_, err = u.Commit(t.Context(), 1)
		if err := u.Abort(t.Context()); err != nil {
			t.Errorf("Abort: %v", err)
		}
		return err
	}
	conditions(t, func(key string, body []byte, c backend.Condition) error { return upload(key, body, c, func() {}) })
	if !t.s.Caps().Conditional {
		return
	}
	err := upload("late", []byte("no"), backend.Condition{Absent: true}, func() { t.put("late", []byte("other")) })
	t.is("Absent, but created during the upload", err, backend.ErrChanged)
	t.holds("late", []byte("other"))
	cur := t.put("late", []byte("base"))
	err = upload("late", []byte("no"), backend.Condition{ETag: cur.ETag}, func() { t.put("late", []byte("changed")) })
	t.is("ETag, but replaced during the upload", err, backend.ErrChanged)
	t.holds("late", []byte("changed"))
}

func testCopyConditions(t *suite) {
	var n int
	conditions(t, func(key string, body []byte, c backend.Condition) error {
		n++
		src := fmt.Sprintf("src%d", n)
		t.put(src, body)
		_, err := t.s.Copy(t.Context(), key, src, backend.CopyOptions{If: c})
		return err
	})
}

func testCopySource(t *suite) {
	if !t.s.Caps().Conditional {
		return
	}
	old := t.put("src", []byte("old"))
	cur := t.put("src", []byte("current"))
	_, err := t.s.Copy(t.Context(), "dst", "src", backend.CopyOptions{SrcETag: old.ETag})
	t.is("Copy of a version that was replaced", err, backend.ErrChanged)
	t.absent("dst")
	if _, err := t.s.Copy(t.Context(), "dst", "src", backend.CopyOptions{SrcETag: cur.ETag}); err != nil {
		t.Errorf("Copy of the current version: %v", err)
	}
	t.holds("dst", []byte("current"))
}

func testDeleteConditions(t *suite) {
	if !t.s.Caps().Conditional {
		return
	}
	old := t.put("o", []byte("old"))
	cur := t.put("o", []byte("current"))
	t.is("Delete of a version that was replaced", t.s.Delete(t.Context(), "o", backend.DeleteOptions{ETag: old.ETag}), backend.ErrChanged)
	t.holds("o", []byte("current"))
	if err := t.s.Delete(t.Context(), "o", backend.DeleteOptions{ETag: cur.ETag}); err != nil {
		t.Errorf("Delete of the current version: %v", err)
	}
	t.absent("o")
	if !t.lacks(AbsentETag) {
		t.is("Delete of a version where there is no object", t.s.Delete(t.Context(), "o", backend.DeleteOptions{ETag: cur.ETag}), backend.ErrChanged)
	}
}

// testConditionRaces: of many that create one key at the same time, one succeeds.
func testConditionRaces(t *suite) {
	if !t.s.Caps().Conditional {
		return
	}
	for round := range 4 {
		key := fmt.Sprintf("lock%d", round)
		var won atomic.Int32
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				_, err := t.s.Put(t.Context(), key, []byte{byte('a' + w)}, backend.PutOptions{If: backend.Condition{Absent: true}})
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, backend.ErrChanged):
					t.Errorf("Put: %v, want ErrChanged", err)
				}
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Errorf("%d create-only writes of one key succeeded", n)
		}
	}
}

func testCopy(t *suite) {
	p := pattern(3, 5000)
	t.put("src", p, backend.PutOptions{Attributes: attributes()})
	t.put("dir/dst", []byte("old"))
	for _, dst := range []string{"dir/dst", "dir/new"} {
		o, err := t.s.Copy(t.Context(), dst, "src", backend.CopyOptions{})
		if err != nil {
			t.Fatalf("Copy: %v", err)
		}
		st := t.holds(dst, p)
		if o.Key != dst || o.Size != int64(len(p)) || o.ETag != st.ETag {
			t.Errorf("Copy returned %+v, Stat %+v", o, st)
		}
		t.described("Stat "+dst, st, attributes())
	}
	t.put("src", []byte("changed"))
	t.holds("dir/dst", p)
	if c := t.s.Caps(); c.MaxCopy < min(64<<20, c.MaxPut) {
		t.put("big", make([]byte, c.MaxCopy+1))
		_, err := t.s.Copy(t.Context(), "big2", "big", backend.CopyOptions{})
		t.is("Copy above MaxCopy", err, backend.ErrTooLarge)
		t.absent("big2")
	}
}

func testCopyKeys(t *suite) {
	keys := t.weird()
	for _, key := range keys {
		t.put("from/"+key, t.content(key))
		if _, err := t.s.Copy(t.Context(), "to/"+key, "from/"+key, backend.CopyOptions{}); err != nil {
			t.Errorf("Copy %q: %v", key, err)
		}
	}
	for _, key := range keys {
		t.holds("to/"+key, t.content(key))
	}
}

// testCopyReplace: a copy may say anew what the object is, also of itself.
func testCopyReplace(t *suite) {
	p := pattern(3, 5000)
	a := attributes()
	t.put("o", p, backend.PutOptions{Attributes: backend.Attributes{ContentType: "image/png", Metadata: map[string]string{"old": "x"}}})
	for _, dst := range []string{"o2", "o"} {
		o, err := t.s.Copy(t.Context(), dst, "o", backend.CopyOptions{Replace: &a})
		if err != nil {
			t.Fatalf("Copy to %q with Replace: %v", dst, err)
		}
		st := t.holds(dst, p)
		t.described("Stat "+dst, st, a)
		if o.ETag != st.ETag || o.Size != st.Size {
			t.Errorf("Copy returned %+v, Stat %+v", o, st)
		}
	}
	if t.lacks(StickyAttributes) {
		return
	}
	if _, err := t.s.Copy(t.Context(), "o", "o", backend.CopyOptions{Replace: &backend.Attributes{}}); err != nil {
		t.Fatalf("Copy onto itself: %v", err)
	}
	t.described("Stat after Replace with nothing", t.holds("o", p), backend.Attributes{})
}
