//go:build e2e

package gcs

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/storetest"
	"sluice/backend/storetest/fakegcs"
	"sluice/backend/vfs/vfstest"
)

// TestE2EStore runs the suite against fake-gcs-server, each case in a bucket of its own.
func TestE2EStore(t *testing.T) {
	server := fakegcs.Start(t)
	n := 0
	storetest.Run(t, func(t *testing.T) backend.Store {
		n++
		bucket := fmt.Sprintf("bucket-%d", n)
		server.NewBucket(t, bucket)
		return pageless{connect(t, Config{Bucket: bucket, Endpoint: server.Endpoint})}
	}, storetest.Options{Lacks: map[storetest.Gap]string{
		storetest.Moves:            "it has no objects.move",
		storetest.CommitCondition:  "compose does not read the conditions on its target",
		storetest.CopyCondition:    "rewrite does not read the conditions on its target",
		storetest.DeleteVersion:    "delete reads no conditions",
		storetest.StickyAttributes: "compose keeps the content type of what it replaces, and a patch cannot take metadata away",
	}})
}

// pageless does not say how many rows it wants: fake-gcs-server counts only objects, and sends all common prefixes with the first
// page.
type pageless struct{ *Store }

func (s pageless) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	opts.Limit = 0
	return s.Store.List(ctx, prefix, opts)
}

func connect(t *testing.T, cfg Config) *Store {
	t.Helper()
	cfg.Anonymous = true
	s, err := open(t.Context(), cfg, patience{attempts: 3, pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestE2ETree runs the model of the tree against fake-gcs-server.
func TestE2ETree(t *testing.T) {
	server := fakegcs.Start(t)
	s := connect(t, Config{Bucket: server.Bucket, Endpoint: server.Endpoint})
	n := 0
	vfstest.Run(t, func(*rapid.T) (backend.Store, string) {
		n++
		return pageless{s}, fmt.Sprintf("run%d/", n)
	})
}

// TestE2EStrictTree runs the model against the server in memory, which keeps the conditions that the emulator does not.
func TestE2EStrictTree(t *testing.T) {
	s := newCloud(t).open(Config{PageSize: 5})
	n := 0
	vfstest.Run(t, func(*rapid.T) (backend.Store, string) {
		n++
		return s, fmt.Sprintf("run%d/", n)
	})
}

// TestE2ECheck: what an operator gets wrong is named in one sentence.
func TestE2ECheck(t *testing.T) {
	server := fakegcs.Start(t)
	for name, tc := range map[string]struct {
		cfg  Config
		want string
	}{
		"good":           {Config{Bucket: server.Bucket, Endpoint: server.Endpoint}, ""},
		"missing bucket": {Config{Bucket: "nowhere", Endpoint: server.Endpoint}, "does not exist"},
		"unreachable":    {Config{Bucket: server.Bucket, Endpoint: "http://127.0.0.1:1"}, "cannot be reached"},
	} {
		err := connect(t, tc.cfg).Check(t.Context())
		switch {
		case tc.want == "" && err == nil:
		case tc.want == "" || err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
