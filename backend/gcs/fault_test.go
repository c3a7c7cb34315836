package gcs

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"sluice/backend"
)

// on is a fault of the nth request of an operation.
func on(op string, nth int, f fault) func(call) fault {
	return func(c call) fault {
		if c.op == op && c.nth == nth {
			return f
		}
		return fault{}
	}
}

// always is a fault of every request of an operation.
func always(op string, f fault) func(call) fault {
	return func(c call) fault {
		if c.op == op {
			return f
		}
		return fault{}
	}
}

func readAll(s *Store, t *testing.T, key string, opts backend.OpenOptions) (string, error) {
	t.Helper()
	r, _, err := s.Open(t.Context(), key, opts)
	if err != nil {
		return "", err
	}
	p, err := io.ReadAll(r)
	return string(p), errors.Join(err, r.Close())
}

// TestReadFaults: a broken body is continued, from the same version or not at all.
func TestReadFaults(t *testing.T) {
	c := newCloud(t)
	s := c.open(Config{})
	text := strings.Repeat("0123456789", 1000)
	c.put("o", text)

	c.fail(on("read", 1, fault{cut: 4000}))
	if got, err := readAll(s, t, "o", backend.OpenOptions{}); err != nil || got != text {
		t.Errorf("cut in the middle: %d bytes, %v", len(got), err)
	}
	reads := c.calls("read")
	if len(reads) != 2 || reads[1].head.Get("Range") != "bytes=4000-" || reads[1].query.Get("generation") == "" {
		t.Errorf("continued with %+v", reads)
	}

	c.fail(on("read", 1, fault{cut: 100}))
	if got, err := readAll(s, t, "o", backend.OpenOptions{Offset: 5000, Length: 1000}); err != nil || got != text[5000:6000] {
		t.Errorf("range cut in the middle: %d bytes, %v", len(got), err)
	}
	if reads = c.calls("read"); len(reads) != 2 || reads[1].head.Get("Range") != "bytes=5100-5999" {
		t.Errorf("range continued with %+v", reads)
	}

	c.fail(func(this call) fault {
		if this.nth == 1 {
			return fault{cut: 4000}
		}
		c.write("o", []byte(text), &c.objects["o"].Object) // the same bytes, and yet another version
		return fault{}
	})
	if _, err := readAll(s, t, "o", backend.OpenOptions{}); !errors.Is(err, backend.ErrChanged) || errors.Is(err, backend.ErrNotExist) {
		t.Errorf("replaced while the body was cut: %v, want ErrChanged", err)
	}

	for _, f := range []fault{{}, {deaf: true}} {
		c.fail(always("read", f))
		if _, err := readAll(s, t, "o", backend.OpenOptions{ETag: "17"}); !errors.Is(err, backend.ErrChanged) {
			t.Errorf("another version, deaf %v: %v, want ErrChanged", f.deaf, err)
		}
		if got := c.calls("read")[0].head.Get("X-Goog-If-Generation-Match"); got != "17" {
			t.Errorf("asked for version %q", got)
		}
	}

	c.fail(always("read", fault{cut: 100, sum: true}))
	if got, err := readAll(s, t, "o", backend.OpenOptions{}); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("bytes that do not fit their checksum: %d, %v, want ErrUnavailable", len(got), err)
	}

	c.fail(always("read", fault{status: 503, reason: "ServiceUnavailable"}))
	_, err := readAll(s, t, "o", backend.OpenOptions{})
	if !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), "request-7") || strings.Contains(err.Error(), "\n") {
		t.Errorf("503: %v, want ErrUnavailable, the request id, one line", err)
	}
	if n := len(c.calls("read")); n != 3 {
		t.Errorf("%d tries, want 3", n)
	}
}

// each are the faults of the requests of an operation, one after the other.
func each(op string, faults ...fault) func(call) fault {
	return func(c call) fault {
		if c.op != op || c.nth > len(faults) {
			return fault{}
		}
		return faults[c.nth-1]
	}
}

// lostAndSilent loses the answer to a write, and tells nothing of what has become of it.
func lostAndSilent(c call) fault {
	switch {
	case c.op == "insert" && c.nth == 1:
		return fault{lose: true}
	case c.op == "get":
		return fault{status: 503}
	}
	return fault{}
}

