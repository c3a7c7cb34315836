package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/backend"
)

// victim names the directory in which this test binary, started as a process of its own, writes until it is killed.
const victim = "SLUICE_FILE_TEST_VICTIM"

func TestMain(m *testing.M) {
	for env, run := range map[string]func(string) error{victim: scribble, uploader: uploadForEver} {
		if dir := os.Getenv(env); dir != "" {
			fmt.Fprintln(os.Stderr, run(dir))
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// scribble replaces a few objects for ever, by Put and by upload, each version saying in its metadata what its bytes are.
func scribble(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: dir})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		letter := string(rune('a' + i%26))
		body := []byte(strings.Repeat(letter, 1000*(i%7+1)))
		opts := backend.PutOptions{Attributes: backend.Attributes{Metadata: map[string]string{"letter": letter, "size": strconv.Itoa(len(body))}}}
		key := fmt.Sprintf("dir%d/o", i%3)
		if i%2 == 0 {
			_, err = s.Put(ctx, key, body, opts)
		} else {
			var u backend.Upload
			if u, err = s.NewUpload(ctx, key, opts); err == nil {
				err = errors.Join(u.WritePart(ctx, 1, body[:600]), u.WritePart(ctx, 2, body[600:]))
			}
			if err == nil {
				_, err = u.Commit(ctx, 2)
			}
		}
		if err != nil {
			return err
		}
		if i == 50 {
			if err := os.WriteFile(filepath.Join(dir, "going"), nil, 0o644); err != nil {
				return err
			}
		}
	}
}

// TestKill kills a process that writes: every object is whole and has its own attributes, and the next Open sweeps up, but not
// what a living process holds.
func TestKill(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	alive := open(t, dir)
	held, err := alive.NewUpload(t.Context(), "held", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := held.WritePart(t.Context(), 1, []byte("held")); err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), victim+"="+dir)
		var out bytes.Buffer
		cmd.Stderr = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(time.Millisecond) {
			if _, err := alive.Stat(t.Context(), "going"); err == nil {
				break
			}
			verify(t, alive) // as a second process, while the first one writes
		}
		time.Sleep(time.Duration(round) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || out.Len() > 0 {
			t.Fatalf("the process ended by itself: %v, %s", err, out.String())
		}
		if n := len(names(t, filepath.Join(dir, runDir))); n != 2 {
			t.Fatalf("%d processes have left a folder, want the living and the killed one", n)
		}
		s, err := Open(t.Context(), Config{Path: dir})
		if err != nil {
			t.Fatal(err)
		}
		if n := verify(t, s); n != 3 {
			t.Errorf("%d objects, want 3", n)
		}
		if n := len(names(t, filepath.Join(dir, runDir))); n != 2 {
			t.Errorf("%d folders of processes after the sweep, want those of the two that live", n)
		}
		if err := errors.Join(s.Delete(t.Context(), "going", backend.DeleteOptions{}), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := held.Commit(t.Context(), 1); err != nil {
		t.Errorf("the upload of the living process is gone: %v", err)
	}
}

// verify checks that bytes and metadata of each object belong together, and counts the objects.
func verify(t *testing.T, s *Store) int {
	t.Helper()
	var n int
	for i := range 3 {
		key := fmt.Sprintf("dir%d/o", i)
		if _, err := s.Stat(t.Context(), key); errors.Is(err, backend.ErrNotExist) {
			continue
		}
		body, o := read(t, s, key)
		n++
		letter := o.Metadata["letter"]
		if letter == "" || strconv.Itoa(len(body)) != o.Metadata["size"] || body != strings.Repeat(letter, len(body)) {
			t.Fatalf("%s has %d bytes of %.1q, but says %v", key, len(body), body, o.Metadata)
		}
	}
	return n
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, s.run)); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Check of a directory that cannot be written: %v", err)
	}
	write(t, filepath.Join(dir, "plain"), "x")
	if _, err := Open(t.Context(), Config{Path: filepath.Join(dir, "plain")}); err == nil {
		t.Error("Open of a plain file succeeded")
	}
	if _, err := Open(t.Context(), Config{}); err == nil {
		t.Error("Open without a path succeeded")
	}
}
