//go:build e2e

package main_test

import (
	"bytes"
	"crypto/md5"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/backend"
	"sluice/backend/s3"
	"sluice/backend/storetest/versitygw"
)

// TestE2EKill kills the program at fifty random moments, starts it again, and looks into the bucket past it: what was being done is done
// or is not, nothing is lost, and nothing is there twice. SLUICE_TEST_SEED repeats the moments of another run, as far as a clock can.
func TestE2EKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SLUICE_TEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		must(t, err)
	}
	t.Logf("SLUICE_TEST_SEED=%d", seed)
	for i, part := range []struct {
		name string
		run  func(k *killer, kills int)
		n    int
	}{{"rename", (*killer).renames, 25}, {"small uploads", (*killer).uploads, 15}, {"large uploads", (*killer).large, 10}} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel() // each with a bucket of its own
			g := versitygw.Start(t)
			store, err := s3.Open(t.Context(), s3.Config{
				Bucket: g.Bucket, Region: "us-east-1", Endpoint: g.Endpoint, PathStyle: true, AccessKey: g.AccessKey, SecretKey: g.SecretKey,
			})
			must(t, err)
			part.run(&killer{daemon: start(t, g), store: store, rand: rand.New(rand.NewPCG(seed, uint64(i)))}, part.n)
		})
	}
}

// killer kills a daemon and looks into its bucket.
type killer struct {
	*daemon
	store backend.Store
	rand  *rand.Rand
}

// within returns a random time below d.
func (k *killer) within(d time.Duration) time.Duration { return time.Duration(k.rand.Int64N(int64(d))) }

// again kills the program and starts it anew; now and then it is killed once more while it starts.
func (k *killer) again() {
	k.t.Helper()
	k.kill()
	if k.rand.IntN(4) == 0 {
		k.launch()
		time.Sleep(k.within(400 * time.Millisecond))
		k.kill()
	}
	k.serve()
}

// bucket is what is in the bucket below a prefix: the digest of each object by its key.
func (k *killer) bucket(prefix string) map[string]string {
	k.t.Helper()
	found := map[string]string{}
	for row, err := range k.store.List(k.t.Context(), prefix, backend.ListOptions{Recursive: true}) {
		must(k.t, err)
		found[row.Key] = strings.Trim(row.ETag, `"`)
	}
	return found
}

// digest is the ETag of an object that was not written in parts.
func digest(p []byte) string { return fmt.Sprintf("%x", md5.Sum(p)) }

// renames moves a directory on and on, from one name to the next.
func (k *killer) renames(kills int) {
	t := k.t
	tree := map[string][]byte{"empty/": nil, "sub/empty/": nil}
	for i := range 200 {
		name := fmt.Sprintf("%s%03d.txt", []string{"", "sub/", "sub/deep/er/", "ünï cödé/"}[i%4], i)
		tree[name] = []byte(strings.Repeat(name, i))
	}
	var group errgroup.Group
	group.SetLimit(16)
	for name, content := range tree {
		group.Go(func() error {
			_, err := k.store.Put(t.Context(), "tree/v0/"+name, content, backend.PutOptions{})
			return err
		})
	}
	must(t, group.Wait())
	under := func(dir string) map[string]string {
		all := map[string]string{}
		for name, content := range tree {
			all[dir+"/"+name] = digest(content)
		}
		return all
	}

	now := "tree/v0"
	var whole time.Duration // that the last one took which was not cut off
	rename := func(to string) (answer chan int) {
		c := k.dial()
		c.cmd(350, "RNFR %s", now)
		must(t, c.text.PrintfLine("RNTO %s", to))
		began := time.Now()
		answer = make(chan int, 1)
		go func() {
			code, _, err := c.text.ReadResponse(0)
			if err != nil {
				code = 0 // no answer
			}
			if code == 250 {
				whole = time.Since(began)
			}
			answer <- code
		}()
		return answer
	}
	if code := <-rename("tree/v"); code != 250 {
		t.Fatalf("rename: %d", code)
	}
	now = "tree/v"
	forward, unanswered, atOnce := 0, 0, 0
	for i := range kills {
		to := fmt.Sprintf("tree/v%d", i+1)
		wait := k.within(whole + whole/8)
		answer := rename(to)
		time.Sleep(wait)
		k.again()
		code := <-answer
		if code == 0 {
			unanswered++
		}
		was := now
		for look, deadline := 0, time.Now().Add(10*time.Second); ; look++ {
			found, journals := k.bucket("tree/"), k.bucket(".sluice/renames/")
			moved := maps.Equal(found, under(to))
			if (moved || code != 250 && maps.Equal(found, under(was))) && len(journals) == 0 {
				if moved {
					now = to
					forward++
				}
				if look == 0 {
					atOnce++
				}
				break
			}
			time.Sleep(50 * time.Millisecond)
			if time.Now().After(deadline) {
				t.Fatalf("kill %d, answer %d: neither under %s nor under %s: %q, journals %q", i, code, was, to, slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(journals)))
			}
		}
	}
	t.Logf("a rename took %v; %d of %d were not answered, %d were done, %d were right when the program listened", whole, unanswered, kills, forward, atOnce)
	if unanswered == 0 || forward == 0 {
		t.Error("none was cut off in the middle")
	}
	for name, content := range tree {
		body, _, err := k.store.Open(t.Context(), now+"/"+name, backend.OpenOptions{})
		must(t, err)
		p, err := io.ReadAll(body)
		must(t, err)
		must(t, body.Close())
		if !bytes.Equal(p, content) {
			t.Errorf("%s has other content", name)
		}
	}
}

