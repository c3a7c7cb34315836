package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
)

func TestConcat(t *testing.T) {
	noCopy := smallCaps()
	noCopy.CopyPart, noCopy.MaxPart = false, 200
	for name, caps := range map[string]backend.Caps{"small": smallCaps(), "no part copy": noCopy, "large": mem.DefaultCaps()} {
		for _, sizes := range [][]int{
			{}, {0}, {0, 0}, {1}, {5}, {150}, {151}, {5, 5, 5}, {5, 5, 4}, {0, 5, 0, 4, 0}, {4, 5}, {5, 4, 5}, {5, 4, 4, 4, 30},
			{250, 3}, {250, 3, 250}, {200, 200, 1}, {201, 201, 201}, {1, 700}, {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, {400, 200, 100, 3},
		} {
			for _, onto := range []bool{false, true} {
				s, other := mem.New(mem.Config{Caps: &caps}), mem.New(mem.Config{})
				e := New(Config{PartSize: 10})
				var sources []Source
				var want []byte
				var keys []string
				for i, n := range sizes {
					key := fmt.Sprintf("%02d", i)
					src := Source{Object: mustPut(t, s, key, pattern(n))}
					if i == 3 && len(sizes) < 10 { // this one is elsewhere
						mustPut(t, s, key, []byte("not this"))
						src = Source{Object: mustPut(t, other, key, pattern(n)), Store: other}
					}
					sources, want, keys = append(sources, src), append(want, pattern(n)...), append(keys, key)
				}
				dst, opts := "to", backend.PutOptions{If: backend.Condition{Absent: true}}
				if onto && len(sizes) > 0 {
					dst, opts.If = keys[0], backend.Condition{ETag: sources[0].ETag}
				} else {
					keys = append(keys, dst)
				}
				opts.ContentType = "a/b"
				obj, err := e.Concat(t.Context(), s, dst, sources, opts)
				if err != nil || obj.Size != int64(len(want)) || obj.ContentType != "a/b" || !bytes.Equal(content(t, s, dst), want) {
					t.Errorf("%s, %v: %+v, %v", name, sizes, obj, err)
				}
				wantOnly(t, s, keys...)
				if e.Stats() != (Stats{BufferLimit: e.budget.size}) {
					t.Errorf("%s, %v: left over: %+v", name, sizes, e.Stats())
				}
			}
		}
	}
}

// What the store can join by itself does not pass through this process.
func TestConcatInside(t *testing.T) {
	for _, c := range []struct {
		sizes  []int
		opens  int
		copies int
	}{
		{[]int{5, 5, 5}, 0, 3}, {[]int{5, 5, 1}, 0, 3}, {[]int{5, 5, 0}, 1, 2}, {[]int{401, 5, 3}, 0, 5}, {[]int{5, 5, 4, 5}, 2, 2}, {[]int{4, 5, 5}, 3, 0},
	} {
		caps := smallCaps()
		s := mem.New(mem.Config{Caps: &caps})
		var sources []Source
		for i, n := range c.sizes {
			sources = append(sources, Source{Object: mustPut(t, s, fmt.Sprint(i), pattern(n))})
		}
		if _, err := New(Config{PartSize: 10}).Concat(t.Context(), s, "to", sources, backend.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if s.Count("open") != c.opens || s.Count("copypart") != c.copies {
			t.Errorf("%v: %d opens, %d copies", c.sizes, s.Count("open"), s.Count("copypart"))
		}
	}
}

func TestConcatRefused(t *testing.T) {
	for _, copyPart := range []bool{true, false} {
		caps := smallCaps()
		caps.CopyPart = copyPart
		s := mem.New(mem.Config{Caps: &caps})
		e := New(Config{PartSize: 10})
		a, b := Source{Object: mustPut(t, s, "a", pattern(50))}, Source{Object: mustPut(t, s, "b", pattern(50))}
		mustPut(t, s, "there", nil)
		for _, c := range []struct {
			what    string
			sources []Source
			cond    backend.Condition
			want    error
		}{
			{"not absent", []Source{a, b}, backend.Condition{Absent: true}, backend.ErrChanged},
			{"another version", []Source{a, b}, backend.Condition{ETag: "x"}, backend.ErrChanged},
			{"changed source", []Source{a, {Object: backend.Object{Key: "b", Size: 50, ETag: "x"}}}, backend.Condition{}, backend.ErrChanged},
			{"changed empty source", []Source{a, {Object: backend.Object{Key: "b", ETag: "x"}}}, backend.Condition{}, backend.ErrChanged},
			{"missing source", []Source{a, {Object: backend.Object{Key: "c", Size: 50, ETag: "x"}}}, backend.Condition{}, backend.ErrNotExist},
			{"too large", []Source{a, {Object: backend.Object{Key: "b", Size: 9951, ETag: b.ETag}}}, backend.Condition{}, backend.ErrTooLarge},
			{"far too large", []Source{{Object: backend.Object{Key: "b", Size: 1<<63 - 1}}, a, b}, backend.Condition{}, backend.ErrTooLarge},
		} {
			_, err := e.Concat(t.Context(), s, "there", c.sources, backend.PutOptions{If: c.cond})
			if !errors.Is(err, c.want) || len(content(t, s, "there")) != 0 {
				t.Errorf("%s: %v", c.what, err)
			}
			wantOnly(t, s, "a", "b", "there")
		}
	}
}
