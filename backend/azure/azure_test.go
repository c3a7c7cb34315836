package azure

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/storetest"
	"sluice/backend/vfs/vfstest"
)

// TestStore runs the suite against the service in memory, which can what the emulator cannot.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) backend.Store { _, s := newService(t); return s }, storetest.Options{Page: 3, Lacks: map[storetest.Gap]string{
		storetest.Backslash:      "Azure takes it for a slash, so that the driver refuses it",
		storetest.AbortedUploads: "nothing drops uncommitted blocks but the next write of the blob",
		storetest.SharedParts:    "a commit drops all uncommitted blocks of its blob",
	}})
}

// TestAppends: what is there is copied by the service, block by block.
func TestAppends(t *testing.T) {
	vfstest.Appends(t, func(t *testing.T) (backend.Store, func() int) {
		c, s := newService(t)
		return s, func() int { return c.count("GET") }
	})
}

// TestHeld: what a policy forbids changes nothing.
func TestHeld(t *testing.T) {
	vfstest.Held(t, func(t *testing.T) backend.Store {
		c, s := newService(t)
		for _, key := range []string{"held", "free"} {
			if _, err := s.Put(t.Context(), key, []byte(key), backend.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		c.blobs["held"].held = true
		return s
	})
}

// TestFaults breaks each request of what makes or changes a whole file.
func TestFaults(t *testing.T) {
	vfstest.Faults(t, func(t *testing.T) (backend.Store, string) { _, s := newService(t); return s, "" })
}

// TestModTime: another time is one write of metadata, which moves no byte.
func TestModTime(t *testing.T) {
	c, s := newService(t)
	o, err := s.Put(t.Context(), "k", []byte("text"), backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a := o.Attributes()
	a.ModTime = o.Updated.AddDate(-1, 0, 0)
	c.seen = map[string]int{}
	got, err := s.Copy(t.Context(), "k", "k", backend.CopyOptions{If: backend.Condition{ETag: o.ETag}, SrcETag: o.ETag, Replace: &a})
	if err != nil || !got.ModTime.Equal(a.ModTime) || len(c.seen) != 2 || c.seen["HEAD"] != 1 || c.seen["PUT metadata"] != 1 {
		t.Errorf("%+v, %v, requests %v", got, err, c.seen)
	}
	for row, err := range s.List(t.Context(), "", backend.ListOptions{}) {
		if err != nil || !row.ModTime.Equal(a.ModTime) {
			t.Errorf("%+v, %v", row, err)
		}
	}
	if !slices.Equal(c.blobs["k"].data, []byte("text")) {
		t.Error("the content changed")
	}
}

// TestLargeModTime: a blob that is too large to be copied in one go takes another time all the same.
func TestLargeModTime(t *testing.T) {
	var ops []string
	s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
		ops = append(ops, operation(r))
		describe(w, fmt.Sprint(caps.MaxCopy+1))
		if r.Method == http.MethodPut {
			w.Header().Set("Content-Length", "0")
		}
	})
	_, err := s.Copy(t.Context(), "k", "k", backend.CopyOptions{Replace: &backend.Attributes{ContentType: "text/plain", ModTime: time.Unix(1, 0)}})
	if err != nil || !slices.Equal(ops, []string{"HEAD", "PUT metadata"}) {
		t.Errorf("%v, requests %q", err, ops)
	}
	if _, err := s.Copy(t.Context(), "l", "k", backend.CopyOptions{}); !errors.Is(err, backend.ErrTooLarge) {
		t.Errorf("a copy: %v, want ErrTooLarge", err)
	}
}
