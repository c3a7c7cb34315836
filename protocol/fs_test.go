package protocol_test

import (
	"fmt"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
)

// refusals are the keys that the store in memory refuses to hold, once it has their bytes.
var refusals = map[string]error{
	"odd": backend.ErrBadKey, "locked": backend.ErrPermission, "large": backend.ErrTooLarge, "changed": backend.ErrChanged, "away": backend.ErrUnavailable,
}

func refuse(op, key string) error {
	if err := refusals[key]; err != nil && op == "put" {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// newFS returns an empty tree over a store in memory.
func newFS(t interface {
	Helper()
	Fatal(args ...any)
}) vfs.FS {
	t.Helper()
	return newTree(t, vfs.Mount{Path: "/", Store: mem.New(mem.Config{Fault: refuse}), Rights: vfs.Full})
}

// newCold returns an empty tree whose files must be restored before they can be read.
func newCold(t interface {
	Helper()
	Fatal(args ...any)
}) vfs.FS {
	t.Helper()
	return newTree(t, vfs.Mount{Path: "/", Store: mem.New(mem.Config{Cold: "GLACIER"}), Rights: vfs.Full, StorageClass: "GLACIER"})
}

func newTree(t interface {
	Helper()
	Fatal(args ...any)
}, m vfs.Mount) vfs.FS {
	t.Helper()
	tree, err := vfs.New(vfs.Config{Engine: transfer.New(transfer.Config{}), Mounts: []vfs.Mount{m}})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
