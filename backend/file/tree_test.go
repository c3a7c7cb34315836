package file

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/vfs/vfstest"
)

// TestTree runs the model of the tree over a directory.
func TestTree(t *testing.T) {
	s := open(t, t.TempDir())
	n := 0
	vfstest.Run(t, func(*rapid.T) (backend.Store, string) {
		n++
		return s, fmt.Sprintf("run%d/", n)
	})
}

// TestTreeFaults lets requests of the tree fail, and somebody else write between them.
func TestTreeFaults(t *testing.T) {
	s := open(t, t.TempDir())
	n := 0
	vfstest.Faults(t, func(*testing.T) (backend.Store, string) {
		n++
		return s, fmt.Sprintf("run%d/", n)
	})
}
