package gcs

import (
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/vfs/vfstest"
)

// TestCopy: a copy keeps what the driver does not know of, in the class of its source, and is the version that was looked at.
func TestCopy(t *testing.T) {
	ctx := t.Context()
	c := newCloud(t)
	s := c.open(Config{StorageClass: "NEARLINE"})
	text := strings.Repeat("x", 5000)
	c.put("src", text)
	c.edit("src", func(o *stored) {
		o.StorageClass, o.CacheControl, o.Metadata = "COLDLINE", "no-store", map[string]string{"CamelCase": "v"}
	})
	if o, err := s.Copy(ctx, "dst", "src", backend.CopyOptions{}); err != nil || o.StorageClass != "COLDLINE" {
		t.Fatalf("%+v, %v", o, err)
	}
	c.edit("dst", func(o *stored) {
		if o.CacheControl != "no-store" || o.Metadata["CamelCase"] != "v" {
			t.Errorf("the copy has %q and %q", o.CacheControl, o.Metadata)
		}
	})
	if o, err := s.Copy(ctx, "dst", "src", backend.CopyOptions{Replace: &backend.Attributes{}}); err != nil || o.StorageClass != "NEARLINE" {
		t.Errorf("with new attributes: %+v, %v, want the class that is configured", o, err)
	}

	races := 0
	c.fail(func(this call) fault {
		if this.op == "rewrite" && races < 2 {
			races++
			c.write("src", []byte("newer"), &c.objects["src"].Object)
		}
		return fault{}
	})
	o, err := s.Copy(ctx, "dst", "src", backend.CopyOptions{})
	if got, readErr := readAll(s, t, "dst", backend.OpenOptions{}); err != nil || readErr != nil || got != "newer" || o.Size != 5 || races != 2 {
		t.Errorf("replaced twice meanwhile: %q, %v, %v", got, err, readErr)
	}
	races = 0
	pinned, err := s.Stat(ctx, "src")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Copy(ctx, "dst", "src", backend.CopyOptions{SrcETag: pinned.ETag}); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("the pinned version replaced meanwhile: %v, want ErrChanged", err)
	}
	for what, f := range map[string]func(call) fault{
		"503": on("rewrite", 1, fault{status: 503}), "reset": on("rewrite", 1, fault{reset: true}), "lost answer": on("rewrite", 1, fault{lose: true}),
	} {
		c.fail(f)
		if _, err := s.Copy(ctx, "made/"+what, "src", backend.CopyOptions{If: backend.Condition{Absent: true}}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	c.fail(always("rewrite", fault{sum: true}))
	if _, err := s.Copy(ctx, "dst", "src", backend.CopyOptions{}); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a copy with other bytes: %v, want ErrUnavailable", err)
	}
}

