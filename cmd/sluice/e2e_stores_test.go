//go:build e2e

package main_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/backend"
	"sluice/backend/azure"
	"sluice/backend/file"
	"sluice/backend/gcs"
	"sluice/backend/s3"
	"sluice/backend/storetest/azurite"
	"sluice/backend/storetest/fakegcs"
	"sluice/backend/storetest/versitygw"
	"sluice/backend/transfer"
)

// kind is a kind of store that the program serves.
type kind struct {
	name      string
	open      func(t *testing.T) (*daemon, backend.Store) // the program, and its store seen past it
	backslash bool                                        // names may have one
}

var kinds = []kind{
	{"file", func(t *testing.T) (*daemon, backend.Store) {
		d := start(t, nil)
		s, err := file.Open(t.Context(), file.Config{Path: d.data})
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		return d, s
	}, true},
	{"s3", func(t *testing.T) (*daemon, backend.Store) {
		g := versitygw.Start(t)
		s, err := s3.Open(t.Context(), s3.Config{
			Bucket: g.Bucket, Region: "us-east-1", Endpoint: g.Endpoint, PathStyle: true, AccessKey: g.AccessKey, SecretKey: g.SecretKey,
		})
		must(t, err)
		return start(t, g), s
	}, true},
	{"gcs", func(t *testing.T) (*daemon, backend.Store) {
		g := fakegcs.Start(t)
		s, err := gcs.Open(t.Context(), gcs.Config{Bucket: g.Bucket, Endpoint: g.Endpoint, Anonymous: true})
		must(t, err)
		return startOn(t, place{config: fmt.Sprintf("{type: gcs, bucket: %s, endpoint: %q, anonymous: true}", g.Bucket, g.Endpoint)}), s
	}, true},
	{"azure", func(t *testing.T) (*daemon, backend.Store) {
		a := azurite.Start(t)
		s, err := azure.Open(t.Context(), azure.Config{Account: a.Account, AccountKey: a.AccountKey, Endpoint: a.Endpoint, Container: a.Container})
		must(t, err)
		config := fmt.Sprintf("{type: azure, account: %s, container: %s, endpoint: %q, accountKey: %q}", a.Account, a.Container, a.Endpoint, a.AccountKey)
		d := startOn(t, place{config: config})
		t.Cleanup(func() {
			if log := d.log.String(); strings.Contains(log, a.AccountKey) || strings.Contains(log, "sig=") {
				t.Errorf("the log tells secrets:\n%s", log)
			}
		})
		return d, s
	}, false},
}

// TestE2EStores does the same with every kind of store.
func TestE2EStores(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			d, store := k.open(t)
			for _, c := range []struct {
				name string
				do   func(t *testing.T, d *daemon, store backend.Store, k kind)
			}{
				{"pipe", piped}, {"append", appended}, {"resume", resumed}, {"expire", expired}, {"hash", hashed}, {"mirror", mirrored}, {"rename", renamed}, {"python", scripted},
			} {
				t.Run(c.name, func(t *testing.T) {
					here := *d
					here.t = t
					c.do(t, &here, store, k)
				})
			}
			for row, err := range store.List(t.Context(), ".sluice/", backend.ListOptions{Recursive: true}) {
				must(t, err)
				t.Errorf("left behind: %s", row.Key)
			}
			if strings.Contains(d.log.String(), `"level":"ERROR"`) {
				t.Errorf("log: %s", d.log)
			}
		})
	}
}

// piped uploads from a pipe, so that nobody knows the length beforehand: no byte, less than a part, several parts.
func piped(t *testing.T, d *daemon, _ backend.Store, _ kind) {
	for _, size := range []int64{0, 1, 5 << 20, 30<<20 + 7} {
		h := sha256.New()
		cmd := d.curl("-T", "-", d.url(false, "piped"))
		cmd.Stdin = io.TeeReader(randomBytes(2, size), h)
		run(t, cmd)
		if got := output(t, d.curl(d.url(true, "piped"))); got != hexSum(h) {
			t.Errorf("%d bytes came back different", size)
		}
	}
}

