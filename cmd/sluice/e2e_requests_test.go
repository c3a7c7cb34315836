//go:build e2e

package main

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/backend"
)

// TestE2ERequests is TestRequests for each kind of remote store: what an FTP command costs there, by what the requests do.
func TestE2ERequests(t *testing.T) {
	type counts = map[string]int
	const atStart = 4 // listings: of renames that a dead process has left, and of uploads that nobody has resumed
	large := strings.Repeat("0123456789abcdef", 20<<20/16)
	steps := []struct {
		command, body string // "A; B" are two; "A: 550" fails
		want          counts
		but           map[string]counts // of some stores
	}{
		{"MLSD few", "", counts{"list": 2}, nil}, // of the directory, and of the user's uploads that were cut off
		{"LIST few; SIZE few/1; SIZE few/none: 550", "", counts{}, nil},
		{"RETR few/1", "", counts{"get": 1}, nil},
		{"RETR fresh/1", "", counts{"get": 1}, nil},
		{"STOR few/new; SIZE few/new; MDTM few/new", "hello", counts{"put": 1}, nil},
		{"STOR few/new", "hello again", counts{"put": 1}, nil},
		{"APPE few/3", "tail", counts{"head": 1, "get": 1, "put": 1}, map[string]counts{ // no part of S3 is that small
			"gcs":   {"copy": 1, "delete": 4, "head": 3, "list": 3, "part": 1, "post": 1, "put": 3},
			"azure": {"copy": 1, "delete": 1, "head": 2, "part": 1, "put": 2},
		}},
		{"DELE few/new; SIZE few/new: 550", "", counts{"delete": 1}, nil},
		{"MKD made; MKD other", "", counts{"list": 1, "put": 2}, nil},
		{"RMD other", "", counts{"list": 1, "delete": 1}, nil},
		{"STOR fresh/new; STOR fresh/newer", "hello", counts{"list": 1, "put": 2}, nil},
		{"RNFR few/2; RNTO few/2a", "", counts{"copy": 1, "delete": 1}, map[string]counts{
			// Both emulators refuse what does it in one request (a move, a copy): it is one request more, and those of what is done instead.
			"gcs":   {"copy": 2, "head": 2, "list": 1, "delete": 1},
			"azure": {"copy": 2, "put": 1, "head": 2, "delete": 1},
		}},
		{"STOR few/large; SIZE few/large", large, counts{"post": 2, "part": 3, "put": 1, "delete": 1}, map[string]counts{
			// Parts are objects, and each looks whether the upload is still there; the emulator leaves them to be deleted one by one.
			"gcs": {"post": 1, "part": 3, "put": 3, "head": 3, "list": 3, "delete": 5},
			// An upload is begun by its first block; the answer to the list of blocks tells no size.
			"azure": {"part": 3, "put": 2, "head": 1, "delete": 1},
		}},
	}
	for _, kind := range []string{"s3", "gcs", "azure"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := startFlaky(t, kind, "timeout: 1m")
			for _, key := range []string{"few/1", "few/2", "few/3", "fresh/1"} {
				if _, err := f.direct.Put(t.Context(), key, []byte("content"), backend.PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			r := boot(t, fmt.Sprintf(`tls: {certificates: [{cert: server.crt, key: server.key}]}
stores: {drops: %s}
users: [{name: ann, password: %q, mounts: [{path: /, store: drops}]}]
`, f.config, hashed()))
			for start := time.Now(); f.counts()["list"] < atStart; time.Sleep(10 * time.Millisecond) {
				if time.Since(start) > 30*time.Second {
					t.Fatalf("at the start there were %s, want %d listings", show(f.counts()), atStart)
				}
			}
			c := r.connect(t)
			c.login("ann", "secret", "230")
			c.do("TYPE I", "200")
			for i, step := range steps {
				if i > 0 { // what a listing says is forgotten after five seconds
					if code := c.attempt("MLSD few", ""); code != 226 {
						t.Fatalf("MLSD few: %d", code)
					}
				}
				before := f.counts()
				for command := range strings.SplitSeq(step.command, "; ") {
					command, fails := strings.CutSuffix(command, ": 550")
					if code := c.attempt(command, step.body); fails != (code == 550) || !fails && code/100 > 3 {
						t.Errorf("%s: %d", command, code)
					}
				}
				got := f.counts()
				maps.DeleteFunc(got, func(op string, n int) bool { return n == before[op] })
				for op := range got {
					got[op] -= before[op]
				}
				want := step.want
				if but, ok := step.but[kind]; ok {
					want = but
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%d, %s: %s, want %s", i, step.command, show(got), show(want))
				}
			}
		})
	}
}

// counts is how many requests there have been, by operation.
func (f *flaky) counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.count)
}