// TestReplace: a new time is one request that moves no bytes. The object is rewritten where a patch cannot do what is asked.
func TestReplace(t *testing.T) {
	ctx := t.Context()
	when := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	timed := backend.Attributes{ContentType: "text/plain", ModTime: when, Metadata: map[string]string{"a": "1"}}
	for name, tc := range map[string]struct {
		has  map[string]string
		a    backend.Attributes
		want string // the operation
	}{
		"a time":            {map[string]string{"a": "1"}, timed, "patch"},
		"another time":      {map[string]string{"a": "1", "mtime": "1999-01-01T00:00:00Z", googleKey: "915148800"}, timed, "patch"},
		"a key less":        {map[string]string{"a": "1", "b": "2"}, timed, "rewrite"},
		"nothing left":      {map[string]string{"a": "1", "b": "2"}, backend.Attributes{}, "patch"},
		"another class":     {map[string]string{"a": "1"}, backend.Attributes{StorageClass: "ARCHIVE", ModTime: when, Metadata: timed.Metadata}, "rewrite"},
		"the same as it is": {writeMetadata(timed), timed, ""},
	} {
		c := newCloud(t)
		s := c.open(Config{StorageClass: "NEARLINE"})
		c.put("o", "text")
		c.edit("o", func(o *stored) { o.ContentType, o.Metadata, o.CacheControl = "text/plain", tc.has, "no-store" })
		before, err := s.Stat(ctx, "o")
		if err != nil {
			t.Fatal(err)
		}
		c.fail(nil)
		o, err := s.Copy(ctx, "o", "o", backend.CopyOptions{Replace: &tc.a, SrcETag: before.ETag, If: backend.Condition{ETag: before.ETag}})
		if err != nil || !o.ModTime.Equal(tc.a.ModTime) || !maps.Equal(o.Metadata, nonNil(tc.a.Metadata)) || o.ContentType != contentType(tc.a.ContentType) || o.StorageClass != tc.a.StorageClass {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		var did []string
		for _, call := range c.calls("") {
			if call.op != "get" {
				did = append(did, call.op)
			}
		}
		if got := strings.Join(did, " "); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
		if (o.ETag == before.ETag) != (tc.want != "rewrite") {
			t.Errorf("%s: the version went from %s to %s", name, before.ETag, o.ETag)
		}
		c.edit("o", func(o *stored) {
			if o.CacheControl != "no-store" || string(o.data) != "text" {
				t.Errorf("%s: changed more: %+v", name, o)
			}
		})
		for what, cond := range map[string]backend.Condition{"Absent": {Absent: true}, "ETag": {ETag: "17"}} {
			if _, err := s.Copy(ctx, "o", "o", backend.CopyOptions{Replace: &tc.a, If: cond}); !errors.Is(err, backend.ErrChanged) {
				t.Errorf("%s, %s: %v, want ErrChanged", name, what, err)
			}
		}
	}
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// TestReplaceRaces: attributes that somebody changed meanwhile are looked at again; a lost answer is recognized.
func TestReplaceRaces(t *testing.T) {
	ctx := t.Context()
	c := newCloud(t)
	s := c.open(Config{})
	c.put("o", "text")
	a := backend.Attributes{ModTime: time.Unix(1, 0)}
	c.fail(func(this call) fault {
		if this.op == "patch" && this.nth == 1 {
			c.objects["o"].Metageneration++
			c.objects["o"].Metadata = map[string]string{"foreign": "x"}
		}
		return fault{}
	})
	o, err := s.Copy(ctx, "o", "o", backend.CopyOptions{Replace: &a})
	if err != nil || !o.ModTime.Equal(a.ModTime) || len(o.Metadata) > 0 {
		t.Errorf("changed meanwhile: %+v, %v", o, err)
	}
	c.put("o", "text")
	c.fail(on("patch", 1, fault{lose: true}))
	if o, err = s.Copy(ctx, "o", "o", backend.CopyOptions{Replace: &a}); err != nil || !o.ModTime.Equal(a.ModTime) {
		t.Errorf("lost answer: %+v, %v", o, err)
	}
	c.fail(always("patch", fault{status: 412, reason: "conditionNotMet"}))
	a.ModTime = time.Unix(2, 0)
	if _, err = s.Copy(ctx, "o", "o", backend.CopyOptions{Replace: &a}); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("changed for ever: %v, want ErrChanged", err)
	}
}

// TestMove: one step, under the conditions of both sides.
func TestMove(t *testing.T) {
	ctx := t.Context()
	for name, tc := range map[string]struct {
		fault func(call) fault
		opts  backend.MoveOptions // an ETag "src" or "dst" stands for that of the object
		want  error
	}{
		"plain":               {nil, backend.MoveOptions{}, nil},
		"both versions":       {nil, backend.MoveOptions{SrcETag: "src", If: backend.Condition{ETag: "dst"}}, nil},
		"source replaced":     {nil, backend.MoveOptions{SrcETag: "17"}, backend.ErrChanged},
		"target replaced":     {nil, backend.MoveOptions{If: backend.Condition{ETag: "17"}}, backend.ErrChanged},
		"target there":        {nil, backend.MoveOptions{If: backend.Condition{Absent: true}}, backend.ErrChanged},
		"503 once":            {on("move", 1, fault{status: 503}), backend.MoveOptions{}, nil},
		"503 for ever":        {always("move", fault{status: 503}), backend.MoveOptions{}, backend.ErrUnavailable},
		"lost answer":         {on("move", 1, fault{lose: true}), backend.MoveOptions{If: backend.Condition{ETag: "dst"}}, nil},
		"reset, then refused": {on("move", 1, fault{reset: true}), backend.MoveOptions{If: backend.Condition{Absent: true}}, backend.ErrChanged},
		"lost, and resent":    {on("move", 1, fault{lose: true}), backend.MoveOptions{SrcETag: "src", If: backend.Condition{ETag: "dst"}}, nil},
		"without it, 400":     {always("move", fault{status: 400, reason: "invalid"}), backend.MoveOptions{SrcETag: "src"}, backend.ErrUnsupported},
		"without it, 404":     {always("move", fault{status: 404}), backend.MoveOptions{SrcETag: "src"}, backend.ErrUnsupported},
		"without it, 405":     {always("move", fault{status: 405}), backend.MoveOptions{}, backend.ErrUnsupported},
		"held":                {always("move", fault{status: 403, reason: "retentionPolicyNotMet"}), backend.MoveOptions{}, backend.ErrPermission},
	} {
		c := newCloud(t)
		s := c.open(Config{})
		c.put("src", "text")
		c.put("dst", "old")
		etag := map[string]string{"17": "17", "": ""}
		for _, key := range []string{"src", "dst"} {
			o, err := s.Stat(ctx, key)
			if err != nil {
				t.Fatal(err)
			}
			etag[key] = o.ETag
		}
		tc.opts.SrcETag, tc.opts.If.ETag = etag[tc.opts.SrcETag], etag[tc.opts.If.ETag]
		c.fail(tc.fault)
		o, err := s.Move(ctx, "dst", "src", tc.opts)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		c.fail(nil)
		want, content := []string{"dst"}, "text"
		if tc.want != nil {
			want, content = []string{"dst", "src"}, "old"
		}
		got, readErr := readAll(s, t, "dst", backend.OpenOptions{})
		if keys := c.keys(); !slices.Equal(keys, want) || got != content || readErr != nil || err == nil && o.Size != 4 {
			t.Errorf("%s: the bucket holds %q, dst is %q, %+v, %v", name, keys, got, o, readErr)
		}
	}
	c := newCloud(t)
	s := c.open(Config{})
	if _, err := s.Move(ctx, "dst", "src", backend.MoveOptions{}); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("a missing source: %v, want ErrNotExist", err)
	}
	if _, err := s.Move(ctx, "dst", "src", backend.MoveOptions{SrcETag: "17"}); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("a version of a missing source: %v, want ErrChanged", err)
	}
	// What others did at the same time is not taken for a lost answer: the source went elsewhere, and dst is what it was.
	c.put("src", "text")
	c.put("dst", "old")
	src, err := s.Stat(ctx, "src")
	if err != nil {
		t.Fatal(err)
	}
	dst, err := s.Stat(ctx, "dst")
	if err != nil {
		t.Fatal(err)
	}
	c.fail(func(this call) fault {
		if this.op == "move" && this.nth == 1 {
			delete(c.objects, "src")
			return fault{reset: true}
		}
		return fault{}
	})
	if _, err := s.Move(ctx, "dst", "src", backend.MoveOptions{SrcETag: src.ETag, If: backend.Condition{ETag: dst.ETag}}); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("a source that went elsewhere: %v, want ErrChanged", err)
	}
}