// appended puts some bytes and parts behind a small file and a large one.
func appended(t *testing.T, d *daemon, _ backend.Store, _ kind) {
	for _, size := range []int64{3, 20 << 20} {
		h := sha256.New()
		for i, n := range []int64{size, 9 << 20, 5} {
			args := []string{"-T", "-", d.url(false, "log")}
			if i > 0 {
				args = append(args, "-a")
			}
			cmd := d.curl(args...)
			cmd.Stdin = io.TeeReader(randomBytes(byte(i), n), h)
			run(t, cmd)
		}
		if got := output(t, d.curl(d.url(false, "log"))); got != hexSum(h) {
			t.Errorf("what was put behind %d bytes came back different", size)
		}
	}
}

// resumed goes on with uploads that were cut off, by APPE and by REST.
func resumed(t *testing.T, d *daemon, _ backend.Store, _ kind) {
	path, sum := randomFile(t, 24<<20)
	data, err := os.ReadFile(path)
	must(t, err)
	for _, size := range []int64{1000, 18<<20 + 5} {
		for name, again := range map[string]*exec.Cmd{
			"curl": d.curl("-C", "-", "-T", path, d.url(false, "curl")),
			"lftp": d.lftp(false, fmt.Sprintf("put -c %q -o lftp", path)),
		} {
			c := d.dial()
			_, raw := c.upload(name, bytes.NewReader(data[:size]))
			must(t, raw.CloseWrite())
			c.expect(426)
			if got := d.size(name); got != size {
				t.Errorf("SIZE is %d, want the %d bytes that came", got, size)
			}
			run(t, again)
			if got := output(t, d.curl(d.url(true, name))); got != sum {
				t.Errorf("%s behind %d bytes came back different", name, size)
			}
			c.cmd(250, "DELE %s", name)
		}
	}
}

// expired lets uploads that were cut off go by their time; another replica removes all that is left of them.
func expired(t *testing.T, _ *daemon, store backend.Store, _ kind) {
	for _, size := range []int64{1000, 18<<20 + 5} {
		cut := io.MultiReader(randomBytes(3, size), iotest.ErrReader(errors.New("cut off")))
		opts := transfer.UploadOptions{Resume: &transfer.Resumption{User: user, For: time.Millisecond}}
		if _, err := transfer.New(transfer.Config{}).Upload(t.Context(), store, "late", cut, opts); err == nil {
			t.Fatal("an upload that was cut off has succeeded")
		}
		records := func() (n int) {
			for _, err := range store.List(t.Context(), ".sluice/", backend.ListOptions{Recursive: true}) {
				must(t, err)
				n++
			}
			return n
		}
		if records() == 0 {
			t.Fatalf("nothing is kept of %d bytes", size)
		}
		replica := transfer.New(transfer.Config{})
		must(t, replica.Sweep(t.Context(), store))
		partial, err := replica.Partial(t.Context(), store, user, "late")
		must(t, err)
		if n := records(); n > 0 || partial != nil {
			t.Errorf("of %d bytes whose time is over %d objects are left, and %v", size, n, partial)
		}
	}
}

// hashed asks for digests, of files of one part and of several.
func hashed(t *testing.T, d *daemon, _ backend.Store, _ kind) {
	c := d.dial()
	for _, size := range []int64{100, 20 << 20} {
		data, err := io.ReadAll(randomBytes(9, size))
		must(t, err)
		conn, _ := c.upload("hashed", bytes.NewReader(data))
		must(t, conn.Close())
		c.expect(226)
		c.cmd(200, "OPTS HASH SHA-256")
		if got, want := c.cmd(213, "HASH hashed"), fmt.Sprintf("SHA-256 0-%d %x hashed", size, sha256.Sum256(data)); got != want {
			t.Errorf("HASH says %q, want %q", got, want)
		}
		c.cmd(200, "OPTS HASH MD5")
		if got, want := c.cmd(213, "HASH hashed"), fmt.Sprintf("MD5 0-%d %s hashed", size, digest(data)); got != want {
			t.Errorf("HASH says %q, want %q", got, want)
		}
	}
}

