package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/cmd/sluice/internal/config"
	"sluice/protocol/auth"
)

// A change is due when it has stood still for a look, and not while files are being written.
func TestWatchDue(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a")
	w := watch{running: config.Sources{name: {}}.Now()}
	for i, step := range []struct {
		text   string // written before the look; empty: nothing
		failed bool
		want   bool
	}{
		{"", false, false}, {"", false, false},
		{"b", false, false}, {"bc", false, false}, {"", false, true}, {"", false, true},
		{"a", false, false}, {"", false, false},
		{"", true, true}, {"d", true, false}, {"", true, true},
	} {
		if step.text != "" {
			write(step.text)
		}
		w.failed = step.failed
		if got := w.due(); got != step.want {
			t.Errorf("look %d: due %v, want %v", i, got, step.want)
		}
	}
}

// A change of the file, or of what it includes, is taken up without a signal, in the way that Kubernetes swaps the files of a
// ConfigMap too. What is wrong is said once, and tried again until it is right.
func TestFollow(t *testing.T) {
	r := bootPolling(t, base+"users:\n"+account("ann", ""), 5*time.Millisecond)
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	old := r.connect(t)
	old.login("ann", "secret", "230")

	replace := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(name+".next", []byte(text), 0o600), os.Rename(name+".next", name)); err != nil {
			t.Fatal(err)
		}
	}

	// A volume: sluice.yaml -> ..data/sluice.yaml, ..data -> ..1, and then ..data -> ..2.
	volume := func(name, config string) {
		dir := filepath.Join(r.dir, name)
		for _, err := range []error{
			os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "sluice.yaml"), []byte(config), 0o600),
			os.WriteFile(filepath.Join(dir, "hash"), []byte(hashed()+"\n"), 0o600),
			os.Symlink(name, filepath.Join(r.dir, "..next")), os.Rename(filepath.Join(r.dir, "..next"), filepath.Join(r.dir, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	volume("..1", string(text))
	if err := errors.Join(os.Symlink("..data/sluice.yaml", r.file+".next"), os.Rename(r.file+".next", r.file)); err != nil {
		t.Fatal(err)
	}
	bob := "  - {name: bob, password: \"${file:..data/hash}\", mounts: [{path: /, store: local}]}\n"
	volume("..2", string(text)+bob)
	r.log.wait(t, "was reloaded", 1)
	r.connect(t).login("bob", "secret", "230")
	old.do("NOOP", "200")

	// What is included changes.
	included := filepath.Join(r.dir, "..2", "hash")
	replace(included, "no hash")
	r.log.wait(t, "was not reloaded", 1)
	r.connect(t).login("bob", "secret", "230")
	replace(included, auth.Hash([]byte("other")))
	r.log.wait(t, "was reloaded", 2)
	r.connect(t).login("bob", "other", "230")

	// A file that is named and comes later only.
	volume("..3", string(text)+strings.Replace(bob, "..data/hash", "late", 1))
	r.log.wait(t, "was not reloaded", 2)
	replace(filepath.Join(r.dir, "late"), hashed())
	r.log.wait(t, "was reloaded", 3)
	r.connect(t).login("bob", "secret", "230")
	if n := strings.Count(r.log.String(), "was not reloaded"); n != 2 {
		t.Errorf("%d complaints about 2 mistakes:\n%s", n, r.log)
	}
}
