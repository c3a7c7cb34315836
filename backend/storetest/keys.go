package storetest

import (
	"bytes"
	"slices"
	"strings"

	"sluice/backend"
)

var keyCases = []testcase{
	{"Keys", "", testKeys},
	{"KeysNested", Nested, testNested},
	{"KeysEmptySegments", EmptySegments, func(t *suite) { roundTrip(t, []string{"a//b", "//", "/lead", "x//", "x///y", "/"}) }},
	{"KeysBackslash", Backslash, func(t *suite) { roundTrip(t, []string{`a\b`, `\`, `..\x`, `a\..\b`}) }},
	{"KeysLong", LongKeys, func(t *suite) { roundTrip(t, longKeys(t.s.Caps().MaxKey)) }},
	{"KeysLongNames", LongNames, func(t *suite) {
		roundTrip(t, []string{strings.Repeat("n", 256), "d/" + strings.Repeat("ü", 200), strings.Repeat("m", 300) + "/", strings.Repeat("n", 256) + "2"})
	}},
	{"KeysRefused", "", testRefused},
}

// weird are keys that every store takes, and that something between the caller and the store may want to read differently.
var weird = []string{
	" lead", "trail ", "in side", "  ", "'quote'", `"double"`, "a+b", "a%b", "%41", "%2F", "%2e%2e", "a%20b", "what?", "#frag", "a&b=c", "semi;colon",
	"colon:x", "C:", "at@x", "tilde~", "!$()*,[]{}|^`", "<tag/>&amp;", "tab\tkey", "bell\x07", "del\x7f",
	"caf\u00e9", "cafe\u0301", // NFC and NFD: two keys
	"\U0001F980.txt", "\uff5e", "日本語/ファイル", "\u202eabc", "\u00a0", "\ufeffbom",
	"...", "..a", "a..", ".hidden", ".a/.b", "-dash", "CON", "con.txt", "Case", "case", "marker/", "deep/er/marker/",
	".sluice", ".sluice/uploads/x", "%", "%zz", "\u2215", "nul%00", "x%0d%0a",
}

// weird leaves out what a server is known to lack: objects with the names of folders, and control bytes.
func (t *suite) weird() []string {
	return slices.DeleteFunc(slices.Clone(weird), func(key string) bool {
		if t.Lacks[ControlBytes] != "" && strings.ContainsAny(key, "\x07") {
			return true
		}
		return t.Lacks[Nested] != "" && slices.ContainsFunc(weird, func(other string) bool { return strings.HasPrefix(other, key+"/") })
	})
}

func longKeys(n int) []string {
	seg := strings.Repeat("s", 99) + "/"
	one := strings.Repeat(seg, n/100) + strings.Repeat("k", n%100)
	wide := strings.Repeat("ö/", n/3) + strings.Repeat("z", n%3)
	return []string{strings.TrimSuffix(one, "/") + strings.Repeat("e", len(one)-len(strings.TrimSuffix(one, "/"))), wide}
}

// testKeys stores an object under every weird key at once: each must keep its own bytes and be listed under its own name.
func testKeys(t *suite) { roundTrip(t, t.weird()) }

// content is what is stored under a key: bytes that tell it from every other, but nothing in the marker of a directory where
// the server takes no more.
func (t *suite) content(key string) []byte {
	if t.Lacks[FullMarkers] != "" && strings.HasSuffix(key, "/") {
		return nil
	}
	return []byte("of " + key)
}

func roundTrip(t *suite, keys []string) {
	for _, key := range keys {
		t.put(key, t.content(key))
	}
	for _, key := range keys {
		t.holds(key, t.content(key))
	}
	want := slices.Sorted(slices.Values(keys))
	if got := t.list("", backend.ListOptions{Recursive: true}); !slices.Equal(got, want) {
		t.Errorf("listed %q\nwant   %q", got, want)
	}
	for i, key := range keys {
		if got := t.list(key, backend.ListOptions{Recursive: true}); !slices.Contains(got, key) {
			t.Errorf("List with the key %q as prefix yields %q", key, got)
		}
		if i%2 == 0 {
			if err := t.s.Delete(t.Context(), key, backend.DeleteOptions{}); err != nil {
				t.Errorf("Delete %q: %v", key, err)
			}
		}
	}
	for i, key := range keys {
		if i%2 == 0 {
			t.absent(key)
		} else {
			t.holds(key, t.content(key))
		}
	}
}

// testNested has objects where a file system would have folders.
func testNested(t *suite) {
	keys := []string{"a", "a/", "a/b", "a/b/", "a/b/c", "a-", "a0", "d/x", "d"}
	roundTrip(t, keys)
	for _, key := range keys {
		t.put(key, []byte("2 "+key))
	}
	if err := t.s.Delete(t.Context(), "a/b", backend.DeleteOptions{}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	t.absent("a/b")
	for _, key := range keys {
		if key != "a/b" {
			t.holds(key, []byte("2 "+key))
		}
	}
	u := t.upload("d/x/y", backend.PutOptions{})
	t.write(u, 1, []byte("below"))
	t.commit(u, 1)
	t.holds("d/x/y", []byte("below"))
	t.holds("d/x", []byte("2 d/x"))
}

// testRefused: keys that no store takes are refused by every method, and nothing comes of them.
func testRefused(t *suite) {
	ctx := t.Context()
	t.put("good", []byte("x"))
	bad := []string{
		"", "\x00", "a\x00b", "a\rb", "a\nb", "\xff", "a/\xc3(", ".", "..", "a/..", "../a", "a/../b", "a/./b", "./a", "a/.", "./", "../",
		strings.Repeat("x", t.s.Caps().MaxKey+1),
	}
	for _, key := range bad {
		_, err := t.s.Stat(ctx, key)
		t.is("Stat "+key, err, backend.ErrBadKey)
		_, _, err = t.s.Open(ctx, key, backend.OpenOptions{})
		t.is("Open "+key, err, backend.ErrBadKey)
		_, err = t.s.Put(ctx, key, []byte("x"), backend.PutOptions{})
		t.is("Put "+key, err, backend.ErrBadKey)
		_, err = t.s.NewUpload(ctx, key, backend.PutOptions{})
		t.is("NewUpload "+key, err, backend.ErrBadKey)
		_, err = t.s.Copy(ctx, key, "good", backend.CopyOptions{})
		t.is("Copy to "+key, err, backend.ErrBadKey)
		_, err = t.s.Copy(ctx, "good2", key, backend.CopyOptions{})
		t.is("Copy from "+key, err, backend.ErrBadKey)
		t.is("Delete "+key, t.s.Delete(ctx, key, backend.DeleteOptions{}), backend.ErrBadKey)
	}
	if t.s.Caps().CopyPart {
		u := t.upload("up", backend.PutOptions{})
		for _, key := range bad {
			t.is("CopyPart from "+key, u.CopyPart(ctx, 1, key, 0, 1, backend.CopyPartOptions{}), backend.ErrBadKey)
		}
	}
	if got := t.list("", backend.ListOptions{Recursive: true}); !slices.Equal(got, []string{"good"}) {
		t.Errorf("listed %q", got)
	}
	if got, _, err := t.read("good", backend.OpenOptions{}); err != nil || !bytes.Equal(got, []byte("x")) {
		t.Errorf("good holds %q, %v", got, err)
	}
}
