package file

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/storetest"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func put(t *testing.T, s *Store, key, body string, a backend.Attributes) backend.Object {
	t.Helper()
	o, err := s.Put(t.Context(), key, []byte(body), backend.PutOptions{Attributes: a})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func read(t *testing.T, s *Store, key string) (string, backend.Object) {
	t.Helper()
	r, o, err := s.Open(t.Context(), key, backend.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(p), o
}

func list(t *testing.T, s *Store, prefix string, recursive bool) []string {
	t.Helper()
	var keys []string
	for e, err := range s.List(t.Context(), prefix, backend.ListOptions{Recursive: recursive}) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

func write(t *testing.T, name, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	again := func(t testing.TB, s backend.Store) backend.Store { return open(t, s.(*Store).path) }
	storetest.Run(t, func(t *testing.T) backend.Store { return open(t, t.TempDir()) }, storetest.Options{Again: again})
}

// TestPlain: an object with an ordinary key is a plain file, and a plain file is an object.
func TestPlain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	when := time.Date(2020, 5, 6, 7, 8, 9, 10, time.UTC)
	put(t, s, "in/tray.txt", "ours", backend.Attributes{ModTime: when})
	p, err := os.ReadFile(filepath.Join(dir, "in/tray.txt"))
	fi, statErr := os.Stat(filepath.Join(dir, "in/tray.txt"))
	if err != nil || statErr != nil || string(p) != "ours" || !fi.ModTime().Equal(when) {
		t.Errorf("the file holds %q of %v: %v, %v", p, fi.ModTime(), err, statErr)
	}
	write(t, filepath.Join(dir, "out/theirs.txt"), "theirs")
	if err := os.MkdirAll(filepath.Join(dir, "empty/below"), 0o755); err != nil {
		t.Fatal(err)
	}
	body, o := read(t, s, "out/theirs.txt")
	if body != "theirs" || o.Size != 6 || o.ETag == "" || !o.ModTime.IsZero() || time.Since(o.Updated) > time.Hour {
		t.Errorf("their file is %q, %+v", body, o)
	}
	if got := list(t, s, "", true); !slices.Equal(got, []string{"in/tray.txt", "out/theirs.txt"}) {
		t.Errorf("listed %q", got)
	}
	if got := list(t, s, "", false); !slices.Equal(got, []string{"in/", "out/"}) {
		t.Errorf("listed %q; a folder without an object below it is not seen", got)
	}
	for _, name := range []string{"bad\nname", "not\xffutf8", ".sluice.junk", ".sluice.dir.plain/x", ".sluice.long.short/x"} {
		write(t, filepath.Join(dir, "odd", name), "x")
	}
	if got := list(t, s, "", false); !slices.Equal(got, []string{"in/", "out/"}) {
		t.Errorf("listed %q; names that no key has are not seen", got)
	}
}

// TestForeignWrites: whatever another program does to a file gives it another ETag and takes our attributes off it.
func TestForeignWrites(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	name := filepath.Join(dir, "o")
	when := time.Now().Add(-time.Hour)
	a := backend.Attributes{ContentType: "text/plain", ModTime: when, Metadata: map[string]string{"k": "v"}}
	for what, change := range map[string]func() error{
		"in place": func() error { return os.WriteFile(name, []byte("other"), 0o644) },
		"in place, time kept": func() error {
			fi, err := os.Stat(name)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(name, []byte("same!"), 0o644), os.Chtimes(name, fi.ModTime(), fi.ModTime()))
		},
		"replaced": func() error {
			return errors.Join(os.WriteFile(name+"2", []byte("third"), 0o644), os.Rename(name+"2", name))
		},
	} {
		old := put(t, s, "o", "first", a)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		st, err := s.Stat(t.Context(), "o")
		if err != nil || st.ETag == old.ETag {
			t.Errorf("%s: ETag stays %q, %v", what, st.ETag, err)
		}
		if _, err := s.Put(t.Context(), "o", nil, backend.PutOptions{If: backend.Condition{ETag: old.ETag}}); !errors.Is(err, backend.ErrChanged) {
			t.Errorf("%s: Put with the old ETag: %v", what, err)
		}
		if kept := what == "in place, time kept"; (st.ContentType == "text/plain") != kept || (st.Metadata != nil) != kept {
			t.Errorf("%s: attributes of the old file: %+v", what, st)
		}
	}
}