// TestWriteFaults: what failed is sent again whole, and a write whose answer was lost is recognized.
func TestWriteFaults(t *testing.T) {
	text := bytes.Repeat([]byte("abc"), 100_000)
	create := backend.PutOptions{If: backend.Condition{Absent: true}}
	for name, tc := range map[string]struct {
		fault func(call) fault
		opts  backend.PutOptions
		tries int
		want  error // nil: the object is there
	}{
		"503 once":             {on("insert", 1, fault{status: 503}), create, 2, nil},
		"429 twice":            {func(c call) fault { return fault{status: map[int]int{1: 429, 2: 429}[c.nth]} }, create, 3, nil},
		"429 for ever":         {always("insert", fault{status: 429, reason: "rateLimitExceeded"}), create, 3, backend.ErrUnavailable},
		"reset":                {on("insert", 1, fault{reset: true}), create, 2, nil},
		"reset for ever":       {always("insert", fault{reset: true}), backend.PutOptions{}, 3, backend.ErrUnavailable},
		"lost answer":          {on("insert", 1, fault{lose: true}), create, 2, nil},
		"lost, then 503":       {each("insert", fault{lose: true}, fault{status: 503}, fault{status: 503}), create, 3, nil},
		"lost for ever":        {always("insert", fault{lose: true}), backend.PutOptions{}, 3, nil},
		"lost, and not found":  {lostAndSilent, create, 2, backend.ErrUnavailable},
		"lost, no condition":   {on("insert", 1, fault{lose: true}), backend.PutOptions{}, 2, nil},
		"wrong sum once":       {on("insert", 1, fault{sum: true}), backend.PutOptions{}, 2, nil},
		"wrong sum for ever":   {always("insert", fault{sum: true}), backend.PutOptions{}, 3, nil},
		"wrong size for ever":  {always("insert", fault{size: true}), backend.PutOptions{}, 3, nil},
		"damaged once":         {on("insert", 1, fault{damage: true}), create, 2, nil},
		"damaged for ever":     {always("insert", fault{damage: true}), create, 3, backend.ErrUnavailable},
		"forbidden":            {always("insert", fault{status: 403, reason: "forbidden"}), create, 1, backend.ErrPermission},
		"condition":            {always("insert", fault{status: 412, reason: "conditionNotMet"}), create, 1, backend.ErrChanged},
		"somebody else's work": {each("insert", fault{status: 503}, fault{status: 412}), create, 2, backend.ErrChanged},
	} {
		c := newCloud(t)
		s := c.open(Config{})
		c.fail(tc.fault)
		o, err := s.Put(t.Context(), "o", text, tc.opts)
		if tries := len(c.calls("insert")); tries != tc.tries || !errors.Is(err, tc.want) {
			t.Errorf("%s: %v after %d tries, want %v after %d", name, err, tries, tc.want, tc.tries)
		}
		c.fail(nil)
		if tc.want != nil {
			if keys := c.keys(); len(keys) > 0 && !strings.HasPrefix(name, "lost") {
				t.Errorf("%s: the bucket holds %q", name, keys)
			}
			continue
		}
		st, err := s.Stat(t.Context(), "o")
		if got, readErr := readAll(s, t, "o", backend.OpenOptions{}); err != nil || readErr != nil || got != string(text) || st.ETag != o.ETag {
			t.Errorf("%s: %d bytes, %+v, %v, %v; Put says %+v", name, len(got), st, err, readErr, o)
		}
	}
}

// TestDeleteFaults: the second try may meet the work of the first.
func TestDeleteFaults(t *testing.T) {
	c := newCloud(t)
	s := c.open(Config{})
	for _, pinned := range []bool{false, true} {
		c.put("o", "text")
		var opts backend.DeleteOptions
		if pinned {
			o, err := s.Stat(t.Context(), "o")
			if err != nil {
				t.Fatal(err)
			}
			opts.ETag = o.ETag
		}
		c.fail(on("delete", 1, fault{lose: true}))
		if err := s.Delete(t.Context(), "o", opts); err != nil || len(c.keys()) > 0 {
			t.Errorf("pinned %v, lost answer: %v, left %q", pinned, err, c.keys())
		}
	}
	c.put("o", "text")
	c.fail(always("delete", fault{status: 404, reason: "notFound"}))
	if err := s.Delete(t.Context(), "o", backend.DeleteOptions{ETag: "17"}); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("a version that is gone: %v, want ErrChanged", err)
	}
	c.fail(on("delete", 1, fault{status: 503}))
	if err := s.Delete(t.Context(), "o", backend.DeleteOptions{ETag: "17"}); !errors.Is(err, backend.ErrChanged) || len(c.keys()) != 1 {
		t.Errorf("another version, second try: %v, want ErrChanged", err)
	}
}

// TestListFaults: a listing that cannot go on ends in an error.
func TestListFaults(t *testing.T) {
	c := newCloud(t)
	s := c.open(Config{PageSize: 2})
	for _, k := range []string{"a", "b", "c", "d", "e"} {
		c.put(k, k)
	}
	c.fail(on("list", 2, fault{status: 503}))
	if got, err := list(s, t, ""); err != nil || got != "a b c d e" {
		t.Errorf("one failure: %q, %v", got, err)
	}
	c.fail(func(c call) fault {
		if c.op == "list" && c.nth > 1 {
			return fault{status: 500}
		}
		return fault{}
	})
	if got, err := list(s, t, ""); !errors.Is(err, backend.ErrUnavailable) || got != "a b" {
		t.Errorf("failing for ever: %q, %v, want the first page and ErrUnavailable", got, err)
	}
}

// list returns the keys of a listing that is not recursive, with blanks between them.
func list(s *Store, t *testing.T, prefix string) (string, error) {
	t.Helper()
	var keys []string
	for e, err := range s.List(t.Context(), prefix, backend.ListOptions{}) {
		if err != nil {
			return strings.Join(keys, " "), err
		}
		keys = append(keys, e.Key)
	}
	return strings.Join(keys, " "), nil
}
