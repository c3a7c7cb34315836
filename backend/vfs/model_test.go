package vfs_test

import (
	"testing"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/vfs/vfstest"
)

func TestModel(t *testing.T) {
	parts := mem.DefaultCaps()
	parts.MinPart, parts.MaxPut, parts.MaxCopy, parts.MaxCopyPart = 4, 40, 50, 60
	plain := mem.DefaultCaps()
	plain.CopyPart, plain.ListMetadata, plain.MaxCopy = false, false, 30
	for name, cfg := range map[string]mem.Config{
		"mem": {}, "small pages": {Page: 2}, "parts": {Caps: &parts}, "plain": {Caps: &plain, Page: 1},
	} {
		t.Run(name, func(t *testing.T) {
			vfstest.Run(t, func(*rapid.T) (backend.Store, string) { return mem.New(cfg), "" })
		})
	}
}
