package gcs

import (
	"fmt"
	"testing"

	"sluice/backend"
	"sluice/backend/storetest"
	"sluice/backend/vfs/vfstest"
)

// TestStore runs the whole suite against a server in memory that keeps what the emulator does not.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) backend.Store { return newCloud(t).open(Config{PageSize: 3}) }, storetest.Options{Page: 3})
}

// TestFaults lets requests of the tree fail, and somebody else write between them.
func TestFaults(t *testing.T) {
	s := newCloud(t).open(Config{})
	n := 0
	vfstest.Faults(t, func(*testing.T) (backend.Store, string) {
		n++
		return s, fmt.Sprintf("run%d/", n)
	})
}