func TestReadAcrossForeignWrite(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "o", strings.Repeat("a", 1<<20), backend.Attributes{})
	r, _, err := s.Open(t.Context(), "o", backend.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "o"), strings.Repeat("b", 1<<19))
	if _, err := io.ReadAll(r); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("a read across a foreign write: %v", err)
	}
}

// TestSymlinks: they are not objects, and lead nowhere.
// TestOpenFile: a path that is a file, or leads through one, is told apart from one that is missing.
func TestOpenFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	write(t, name, "")
	for _, path := range []string{name, filepath.Join(name, "d", "e")} {
		_, err := Open(t.Context(), Config{Path: path})
		if want := "file store: " + name + " is a file; a directory is needed"; err == nil || err.Error() != want {
			t.Errorf("Open %s: %v, want %s", path, err, want)
		}
	}
}

// TestFolderTimes: a folder is listed, and known, with the time at which something last came into it or went, whatever its name is written as.
func TestFolderTimes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	long := strings.Repeat("n", 300)
	for _, key := range []string{"d/x", "e//x", long + "/x"} {
		put(t, s, key, "", backend.Attributes{})
	}
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, prefix := range []string{"d/", "e//", long + "/"} {
		if err := os.Chtimes(filepath.Join(dir, folder(prefix)), time.Time{}, when); err != nil {
			t.Fatal(err)
		}
		parent := prefix[:strings.LastIndexByte(strings.TrimSuffix(prefix, "/"), '/')+1]
		var got backend.Entry
		for e, err := range s.List(t.Context(), parent, backend.ListOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Key == prefix {
				got = e
			}
		}
		if !got.Prefix || !got.Updated.Equal(when) {
			t.Errorf("%.10q: %v, want %v", prefix, got.Updated, when)
		}
		if o, err := s.Stat(t.Context(), prefix); !errors.Is(err, backend.ErrNotExist) || !o.Updated.Equal(when) {
			t.Errorf("stat %.10q: %v, %v, want %v", prefix, o.Updated, err, when)
		}
	}
	if o, err := s.Stat(t.Context(), "none/"); !errors.Is(err, backend.ErrNotExist) || !o.Updated.IsZero() {
		t.Errorf("stat none/: %v, %v", o.Updated, err)
	}
}

func TestSymlinks(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "secret")
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "real/o", "x", backend.Attributes{})
	for name, to := range map[string]string{"dir": outside, "file": filepath.Join(outside, "secret"), "up": "../..", "in": "real", "self": "real/o", "dead": "none"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, s, "", true); !slices.Equal(got, []string{"real/o"}) {
		t.Errorf("listed %q", got)
	}
	for _, key := range []string{"dir/secret", "file", "up/etc/passwd", "self", "dead", "dir/new"} {
		if o, err := s.Stat(t.Context(), key); err == nil {
			t.Errorf("Stat %q: %+v", key, o)
		}
		if _, _, err := s.Open(t.Context(), key, backend.OpenOptions{}); err == nil {
			t.Errorf("Open %q succeeded", key)
		}
	}
	if _, err := s.Put(t.Context(), "dir/new", []byte("x"), backend.PutOptions{}); !errors.Is(err, backend.ErrPermission) {
		t.Errorf("Put through a link that leads out: %v, want ErrPermission", err)
	}
	put(t, s, "file", "mine now", backend.Attributes{})
	if err := s.Delete(t.Context(), "dir/secret", backend.DeleteOptions{}); err == nil {
		t.Error("Delete through a link that leads out succeeded")
	}
	p, err := os.ReadFile(filepath.Join(outside, "secret"))
	left, _ := os.ReadDir(outside)
	if err != nil || string(p) != "secret" || len(left) != 1 {
		t.Errorf("outside the directory: %q, %v, %v", p, err, left)
	}
}

