package storetest

import (
	"fmt"

	"sluice/backend"
)

var moveCases = []testcase{
	{"Move", "", testMove},
	{"MoveConditions", Moves, testMoveConditions},
	{"MoveKeys", Moves, testMoveKeys},
}

// testMove: the object is under its new name alone, as it was. A store without the call says so and does nothing.
func testMove(t *suite) {
	p := pattern(3, 5000)
	t.put("src", p, backend.PutOptions{Attributes: attributes()})
	t.put("dir/dst", []byte("old"))
	t.holds("src", p)
	t.holds("dir/dst", []byte("old"))
	src := "src"
	for _, dst := range []string{"dir/dst", "dir/new"} {
		o, err := t.s.Move(t.Context(), dst, src, backend.MoveOptions{})
		if !t.s.Caps().Move || t.lacks(Moves) {
			t.is("Move where there is none", err, backend.ErrUnsupported)
			t.holds(src, p)
			t.holds("dir/dst", []byte("old"))
			return
		}
		if err != nil {
			t.Fatalf("Move: %v", err)
		}
		t.absent(src)
		st := t.holds(dst, p)
		if o.Key != dst || o.Size != int64(len(p)) || o.ETag != st.ETag {
			t.Errorf("Move returned %+v, Stat %+v", o, st)
		}
		t.described("Stat "+dst, st, attributes())
		src = dst
	}
	_, err := t.s.Move(t.Context(), "dir/none", "src", backend.MoveOptions{})
	t.is("Move of what is gone", err, backend.ErrNotExist)
	t.absent("dir/none")
}

// testMoveConditions: neither side may be another version than the caller thinks.
func testMoveConditions(t *suite) {
	if !t.s.Caps().Move || !t.s.Caps().Conditional {
		return
	}
	var n int
	conditions(t, func(key string, body []byte, c backend.Condition) error {
		n++
		src := fmt.Sprintf("src%d", n)
		cur := t.put(src, body)
		_, err := t.s.Move(t.Context(), key, src, backend.MoveOptions{If: c, SrcETag: cur.ETag})
		if err != nil {
			t.holds(src, body)
		} else {
			t.absent(src)
		}
		return err
	})
	old := t.put("src", []byte("old"))
	t.put("src", []byte("current"))
	_, err := t.s.Move(t.Context(), "dst", "src", backend.MoveOptions{SrcETag: old.ETag})
	t.is("Move of a version that was replaced", err, backend.ErrChanged)
	t.holds("src", []byte("current"))
	t.absent("dst")
	_, err = t.s.Move(t.Context(), "dst", "gone", backend.MoveOptions{SrcETag: old.ETag})
	t.is("Move of a version of what is gone", err, backend.ErrChanged)
}

func testMoveKeys(t *suite) {
	if !t.s.Caps().Move {
		return
	}
	keys := t.weird()
	for _, key := range keys {
		t.put("from/"+key, t.content(key))
		if _, err := t.s.Move(t.Context(), "to/"+key, "from/"+key, backend.MoveOptions{}); err != nil {
			t.Errorf("Move %q: %v", key, err)
		}
	}
	for _, key := range keys {
		t.holds("to/"+key, t.content(key))
		t.absent("from/" + key)
	}
}
