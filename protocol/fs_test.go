package protocol_test

import (
	"testing"

	"sluice/backend/mem"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
)

// newFS returns an empty tree over a store in memory.
func newFS(t *testing.T) vfs.FS {
	t.Helper()
	tree, err := vfs.New(vfs.Config{
		Engine: transfer.New(transfer.Config{}),
		Mounts: []vfs.Mount{{Path: "/", Store: mem.New(mem.Config{}), Rights: vfs.Full}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