// mirrored sends a tree with awkward names up with four connections, and down again. A name that the store cannot have is refused.
func mirrored(t *testing.T, d *daemon, _ backend.Store, k kind) {
	names := []string{"plain", "with space", "  two  blanks", `quo"te`, "it's", "ünï-cödé", "日本語", "emoji 🚰", "percent%20", "plus+and&", "semi;colon", "[brackets]", "tilde~", "hash#", "comma,", "e\u0301 decomposed", "-dash", "dots..", "a=b", "caf\u00e9"}
	if k.backslash {
		names = append(names, `back\slash`)
	} else {
		cmd := d.curl("-T", "-", d.url(false, "a%5Cb"))
		cmd.Stdin = strings.NewReader("x")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "553") {
			t.Errorf("a backslash: %v, %s", err, out)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	tree, down := t.TempDir(), t.TempDir()
	dirs := []string{""}
	for i := range 40 {
		if parent := dirs[r.IntN(len(dirs))]; strings.Count(parent, "/") < 5 {
			dirs = append(dirs, filepath.Join(parent, fmt.Sprintf("%s %d", names[i%len(names)], i)))
		}
	}
	for i := range 200 {
		dir := filepath.Join(tree, dirs[i%len(dirs)])
		must(t, os.MkdirAll(dir, 0o755))
		content, err := io.ReadAll(randomBytes(byte(i), int64(r.IntN(3000))))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.%d", names[r.IntN(len(names))], i)), content, 0o644))
	}
	cut := func() int { return strings.Count(d.log.String(), `"code":426`) }
	before := cut()
	run(t, d.lftp(false, fmt.Sprintf("mirror -R --parallel=4 %q /tree; mkdir -p other; mv tree other/moved", tree)))
	run(t, d.lftp(true, fmt.Sprintf("mirror --parallel=4 /other/moved %q", down)))
	run(t, exec.Command("diff", "-r", tree, down))
	run(t, d.lftp(false, "rm -r other"))
	if got := run(t, d.lftp(false, "cls -1")); strings.Contains(got, "other") || strings.Contains(got, "tree") {
		t.Errorf("after the removal there are %q", got)
	}
	if n := cut() - before; n > 0 {
		t.Errorf("%d transfers that nobody cut off ended in 426", n)
	}
}

// renamed moves a directory of 1,000 files.
func renamed(t *testing.T, d *daemon, store backend.Store, _ kind) {
	run(t, d.lftp(false, "mkdir from to")) // the program shall know of them, whatever it remembers of the root
	var group errgroup.Group
	group.SetLimit(16)
	want := []string{"to/there/"}
	for i := range 1000 {
		rel := fmt.Sprintf("%d/%03d", i%20, i)
		want = append(want, "to/there/"+rel)
		group.Go(func() error {
			_, err := store.Put(t.Context(), "from/"+rel, []byte(rel), backend.PutOptions{})
			return err
		})
	}
	must(t, group.Wait())
	run(t, d.lftp(false, "mv from to/there"))
	var got []string
	for _, prefix := range []string{"from/", "to/there/"} {
		for row, err := range store.List(t.Context(), prefix, backend.ListOptions{Recursive: true}) {
			must(t, err)
			got = append(got, row.Key)
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("there are %d files in the end, from %s to %s", len(got), got[0], got[len(got)-1])
	}
	if got := run(t, d.curl(d.url(false, "to/there/17/417"))); got != "17/417" {
		t.Errorf("a file has %q", got)
	}
}

// scripted runs the commands of Python's ftplib.
func scripted(t *testing.T, d *daemon, _ backend.Store, _ kind) {
	run(t, exec.Command(tool(t, "python3"), "testdata/ftplib_client.py", fmt.Sprint(d.explicit), d.ca, user, password))
}
