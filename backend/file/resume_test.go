package file

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sluice/backend"
)

// uploader names the directory to which this test binary, started as a process of its own, uploads until it is killed.
const uploader = "SLUICE_FILE_TEST_UPLOADER"

// piece is what part n consists of.
func piece(n int) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8), '.'}, 100+n%50) }

// uploadForEver writes part after part of one upload and tells of each. Every seventh comes before the one in front of it.
func uploadForEver(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: dir})
	if err != nil {
		return err
	}
	u, err := s.NewUpload(ctx, "dir/o", backend.PutOptions{Attributes: backend.Attributes{ContentType: "text/plain"}})
	if err != nil {
		return err
	}
	fmt.Println(u.ID())
	for i := 1; ; i++ {
		n := i
		switch i % 7 {
		case 0:
			n = i + 1
		case 1:
			n = max(1, i-1)
		}
		if err := u.WritePart(ctx, n, piece(n)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// TestResumeAfterKill kills a process that uploads: another one finds every part that was told of, and goes on.
func TestResumeAfterKill(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		dir := t.TempDir()
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), uploader+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Scan()
		id := lines.Text()
		told := map[int]bool{}
		for lines.Scan() {
			var n int
			if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
				break // cut in the middle
			}
			if told[n] = true; len(told) == 20+round*13 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the process ended by itself")
		}
		s := open(t, dir)
		opts := backend.PutOptions{Attributes: backend.Attributes{ContentType: "text/plain"}}
		u, err := s.ResumeUpload(t.Context(), "dir/o", id, opts)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := u.Parts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			if p.Size != int64(len(piece(p.Number))) {
				t.Errorf("part %d has %d bytes", p.Number, p.Size)
			}
			delete(told, p.Number)
		}
		if len(told) > 0 {
			t.Errorf("the parts %v are lost", told)
		}
		last := len(parts) + 3
		var want []byte
		have := map[int]bool{}
		for _, p := range parts {
			have[p.Number] = true
		}
		for n := 1; n <= last; n++ {
			want = append(want, piece(n)...)
			if !have[n] {
				if err := u.WritePart(t.Context(), n, piece(n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := u.Commit(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		if got, o := read(t, s, "dir/o"); got != string(want) || o.ContentType != "text/plain" {
			t.Errorf("read %d bytes of %s, want %d", len(got), o.ContentType, len(want))
		}
		if left := names(t, filepath.Join(dir, uploadsDir)); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

// TestKeep: Open removes the uploads of dead processes that are old, and no others.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	begin := func(s *Store) string {
		t.Helper()
		u, err := s.NewUpload(t.Context(), "o", backend.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := u.WritePart(t.Context(), 1, []byte("one")); err != nil {
			t.Fatal(err)
		}
		return u.ID()
	}
	dead, err := Open(t.Context(), Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	old, fresh, taken := begin(dead), begin(dead), begin(dead)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	alive := open(t, dir)
	own := begin(alive)
	if _, err := alive.ResumeUpload(t.Context(), "o", taken, backend.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{old, taken, own} {
		if err := os.Chtimes(filepath.Join(dir, uploadsDir, id, listName), time.Time{}, time.Now().Add(-8*24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		keep time.Duration
		want []string
	}{{30 * 24 * time.Hour, []string{old, fresh, taken, own}}, {0, []string{fresh, taken, own}}, {-1, []string{taken, own}}} {
		s, err := Open(t.Context(), Config{Path: dir, Keep: c.keep})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(c.want)
		if got := names(t, filepath.Join(dir, uploadsDir)); !slices.Equal(got, c.want) {
			t.Errorf("keep %v: %q, want %q", c.keep, got, c.want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTornList: what a crash has cut in the middle is not taken for a part, and does not spoil what follows.
func TestTornList(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	u, err := s.NewUpload(t.Context(), "o", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.WritePart(t.Context(), 1, []byte("one")); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, uploadsDir, u.ID(), listName)
	p, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	p = append(p, `{"n":2,"size":3,"off":1000}`+"\n"+`{"n":3,"size":3,"file":"none"}`+"\n"+`{"n":4,"si`...)
	if err := os.WriteFile(list, p, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := s.ResumeUpload(t.Context(), "o", u.ID(), backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WritePart(t.Context(), 2, []byte("two")); err != nil {
		t.Fatal(err)
	}
	r, err = s.ResumeUpload(t.Context(), "o", u.ID(), backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if parts, err := r.Parts(t.Context()); err != nil || len(parts) != 2 {
		t.Errorf("parts %v, %v, want 1 and 2", parts, err)
	}
	if _, err := r.Commit(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, s, "o"); got != "onetwo" {
		t.Errorf("read %q", got)
	}
	if _, err := s.ResumeUpload(t.Context(), "o", "../../x", backend.PutOptions{}); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("an ID that leads elsewhere: %v", err)
	}
}
