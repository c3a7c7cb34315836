package vfstest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"sluice/backend"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
)

// Appends checks that what is written at the end or in the middle of a file leaves in the store what comes before: it is not read, but for
// what the store cannot copy, and never mixed with what somebody else writes meanwhile. open returns a store without objects, and a function that
// tells how many reads of objects its server has answered.
func Appends(t *testing.T, open func(t *testing.T) (store backend.Store, reads func() int)) {
	probe, _ := open(t)
	caps := probe.Caps()
	head := strings.Repeat("0123456789", int(max(caps.MinPart, 100)/10+10))
	for _, c := range []struct {
		name   string
		base   string
		offset int64
		tail   string
		reads  bool // what comes before the offset passes through this process
	}{
		{"at the end", head, vfs.AtEnd, "tail", false},
		{"many bytes at the end", head, vfs.AtEnd, strings.Repeat("tail", 1<<20), false},
		{"nothing at the end", head, vfs.AtEnd, "", false},
		{"in the middle", head, int64(len(head)) - 7, "middle", caps.CopyWhole},
		{"behind less than a part", head[:max(1, caps.MinPart-1)], vfs.AtEnd, "tail", caps.MinPart > 1},
		{"to an empty file", "", vfs.AtEnd, "tail", false},
	} {
		want := c.base + c.tail
		if c.offset >= 0 {
			want = c.base[:c.offset] + c.tail
		}
		for _, changed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, changed meanwhile %v", c.name, changed), func(t *testing.T) {
				store, reads := open(t)
				tree, err := vfs.New(vfs.Config{
					Engine: transfer.New(transfer.Config{PartSize: 1 << 20}), Mounts: []vfs.Mount{{Path: "/", Store: store, Rights: vfs.Full}},
				})
				if err != nil {
					t.Fatal(err)
				}
				put := func(body string) {
					if _, err := store.Put(t.Context(), "f", []byte(body), backend.PutOptions{Attributes: backend.Attributes{Metadata: map[string]string{"k": "v"}}}); err != nil {
						t.Fatal(err)
					}
				}
				put(c.base)
				before := reads()
				r := &foreign{Reader: strings.NewReader(c.tail)}
				if changed {
					r.before = func() { put("somebody else's") }
				}
				info, err := tree.Put(t.Context(), "/f", c.offset, r, vfs.PutOptions{})
				got := reads() - before
				switch {
				case changed && c.tail == "": // nothing was to be done
				case changed && !errors.Is(err, backend.ErrChanged):
					t.Errorf("%v, want ErrChanged", err)
				case !changed && (err != nil || info.Size != int64(len(want))):
					t.Errorf("%d bytes, %v, want %d", info.Size, err, len(want))
				}
				if !changed && (got > 0) != c.reads {
					t.Errorf("%d reads of what is there already, wanted some: %v", got, c.reads)
				}
				if changed {
					want = "somebody else's"
				}
				body, obj, err := store.Open(t.Context(), "f", backend.OpenOptions{})
				if err != nil {
					t.Fatal(err)
				}
				p, err := io.ReadAll(body)
				if err = errors.Join(err, body.Close()); err != nil || string(p) != want || obj.Metadata["k"] != "v" {
					t.Errorf("%d bytes that end in %.10q, metadata %v, %v, want %d", len(p), p[max(0, len(p)-10):], obj.Metadata, err, len(want))
				}
				for row, err := range store.List(t.Context(), "", backend.ListOptions{Recursive: true}) {
					if err != nil || row.Key != "f" {
						t.Errorf("the store holds %q, %v", row.Key, err)
					}
				}
			})
		}
	}
}

// foreign lets somebody else act before the first byte is read.
type foreign struct {
	io.Reader
	before func()
}

func (f *foreign) Read(p []byte) (int, error) {
	if f.before != nil {
		f.before()
		f.before = nil
	}
	return f.Reader.Read(p)
}
