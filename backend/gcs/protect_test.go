package gcs

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/vfs/vfstest"
)

// TestProtectionOnWire: what is asked for goes with every request that makes a file, and with no other.
func TestProtectionOnWire(t *testing.T) {
	ctx := t.Context()
	for name, p := range map[string]Protection{
		"nothing": {}, "ACL": {ACL: "bucketOwnerFullControl"}, "hold": {Hold: "temporary"}, "event": {Hold: "event"},
		"unlocked": {LockMode: "unlocked", LockDays: 30}, "locked": {LockMode: "locked", LockDays: 30},
	} {
		c := newCloud(t)
		s := c.open(Config{Protection: p})
		a := backend.Attributes{Metadata: map[string]string{"k": "v"}}
		_, put := s.Put(ctx, "put", []byte("text"), backend.PutOptions{Attributes: a})
		_, marker := s.Put(ctx, "marker/", nil, backend.PutOptions{})
		_, journal := s.Put(ctx, private+"journal", []byte("{}"), backend.PutOptions{})
		u := begin(t, s, "parts", backend.PutOptions{}, "one", "two")
		_, commit := u.Commit(ctx, 2)
		_, dup := s.Copy(ctx, "copy", "put", backend.CopyOptions{})
		_, described := s.Copy(ctx, "described", "put", backend.CopyOptions{Replace: &a})
		if err := errors.Join(put, marker, journal, commit, dup, described); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if keys := c.keys(); !slices.Equal(keys, []string{private + "journal", "copy", "described", "marker/", "parts", "put"}) {
			t.Errorf("%s: %q", name, keys)
		}
		for _, call := range c.calls("") {
			var got string
			switch call.op {
			case "insert":
				got = call.query.Get("predefinedAcl")
			case "compose", "rewrite":
				got = call.query.Get("destinationPredefinedAcl")
			default:
				continue
			}
			if want := p.ACL; got != want && !strings.HasPrefix(call.name, hidden) {
				t.Errorf("%s: %s %s asks for the ACL %q", name, call.op, call.name, got)
			}
		}
		for _, key := range c.keys() {
			file := !strings.HasSuffix(key, "/") && !strings.HasPrefix(key, private)
			c.edit(key, func(o *stored) {
				if o.TemporaryHold != (file && p.Hold == "temporary") || o.EventBasedHold != (file && p.Hold == "event") {
					t.Errorf("%s: %s: temporary hold %v, event-based %v", name, key, o.TemporaryHold, o.EventBasedHold)
				}
				if p.LockMode == "" || !file {
					if o.Retention != nil {
						t.Errorf("%s: %s is retained: %+v", name, key, o.Retention)
					}
					return
				}
				if o.Retention == nil {
					t.Errorf("%s: %s is not retained", name, key)
					return
				}
				until, err := time.Parse(time.RFC3339, o.Retention.RetainUntilTime)
				if days := time.Until(until).Hours() / 24; err != nil || days < 29.9 || days > 30.1 || !strings.EqualFold(o.Retention.Mode, p.LockMode) {
					t.Errorf("%s: %s: %+v, %v", name, key, o.Retention, err)
				}
			})
		}
	}
}

// TestHeld: what a hold forbids changes nothing, not even among the parts of uploads, and whether the server can move or not.
func TestHeld(t *testing.T) {
	for _, immobile := range []bool{false, true} {
		var clouds []*cloud
		vfstest.Held(t, func(t *testing.T) backend.Store {
			c := newCloud(t)
			clouds = append(clouds, c)
			c.put("held", "held")
			c.put("free", "free")
			c.edit("held", func(o *stored) { o.EventBasedHold = true })
			s := c.open(Config{})
			s.immobile.Store(immobile)
			return s
		})
		for _, c := range clouds {
			if keys := c.keys(); !slices.Equal(keys, []string{"free", "held"}) {
				t.Errorf("the bucket holds %q", keys)
			}
		}
	}
}

// TestProtectionRefused: what cannot be meant is refused before anything is sent.
func TestProtectionRefused(t *testing.T) {
	for want, p := range map[string]Protection{
		`ACL "bucket-owner-full-control"`: {ACL: "bucket-owner-full-control"},
		`lock mode "governance"`:          {LockMode: "governance", LockDays: 1},
		"number of days go together":      {LockMode: "locked"},
		`hold "legal"`:                    {Hold: "legal"},
	} {
		if _, err := Open(t.Context(), Config{Bucket: "b", Anonymous: true, Protection: p}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