// send uploads content and returns what the server said; 0: nothing.
func (c *ftpClient) send(name string, content io.Reader) (code int) {
	if err := c.text.PrintfLine("EPSV"); err != nil {
		return 0
	}
	_, msg, err := c.text.ReadResponse(229)
	if err != nil {
		return 0
	}
	raw, err := net.Dial("tcp", "127.0.0.1:"+epsvPort.FindStringSubmatch(msg)[1])
	if err != nil {
		return 0
	}
	defer raw.Close()
	conn := tls.Client(raw, c.tls)
	if err := c.text.PrintfLine("STOR %s", name); err != nil {
		return 0
	}
	if _, _, err := c.text.ReadResponse(150); err != nil {
		return 0
	}
	if err := conn.Handshake(); err != nil { // there may be nothing to write
		return 0
	}
	if _, err := io.Copy(conn, content); err != nil {
		return 0
	}
	if err := conn.Close(); err != nil {
		return 0
	}
	code, _, err = c.text.ReadResponse(0)
	if err != nil {
		return 0
	}
	return code
}

// uploads sends small files one after the other, anew after each kill.
func (k *killer) uploads(kills int) {
	t := k.t
	k.dial().cmd(257, "MKD small")
	stored, sent := map[string]string{}, 0
	for i := range kills {
		c := k.dial()
		kill := time.After(20*time.Millisecond + k.within(400*time.Millisecond))
		last, done := map[string]string{}, make(chan struct{})
		go func() {
			defer close(done)
			for n := 0; ; n++ {
				key := fmt.Sprintf("small/%d-%d", i, n)
				content := bytes.Repeat([]byte(key), n*37%2000)
				clear(last)
				last[key] = digest(content)
				if c.send("/"+key, bytes.NewReader(content)) != 226 {
					return
				}
				stored[key] = digest(content)
				sent++
			}
		}()
		<-kill
		k.again()
		<-done
		found := k.bucket("small/")
		for key, sum := range last { // the answer may have been on its way
			if found[key] == sum {
				stored[key] = sum
			}
		}
		delete(found, "small/") // the marker of the directory
		if !maps.Equal(found, stored) {
			t.Fatalf("kill %d: the bucket has %d objects, and %d were acknowledged: %q", i, len(found), len(stored), slices.Sorted(maps.Keys(found)))
		}
	}
	t.Logf("%d files were sent between %d kills", sent, kills)
	if sent < kills {
		t.Errorf("only %d files were sent between %d kills", sent, kills)
	}
	if left := k.bucket(".sluice/"); len(left) > 0 {
		t.Errorf("left behind: %q", slices.Sorted(maps.Keys(left)))
	}
}

// large sends files in parts, and overwrites an older one every other time.
func (k *killer) large(kills int) {
	t := k.t
	const size = 26<<20 + 3
	content, err := io.ReadAll(randomBytes(7, size))
	must(t, err)
	old := []byte("as it was")
	var whole time.Duration // that the last one took which was not cut off
	send := func(key string) (answer chan int) {
		c := k.dial()
		began := time.Now()
		answer = make(chan int, 1)
		go func() {
			code := c.send(key, bytes.NewReader(content))
			if code == 226 {
				whole = time.Since(began)
			}
			answer <- code
		}()
		return answer
	}
	if code := <-send("large"); code != 226 {
		t.Fatalf("upload: %d", code)
	}
	cut := 0
	for i := range kills {
		key := fmt.Sprintf("large%d", i)
		if i%2 == 0 {
			_, err := k.store.Put(t.Context(), key, old, backend.PutOptions{})
			must(t, err)
		}
		wait := k.within(whole + whole/8)
		answer := send(key)
		time.Sleep(wait)
		k.again()
		code := <-answer
		if code != 226 {
			cut++
		}
		body, obj, err := k.store.Open(t.Context(), key, backend.OpenOptions{})
		if err != nil && (code == 226 || i%2 == 0) {
			t.Fatalf("kill %d, answer %d: %v", i, code, err)
		} else if err != nil {
			continue
		}
		p, err := io.ReadAll(body)
		must(t, err)
		must(t, body.Close())
		if !bytes.Equal(p, content) && (code == 226 || !bytes.Equal(p, old) || i%2 == 1) {
			t.Errorf("kill %d, answer %d: %d bytes are there, and they are not right", i, code, obj.Size)
		}
	}
	t.Logf("an upload took %v; %d of %d were cut off", whole, cut, kills)
	if cut == 0 {
		t.Error("none was cut off")
	}
	for key := range k.bucket(".sluice/") {
		if path.Dir(path.Dir(key)) != ".sluice/uploads" {
			t.Errorf("left behind: %s", key)
		}
	}
}
