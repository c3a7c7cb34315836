package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/backend"
)

var listCases = []testcase{
	{"List", "", testList},
	{"ListNested", Nested, testListNested},
	{"ListPages", "", testPages},
	{"ListBreak", "", testBreak},
	{"ListCancel", "", testListCancel},
	{"ListWhileDeleting", "", testListDeleting},
}

// expect is what a listing of keys must yield, computed the slow way.
func expect(keys []string, prefix string, opts backend.ListOptions) []string {
	var out []string
	for _, key := range slices.Sorted(slices.Values(keys)) {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if i := strings.IndexByte(rest, '/'); i >= 0 && !opts.Recursive {
			key = key[:len(prefix)+i+1]
		}
		if key > opts.After && (len(out) == 0 || out[len(out)-1] != key) {
			out = append(out, key)
		}
	}
	return out
}

// compare lists keys in many ways and checks the entries.
func compare(t *suite, keys, prefixes []string) {
	for _, prefix := range prefixes {
		afters := []string{""}
		for _, recursive := range []bool{true, false} {
			afters = append(afters, expect(keys, prefix, backend.ListOptions{Recursive: recursive})...)
		}
		afters = append(afters, prefix+"a/b", prefix+"b", prefix+"\U0010FFFF")
		for _, recursive := range []bool{true, false} {
			for _, after := range afters {
				opts := backend.ListOptions{Recursive: recursive, After: after}
				if got, want := t.list(prefix, opts), expect(keys, prefix, opts); !slices.Equal(got, want) {
					t.Errorf("List %q %+v:\n     %q\nwant %q", prefix, opts, got, want)
				}
			}
		}
		for e, err := range t.s.List(t.Context(), prefix, backend.ListOptions{}) {
			if err != nil {
				t.Fatalf("List %q: %v", prefix, err)
			}
			object := slices.Contains(keys, e.Key) && !strings.Contains(e.Key[len(prefix):], "/")
			switch {
			case e.Prefix == object:
				t.Errorf("List %q: %q has Prefix %v", prefix, e.Key, e.Prefix)
			case object && (e.ETag == "" || e.Updated.IsZero() || e.Size != int64(len(t.content(e.Key)))):
				t.Errorf("List %q: row %+v", prefix, e.Object)
			case !object && (e.ETag != "" || e.Size != 0 || !strings.HasSuffix(e.Key, "/")):
				t.Errorf("List %q: prefix row %+v", prefix, e)
			}
		}
	}
}

func fill(t *suite, keys []string) {
	for _, key := range keys {
		t.put(key, t.content(key))
	}
}

// testList has neighbours of "/" in byte order, where the order of keys is not that of folders, and letters whose order in
// UTF-16 is not that of their bytes.
func testList(t *suite) {
	if got := t.list("", backend.ListOptions{}); got != nil {
		t.Errorf("a new store lists %q", got)
	}
	keys := []string{
		"a-b", "a.b", "a/b", "a/c/d", "a/c/e", "a/c-d", "a0", "ab", "b/", "b/x", "c/only/below", "dir", "dir-1/x", "dir.txt", "dirs/a", "e/f/g/h/i",
		"Z", "\u00e9", "e\u0301", "\uff5e/x", "\U0001F980/x", "sp ace/x", "sp/x", "sp!/y", "x%2Fy", "+/+",
	}
	fill(t, keys)
	compare(t, keys, []string{"", "a", "a/", "a/c", "a/c/", "b", "b/", "c/", "dir", "dir-1/", "e/f/", "none", "none/", "sp", "sp ", "\uff5e/", "+", "a/b/"})
	if got := t.list("", backend.ListOptions{Limit: 1}); !slices.Equal(got, expect(keys, "", backend.ListOptions{})) {
		t.Errorf("Limit is a hint, but with it the listing ends after %q", got)
	}
}

func testListNested(t *suite) {
	keys := []string{"a", "a/", "a/b", "a/b/c", "a-", "a.", "a/b.", "a/b/", "a/b-/x", "a0", "a0/x"}
	fill(t, keys)
	compare(t, keys, []string{"", "a", "a/", "a/b", "a/b/"})
}

// many makes keys for several pages, some of them in folders.
func many(t *suite) []string {
	var keys []string
	for i := range 3*t.Page + 1 {
		keys = append(keys, fmt.Sprintf("p/%04d", i), fmt.Sprintf("p/d%03d/x", i), fmt.Sprintf("p/d%03d/y", i))
	}
	return keys
}

func testPages(t *suite) {
	keys := many(t)
	fill(t, keys)
	for _, prefix := range []string{"", "p", "p/", "p/d"} {
		for _, recursive := range []bool{true, false} {
			opts := backend.ListOptions{Recursive: recursive}
			want := expect(keys, prefix, opts)
			if got := t.list(prefix, opts); !slices.Equal(got, want) {
				t.Errorf("List %q %+v: %d entries %q\nwant %d %q", prefix, opts, len(got), got, len(want), want)
			}
			if len(want) == 0 {
				continue
			}
			opts.After = want[len(want)/2]
			if got, want := t.list(prefix, opts), want[len(want)/2+1:]; !slices.Equal(got, want) {
				t.Errorf("List %q %+v: %q\nwant %q", prefix, opts, got, want)
			}
		}
	}
}

// testBreak leaves a listing early, and uses the store from within one.
func testBreak(t *suite) {
	keys := many(t)
	fill(t, keys)
	for n := 1; n <= t.Page+1; n++ {
		var got []string
		for e, err := range t.s.List(t.Context(), "", backend.ListOptions{Recursive: true}) {
			if err != nil {
				t.Fatalf("List: %v", err)
			}
			if _, err := t.s.Stat(t.Context(), e.Key); err != nil {
				t.Errorf("Stat %q within List: %v", e.Key, err)
			}
			if got = append(got, e.Key); len(got) == n {
				break
			}
		}
		if want := expect(keys, "", backend.ListOptions{Recursive: true})[:n]; !slices.Equal(got, want) {
			t.Errorf("the first %d keys are %q, want %q", n, got, want)
		}
	}
}

// testListCancel: a listing whose context ends must not look complete.
func testListCancel(t *suite) {
	fill(t, many(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	var after int
	for _, err := range t.s.List(ctx, "", backend.ListOptions{Recursive: true}) {
		cancel()
		if last != nil {
			after++
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) || after > 0 {
		t.Errorf("the cancelled listing ended with %v, and %d entries after an error", last, after)
	}
}

// testListDeleting deletes each object as it is listed, as removing a tree does.
func testListDeleting(t *suite) {
	keys := many(t)
	fill(t, keys)
	var got []string
	for e, err := range t.s.List(t.Context(), "p/", backend.ListOptions{Recursive: true}) {
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		got = append(got, e.Key)
		if err := t.s.Delete(t.Context(), e.Key, backend.DeleteOptions{}); err != nil {
			t.Fatalf("Delete %q: %v", e.Key, err)
		}
	}
	if want := slices.Sorted(slices.Values(keys)); !slices.Equal(got, want) {
		t.Errorf("listed %q\nwant %q", got, want)
	}
	if rest := t.list("", backend.ListOptions{}); rest != nil {
		t.Errorf("%q are left", rest)
	}
}
