package vfs_test

import (
	"testing"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/vfs/vfstest"
)

func configs() map[string]mem.Config {
	parts := mem.DefaultCaps()
	parts.MinPart, parts.MaxPut, parts.MaxCopy, parts.MaxCopyPart = 4, 40, 50, 60
	plain := mem.DefaultCaps()
	plain.CopyPart, plain.ListMetadata, plain.MaxCopy = false, false, 30
	moves := mem.DefaultCaps()
	moves.Move = true
	return map[string]mem.Config{"mem": {}, "moves": {Caps: &moves}, "small pages": {Page: 2}, "parts": {Caps: &parts}, "plain": {Caps: &plain, Page: 1}}
}

func TestModel(t *testing.T) {
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) {
			vfstest.Run(t, func(*rapid.T) (backend.Store, string) { return mem.New(cfg), "" })
		})
	}
}

func TestPartials(t *testing.T) {
	for _, name := range []string{"small pages", "parts"} {
		t.Run(name, func(t *testing.T) {
			cfg := configs()[name]
			if cfg.Caps != nil {
				cfg.Caps.MaxPut = 4000 // records must find room
			}
			vfstest.Partials(t, func(*rapid.T) (backend.Store, string) { return mem.New(cfg), "" })
		})
	}
}

func TestFaults(t *testing.T) {
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits now and then
			vfstest.Faults(t, func(*testing.T) (backend.Store, string) { return mem.New(cfg), "" })
		})
	}
}
