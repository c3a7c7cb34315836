package vfs_test

import (
	"slices"
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

// narrow tells of smaller limits than its store has.
type narrow struct {
	backend.Store
	caps backend.Caps
}

func (n narrow) Caps() backend.Caps { return n.caps }

// limited is a store whose files are written in parts from a few bytes on, and in which journals find room nevertheless.
func limited(cfg mem.Config) backend.Store {
	if cfg.Caps == nil {
		return mem.New(cfg)
	}
	n := narrow{caps: *cfg.Caps}
	roomy := n.caps
	roomy.MaxPut = 1 << 20
	cfg.Caps = &roomy
	n.Store = mem.New(cfg)
	return &n
}

func TestModel(t *testing.T) {
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) {
			vfstest.Run(t, func(*rapid.T) (backend.Store, string) { return limited(cfg), "" })
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
			vfstest.Faults(t, func(*testing.T) (backend.Store, string) { return limited(cfg), "" })
		})
	}
}

func TestHeld(t *testing.T) {
	for name, cfg := range configs() {
		if cfg.Caps != nil && cfg.Caps.MaxPut < 1<<20 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			vfstest.Held(t, func(t *testing.T) backend.Store {
				held := false
				cfg.Fault = func(op, key string) error {
					if held && key == "held" && slices.Contains([]string{"put", "commit", "copy", "move", "delete"}, op) || held && key == "other" && op == "move" {
						return backend.ErrPermission
					}
					return nil
				}
				s := mem.New(cfg)
				for _, key := range []string{"held", "free"} {
					if _, err := s.Put(t.Context(), key, []byte(key), backend.PutOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				held = true
				return s
			})
		})
	}
}

func TestAppends(t *testing.T) {
	parts := mem.DefaultCaps()
	parts.MinPart = 5000
	for name, caps := range map[string]backend.Caps{"any part": mem.DefaultCaps(), "large parts": parts} {
		t.Run(name, func(t *testing.T) {
			vfstest.Appends(t, func(*testing.T) (backend.Store, func() int) {
				s := mem.New(mem.Config{Caps: &caps})
				return s, func() int { return s.Count("open") }
			})
		})
	}
}
