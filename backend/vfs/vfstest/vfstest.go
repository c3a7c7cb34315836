// Package vfstest checks a vfs.Tree over any backend.Store against a plain model. Tests of stores call it.
package vfstest

import (
	"testing"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
)

// Run does random operations on trees over stores that open returns, and compares every answer and the resulting tree with a
// model. Each call of open returns a store, or a new decorator of one, without objects below the prefix, which ends in a
// slash. How many trees there are is set by the flag -rapid.checks, and by -rapid.steps how many operations.
//
// Only names that every store can hold are used, and no file with the name of a directory.
func Run(t *testing.T, open func(t *rapid.T) (store backend.Store, prefix string)) {
	rapid.Check(t, func(t *rapid.T) {
		store, prefix := open(t)
		tree, err := vfs.New(vfs.Config{
			// Buffers so small that some files need parts, where the store permits.
			Engine: transfer.New(transfer.Config{PartSize: 16, Budget: transfer.NewBudget(1<<20, 0)}),
			Mounts: []vfs.Mount{
				{Path: "/", Store: store, Prefix: prefix + "root/", Rights: vfs.Full},
				{Path: "/b/a", Store: store, Prefix: prefix + "other/", Rights: vfs.Full},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		m := newMachine(tree, "/", "/b", "/b/a")
		t.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"Put":      m.put,
			"Append":   m.append,
			"Open":     m.open,
			"Remove":   m.remove,
			"Mkdir":    m.mkdir,
			"Rmdir":    m.rmdir,
			"Rename":   m.rename,
			"Stat":     m.stat,
			"ReadDir":  m.readDir,
			"SetTimes": m.setModTime,
			"Copy":     m.copy,
			"Concat":   m.concat,
			"Hash":     m.hash,
		})
	})
}