// TestMoveRequests: one request where the version is known; and a server without the call is asked for it once, unless the names may be why.
func TestMoveRequests(t *testing.T) {
	ctx := t.Context()
	c := newCloud(t)
	s := c.open(Config{})
	c.put("a", "text")
	a, err := s.Stat(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	c.fail(nil)
	b, err := s.Move(ctx, "b", "a", backend.MoveOptions{SrcETag: a.ETag, If: backend.Condition{Absent: true}})
	if all := c.calls(""); err != nil || len(all) != 1 || all[0].query.Get("ifGenerationMatch") != "0" || all[0].query.Get("ifSourceGenerationMatch") != a.ETag {
		t.Errorf("%v, requests %+v", err, all)
	}
	for status, again := range map[int]bool{400: true, 404: false, 405: false, 501: false} {
		s := c.open(Config{})
		c.fail(always("move", fault{status: status}))
		for try := range 2 {
			asked := len(c.calls("move"))
			if _, err := s.Move(ctx, "c", "b", backend.MoveOptions{SrcETag: b.ETag}); !errors.Is(err, backend.ErrUnsupported) {
				t.Errorf("%d: %v, want ErrUnsupported", status, err)
			}
			if n := len(c.calls("move")); (n > asked) != (try == 0 || again) {
				t.Errorf("a server that answers %d was asked %d times, and then %d", status, asked, n)
			}
		}
	}
}

// TestKeys: who pays and which keys encrypt is said with every request that has to know it.
func TestKeys(t *testing.T) {
	const kms = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
	secret := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	work := func(c *cloud, s *Store) {
		ctx := t.Context()
		var parts []string
		for range fanIn + 1 {
			parts = append(parts, "part ")
		}
		_, put := s.Put(ctx, "a", []byte("text"), backend.PutOptions{})
		u := begin(t, s, "o", backend.PutOptions{}, parts...)
		copied := u.CopyPart(ctx, 1, "a", 0, 4, backend.CopyPartOptions{})
		_, commit := u.Commit(ctx, len(parts))
		_, dup := s.Copy(ctx, "b", "a", backend.CopyOptions{})
		_, moved := s.Move(ctx, "d", "b", backend.MoveOptions{})
		_, read := readAll(s, t, "o", backend.OpenOptions{})
		_, listed := list(s, t, "")
		if err := errors.Join(put, copied, commit, dup, moved, read, listed, s.Delete(ctx, "o", backend.DeleteOptions{})); err != nil {
			t.Fatal(err)
		}
	}
	c := newCloud(t)
	work(c, c.open(Config{KMSKey: kms, UserProject: "payer"}))
	for _, call := range c.calls("") {
		if call.query.Get("userProject") != "payer" && call.head.Get("X-Goog-User-Project") != "payer" {
			t.Errorf("%s does not say who pays: %v", call.op, call.query)
		}
		var got string
		switch call.op {
		case "insert", "compose":
			got = call.query.Get("kmsKeyName")
		case "rewrite":
			got = call.query.Get("destinationKmsKeyName")
		default:
			continue
		}
		if got != kms {
			t.Errorf("%s %s names the key %q", call.op, call.name, got)
		}
	}

	c = newCloud(t)
	work(c, c.open(Config{CustomerKey: secret}))
	for _, call := range c.calls("") {
		want := slices.Contains([]string{"insert", "compose", "rewrite", "move", "get", "read"}, call.op)
		if got := call.head.Get("X-Goog-Encryption-Key"); want && got != secret || !want && got != "" {
			t.Errorf("%s %s has the key %q", call.op, call.name, got)
		}
		if got := call.head.Get("X-Goog-Copy-Source-Encryption-Key"); call.op == "rewrite" && got != secret {
			t.Errorf("%s %s opens its source with %q", call.op, call.name, got)
		}
	}
}

// TestAppends: what is there stays there, and of a cut head alone the bytes are read.
func TestAppends(t *testing.T) {
	vfstest.Appends(t, func(t *testing.T) (backend.Store, func() int) {
		c := newCloud(t)
		return c.open(Config{}), func() int { return len(c.calls("read")) }
	})
}