// TestFolderOverObject: making a folder where an object is moves the object aside without changing it.
func TestFolderOverObject(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a := backend.Attributes{ContentType: "text/plain", Metadata: map[string]string{"k": "v"}}
	put(t, s, "a", "object", a)
	put(t, s, "a/b/c", "below", backend.Attributes{})
	body, o := read(t, s, "a")
	if body != "object" || o.ContentType != "text/plain" || !maps.Equal(o.Metadata, a.Metadata) {
		t.Errorf("the object is %q, %+v", body, o)
	}
	if err := s.Delete(t.Context(), "a/b/c", backend.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, "", true); !slices.Equal(got, []string{"a"}) {
		t.Errorf("listed %q", got)
	}
	write(t, filepath.Join(dir, "a"), "theirs") // beside the escaped one: what people see counts
	if body, _ := read(t, s, "a"); body != "theirs" {
		t.Errorf("read %q", body)
	}
	if got := list(t, s, "", true); !slices.Equal(got, []string{"a"}) {
		t.Errorf("listed %q", got)
	}
	put(t, s, "a", "ours", a)
	if err := s.Delete(t.Context(), "a", backend.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, "", true); got != nil {
		t.Errorf("listed %q", got)
	}
	if left := names(t, dir); !slices.Equal(left, []string{private}) {
		t.Errorf("%q are left", left)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// TestUploadInPlace: parts that come in order, or nearly so, are written where they belong and never copied to another file.
func TestUploadInPlace(t *testing.T) {
	s := open(t, t.TempDir())
	v, err := s.NewUpload(t.Context(), "o", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u := v.(*upload)
	var want []byte
	for n := range 6 {
		want = append(want, bytes.Repeat([]byte{byte('a' + n)}, 100*(n+1))...)
	}
	for _, n := range []int{1, 2, 4, 3, 5, 2, 6} { // 4 comes too early, 2 again when it is on the disk
		if err := u.WritePart(t.Context(), n, bytes.Repeat([]byte{byte('a' + n - 1)}, 100*n)); err != nil {
			t.Fatal(err)
		}
	}
	for n, p := range u.parts {
		if (p.file != "") != (n == 4 || n == 2) {
			t.Errorf("part %d lies in %q at %d", n, p.file, p.off)
		}
	}
	inode := func() uint64 {
		fi, err := u.f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		n, _ := sysStat(fi)
		return n
	}
	before := inode()
	if _, err := u.Commit(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	fi, err := s.root.Stat("o")
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := sysStat(fi); after != before {
		t.Error("the parts were copied to another file")
	}
	if got, _ := read(t, s, "o"); got != string(want) {
		t.Errorf("read %d bytes, want %d", len(got), len(want))
	}
	if left := names(t, filepath.Join(s.path, s.run)); !slices.Equal(left, []string{liveName}) {
		t.Errorf("%q are left", left)
	}
}

// FuzzPlace: every key has a place of its own below the root, and a listing finds the key from it.
func FuzzPlace(f *testing.F) {
	for _, key := range []string{
		"a", "a/b", "a/", "/", "a//b", ".sluice", ".sluice/meta/x", ".sluice.file.a", ".sluice.dir./x", ".sluice.long.a/b",
		strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("ü", 128) + "/" + strings.Repeat("ü", 500), strings.Repeat("x", 240) + ".sluice.dir.", ".sluice" + strings.Repeat("y", 240),
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if backend.CheckKey(key, 1024) != nil {
			return
		}
		plain, escaped := place(key)
		for _, p := range []string{plain, escaped} {
			if p == "" {
				continue
			}
			if !filepath.IsLocal(p) || strings.HasPrefix(p, private+"/") || p == private || strings.Contains(p, "//") {
				t.Errorf("%q has the place %q", key, p)
			}
			for seg := range strings.SplitSeq(p, "/") {
				if len(seg) > maxName {
					t.Errorf("%q has the place %q", key, p)
				}
			}
			if got := keyOf(p); got != key {
				t.Errorf("%q has the place %q, which is that of %q", key, p, got)
			}
		}
	})
}

// keyOf finds the key of a path the way a listing does.
func keyOf(p string) string {
	var key, way string
	segs := strings.Split(p, "/")
	for i, seg := range segs {
		way += seg
		last := i == len(segs)-1
		if !last && strings.HasPrefix(seg, longMark) {
			way += "/"
			continue
		}
		name, ok := segment(way, !last)
		if !ok {
			return "nothing"
		}
		key += name
		if !last {
			key += "/"
		}
		way = ""
	}
	return key
}
