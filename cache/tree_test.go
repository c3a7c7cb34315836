package cache

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/vfs/vfstest"
)

// TestTree: a tree over a cached store is what it is without the cache, whatever of it comes from listings that are remembered.
func TestTree(t *testing.T) {
	rowsOnly, moves := mem.DefaultCaps(), mem.DefaultCaps()
	rowsOnly.ListMetadata, moves.Move = false, true
	for name, cfg := range map[string]mem.Config{"metadata in rows": {}, "none in rows": {Caps: &rowsOnly, Page: 3}, "moves": {Caps: &moves, Page: 2}} {
		t.Run(name, func(t *testing.T) {
			n := 0
			c := rows(3, Config{})
			vfstest.Run(t, func(*rapid.T) (backend.Store, string) {
				n++
				return c.Wrap(fmt.Sprint(n), mem.New(cfg)), ""
			})
			settled(t, c)
		})
	}
}

// TestTreeFaults breaks each request of what makes or changes a whole file.
func TestTreeFaults(t *testing.T) {
	rowsOnly := mem.DefaultCaps()
	rowsOnly.ListMetadata = false
	vfstest.Faults(t, func(*testing.T) (backend.Store, string) {
		return New(Config{}).Wrap("s", mem.New(mem.Config{Caps: &rowsOnly})), ""
	})
}
