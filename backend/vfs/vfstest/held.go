package vfstest

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"sluice/backend"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
)

// Held checks that a file which a store does not let go, for a hold or a retention period, stays what it is, whatever is tried, and that
// nothing is added. open returns a store with the objects "held" and "free", whose contents are their names; that refuses to have the
// former replaced or deleted.
func Held(t *testing.T, open func(t *testing.T) backend.Store) {
	put := func(name string, offset int64, body string) func(*testing.T, vfs.FS) error {
		return func(t *testing.T, fs vfs.FS) error {
			_, err := fs.Put(t.Context(), name, offset, strings.NewReader(body), vfs.PutOptions{})
			return err
		}
	}
	for name, do := range map[string]func(*testing.T, vfs.FS) error{
		"delete":        func(t *testing.T, fs vfs.FS) error { return fs.Remove(t.Context(), "/held") },
		"rename":        func(t *testing.T, fs vfs.FS) error { return fs.Rename(t.Context(), "/held", "/other") },
		"rename over":   func(t *testing.T, fs vfs.FS) error { return fs.Rename(t.Context(), "/free", "/held") },
		"copy over":     func(t *testing.T, fs vfs.FS) error { return fs.Copy(t.Context(), "/free", "/held") },
		"upload":        put("/held", 0, "new"),
		"upload, large": put("/held", 0, strings.Repeat("x", 3<<20)),
		"append":        put("/held", vfs.AtEnd, "more"),
		"in the middle": put("/held", 2, "more"),
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			tree, err := vfs.New(vfs.Config{
				Engine: transfer.New(transfer.Config{PartSize: 1 << 20}), Mounts: []vfs.Mount{{Path: "/", Store: store, Rights: vfs.Full}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := do(t, tree); !errors.Is(err, backend.ErrPermission) {
				t.Errorf("%v, want ErrPermission", err)
			}
			var keys []string
			for row, err := range store.List(t.Context(), "", backend.ListOptions{Recursive: true}) {
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, row.Key)
			}
			if !slices.Equal(keys, []string{"free", "held"}) {
				t.Errorf("the store holds %q", keys)
			}
			for _, key := range keys {
				body, _, err := store.Open(t.Context(), key, backend.OpenOptions{})
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(body)
				if err = errors.Join(err, body.Close()); err != nil || string(got) != key {
					t.Errorf("%s is %.20q, %v", key, got, err)
				}
			}
		})
	}
}
