//go:build e2e

package azure

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/storetest"
	"sluice/backend/storetest/azurite"
	"sluice/backend/vfs/vfstest"
)

func config(a *azurite.Server) Config {
	return Config{Account: a.Account, AccountKey: a.AccountKey, Endpoint: a.Endpoint, Container: a.Container, PageSize: 3}
}

func start(t *testing.T) *Store { return connect(t, azurite.Start(t)) }

func connect(t *testing.T, a *azurite.Server) *Store {
	t.Helper()
	s, err := Open(t.Context(), config(a))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestE2EStore runs the suite against Azurite.
func TestE2EStore(t *testing.T) {
	a := azurite.Start(t)
	storetest.Run(t, func(t *testing.T) backend.Store { return connect(t, a.Another(t)) }, storetest.Options{Page: 3, Again: func(t testing.TB, s backend.Store) backend.Store {
		again, err := Open(t.Context(), s.(*Store).cfg)
		if err != nil {
			t.Fatal(err)
		}
		return again
	}, Lacks: map[storetest.Gap]string{
		storetest.Backslash:      "Azure takes it for a slash, so that the driver refuses it",
		storetest.AbortedUploads: "nothing drops uncommitted blocks but the next write of the blob",
		storetest.SharedParts:    "a commit drops all uncommitted blocks of its blob",
		storetest.ControlBytes:   "listings of Azurite are no XML then",
	}})
}

// TestE2ETree runs the model of the tree against Azurite.
func TestE2ETree(t *testing.T) {
	s := start(t)
	n := 0
	vfstest.Run(t, func(*rapid.T) (backend.Store, string) {
		n++
		return s, fmt.Sprintf("run%d/", n)
	})
}

// TestE2EFaults lets requests of the tree fail, and somebody else write between them.
func TestE2EFaults(t *testing.T) {
	s := start(t)
	n := 0
	vfstest.Faults(t, func(*testing.T) (backend.Store, string) {
		n++
		return s, fmt.Sprintf("run%d/", n)
	})
}

// TestE2ECheck: what an operator gets wrong is named in one sentence.
func TestE2ECheck(t *testing.T) {
	good := config(azurite.Start(t))
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"good":              {func(*Config) {}, ""},
		"missing container": {func(c *Config) { c.Container = "nowhere" }, "does not exist"},
		"wrong key":         {func(c *Config) { c.AccountKey = "d3Jvbmc=" }, "refuses the credentials"},
		"unreachable":       {func(c *Config) { c.Endpoint = "http://127.0.0.1:1/x" }, "cannot be reached"},
	} {
		cfg := good
		tc.change(&cfg)
		s, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(name, err)
		}
		err = s.Check(t.Context())
		switch {
		case tc.want == "" && err == nil:
		case tc.want == "" || err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), cfg.AccountKey):
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// TestE2EUploadsOfOneKey: of two uploads of one key the one that commits first wins. The other has lost its parts and says so.
func TestE2EUploadsOfOneKey(t *testing.T) {
	s := start(t)
	begin := func() backend.Upload {
		u, err := s.NewUpload(t.Context(), "o", backend.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	write := func(u backend.Upload, n int, text string) {
		if err := u.WritePart(t.Context(), n, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	a, b := begin(), begin()
	write(a, 1, "a1")
	write(b, 1, "b1")
	write(a, 2, "a2")
	write(b, 2, "b2")
	if _, err := b.Commit(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, "o"); got != "b1b2" {
		t.Errorf("%q", got)
	}
	if o, err := a.Commit(t.Context(), 2); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("the second Commit: %+v, %v", o, err)
	}
	if _, err := a.Parts(t.Context()); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("Parts of the lost upload: %v", err)
	}
	if got := read(t, s, "o"); got != "b1b2" {
		t.Errorf("after the second Commit: %q", got)
	}
}

// TestE2EResume: an upload goes on in another process, with the last of what was written, and once it is over there is nothing
// to go on with.
func TestE2EResume(t *testing.T) {
	a := azurite.Start(t)
	again := func() *Store { return connect(t, a) }
	first, err := again().NewUpload(t.Context(), "dir/o", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		n    int
		text string
	}{{3, "three"}, {1, "wrong"}, {2, "two"}, {1, "one"}} {
		if err := first.WritePart(t.Context(), p.n, []byte(p.text)); err != nil {
			t.Fatal(err)
		}
	}
	id := first.ID()
	u, err := again().ResumeUpload(t.Context(), "dir/o", id, backend.PutOptions{Attributes: backend.Attributes{ContentType: "text/plain"}})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := u.Parts(t.Context())
	if want := []backend.Part{{Number: 1, Size: 3}, {Number: 2, Size: 3}, {Number: 3, Size: 5}}; err != nil || !slices.Equal(parts, want) {
		t.Errorf("Parts: %v, %v, want %v", parts, err, want)
	}
	if err := u.WritePart(t.Context(), 4, []byte("four")); err != nil {
		t.Fatal(err)
	}
	if err := u.WritePart(t.Context(), 2, []byte("zwei")); err != nil { // again, elsewhere
		t.Fatal(err)
	}
	s := again()
	if _, err := s.Stat(t.Context(), "dir/o"); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("before Commit: %v", err)
	}
	o, err := u.Commit(t.Context(), 4)
	if err != nil || o.ContentType != "text/plain" || o.Size != 16 {
		t.Errorf("Commit: %+v, %v", o, err)
	}
	if got := read(t, s, "dir/o"); got != "onezweithreefour" {
		t.Errorf("%q", got)
	}
	for key, id := range map[string]string{"dir/o": id, "none": id, "dir/": newName().String(), "x": "no id"} {
		if _, err := s.ResumeUpload(t.Context(), key, id, backend.PutOptions{}); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("ResumeUpload of %s %s: %v", key, id, err)
		}
	}
}

// TestE2EForeignBlocks: another program has left blocks with longer ids, which the service wants all to have.
func TestE2EForeignBlocks(t *testing.T) {
	s := start(t)
	foreign := func(key string, size int) {
		id := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("i"), size))
		if _, err := s.blob(key).StageBlock(t.Context(), id, newContent([]byte("foreign")), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int{16, 36, 48, 64} {
		key := fmt.Sprint("o", size)
		foreign(key, size)
		u, err := s.NewUpload(t.Context(), key, backend.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for n, text := range []string{"one", "two", "three"} {
			wg.Go(func() {
				if err := u.WritePart(t.Context(), n+1, []byte(text)); err != nil {
					t.Errorf("beside ids of %d bytes: %v", size, err)
				}
			})
		}
		wg.Wait()
		if u, err = s.ResumeUpload(t.Context(), key, u.ID(), backend.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Commit(t.Context(), 3); err != nil {
			t.Errorf("beside ids of %d bytes: %v", size, err)
		}
		if got := read(t, s, key); got != "onetwothree" {
			t.Errorf("%q", got)
		}
	}
	foreign("short", 6)
	u, err := s.NewUpload(t.Context(), "short", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.WritePart(t.Context(), 1, []byte("x")); !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), "InvalidBlobOrBlock") {
		t.Errorf("beside ids that are too short: %v", err)
	}
}

func read(t *testing.T, s *Store, key string) string {
	t.Helper()
	r, _, err := s.Open(t.Context(), key, backend.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}
