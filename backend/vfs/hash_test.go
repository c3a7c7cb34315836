package vfs

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
)

// checkValues are the digests of 123456789, as catalogues of algorithms give them.
var checkValues = map[string]string{
	"CRC32":   "cbf43926",
	"CRC32C":  "e3069283",
	"MD5":     "25f9e794323b453885f5181f1b624d0b",
	"SHA-1":   "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
	"SHA-256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
	"SHA-512": "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
}

func TestHash(t *testing.T) {
	s, tree := rooted(t, "d/x", "m/", "clash/x")
	put(t, s, "f", []byte("0123456789abc"), nil)
	put(t, s, "whole", []byte("123456789"), nil)
	put(t, s, "empty", nil, nil)
	put(t, s, "clash", []byte("123456789"), nil)
	ctx := t.Context()
	if len(Hashes) != len(checkValues) {
		t.Errorf("%q", Hashes)
	}
	for _, algorithm := range Hashes {
		for _, c := range []struct {
			name           string
			offset, length int64
		}{{"/f", 1, 9}, {"/whole", 0, -1}, {"/whole", 0, 9}, {"/clash", 0, -1}} {
			sum, _, err := tree.Hash(ctx, c.name, algorithm, c.offset, c.length)
			if hex.EncodeToString(sum) != checkValues[algorithm] || err != nil {
				t.Errorf("%s of %+v: %x, %v", algorithm, c, sum, err)
			}
		}
		empty := newHash(algorithm).Sum(nil)
		for _, c := range []struct {
			name           string
			offset, length int64
		}{{"/f", 0, 0}, {"/f", 5, 0}, {"/f", 13, 0}, {"/f", 13, -1}, {"/empty", 0, 0}, {"/empty", 0, -1}} {
			if sum, _, err := tree.Hash(ctx, c.name, algorithm, c.offset, c.length); !bytes.Equal(sum, empty) || err != nil {
				t.Errorf("%s of %+v: %x, %v", algorithm, c, sum, err)
			}
		}
	}
	for _, c := range []struct {
		name, algorithm string
		offset, length  int64
		want            error
	}{
		{"/f", "MD4", 0, -1, backend.ErrUnsupported}, {"/f", "md5", 0, -1, backend.ErrUnsupported}, {"/f", "", 0, -1, backend.ErrUnsupported},
		{"/f", "MD5", 14, -1, ErrOffset}, {"/f", "MD5", 14, 0, ErrOffset}, {"/f", "MD5", 13, 1, ErrOffset}, {"/f", "MD5", 1, 1<<63 - 1, ErrOffset},
		{"/f", "MD5", -1, 1, ErrOffset}, {"/d", "MD5", 0, -1, ErrIsDir}, {"/m", "MD5", 0, -1, ErrIsDir}, {"/none", "MD5", 0, -1, ErrNotExist},
		{"/f/x", "MD5", 0, -1, ErrNotExist},
	} {
		_, _, err := tree.Hash(ctx, c.name, c.algorithm, c.offset, c.length)
		wantErr(t, c.name+" "+c.algorithm, err, c.want)
	}
}

// keeping is a store that keeps checksums of its own.
type keeping struct {
	backend.Store
	sums map[string][]byte
}

func (k keeping) Stat(ctx context.Context, key string) (backend.Object, error) {
	obj, err := k.Store.Stat(ctx, key)
	if obj.Checksums = nil; backend.ChecksumsWanted(ctx) {
		obj.Checksums = k.sums
	}
	return obj, err
}

// What the store keeps is asked for first, and believed of the whole file alone.
func TestHashKept(t *testing.T) {
	s := mem.New(mem.Config{})
	put(t, s, "f", []byte("123456789"), nil)
	k := keeping{s, map[string][]byte{"MD5": bytes.Repeat([]byte{7}, 16), "CRC32": {1, 2, 3}}}
	tree := newTree(t, Mount{Path: "/", Store: k, Rights: Full})
	for _, c := range []struct {
		algorithm      string
		offset, length int64
		want           string
		opens          int
	}{
		{"MD5", 0, -1, "07070707070707070707070707070707", 0},
		{"MD5", 0, 9, "07070707070707070707070707070707", 0},
		{"MD5", 0, 8, "25d55ad283aa400af464c76d713c07ad", 1},
		{"SHA-1", 0, -1, checkValues["SHA-1"], 1},
		{"CRC32", 0, -1, checkValues["CRC32"], 1}, // is no CRC-32
	} {
		before := s.Count("open")
		sum, _, err := tree.Hash(t.Context(), "/f", c.algorithm, c.offset, c.length)
		if n := s.Count("open") - before; hex.EncodeToString(sum) != c.want || err != nil || n != c.opens {
			t.Errorf("%+v: %x, %v, %d opens", c, sum, err, n)
		}
	}
	tree = newTree(t, Mount{Path: "/", Store: archived{k}, Rights: Full})
	if _, _, err := tree.Hash(t.Context(), "/f", "MD5", 0, -1); err != nil {
		t.Error(err)
	}
	_, _, err := tree.Hash(t.Context(), "/f", "SHA-1", 0, -1)
	wantErr(t, "archived", err, backend.ErrArchived)
}

// A digest is never of two versions.
func TestHashChanged(t *testing.T) {
	for _, gone := range []bool{false, true} {
		var s *mem.Store
		s = mem.New(mem.Config{Fault: hook("open", "f", func() {
			if put(t, s, "f", []byte("other"), nil); gone {
				if err := s.Delete(t.Context(), "f", backend.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			}
		})})
		put(t, s, "f", []byte("first"), nil)
		_, _, err := newTree(t, Mount{Path: "/", Store: s, Rights: Full}).Hash(t.Context(), "/f", "SHA-1", 0, -1)
		wantErr(t, "changed", err, backend.ErrChanged)
	}
	s := mem.New(mem.Config{Cut: func(string) (int64, error) { return 2, backend.ErrChanged }})
	put(t, s, "f", []byte("first"), nil)
	_, _, err := newTree(t, Mount{Path: "/", Store: s, Rights: Full}).Hash(t.Context(), "/f", "SHA-1", 0, -1)
	wantErr(t, "changed while it is read", err, backend.ErrChanged)
}

// Who may not read can check what has just been uploaded, and nothing else.
func TestHashOfOwn(t *testing.T) {
	s := mem.New(mem.Config{})
	fill(t, s, "theirs")
	tree := newTree(t, Mount{Path: "/", Store: s, Rights: Dropbox})
	if _, err := store(t, tree, "/mine", "123456789"); err != nil {
		t.Fatal(err)
	}
	sum, _, err := tree.Hash(t.Context(), "/mine", "SHA-256", 0, -1)
	if hex.EncodeToString(sum) != checkValues["SHA-256"] || err != nil {
		t.Errorf("%x, %v", sum, err)
	}
	for _, name := range []string{"/theirs", "/none"} {
		_, _, err := tree.Hash(t.Context(), name, "SHA-256", 0, -1)
		wantErr(t, name, err, ErrPermission)
	}
	put(t, s, "mine", []byte("theirs now"), nil)
	_, _, err = tree.Hash(t.Context(), "/mine", "SHA-256", 0, -1)
	wantErr(t, "replaced", err, ErrPermission)
}

func TestMetered(t *testing.T) {
	s, tree := rooted(t)
	put(t, s, "f", bytes.Repeat([]byte("x"), 1<<20), nil)
	spent, enough := 0, errors.New("enough")
	for limit, want := range map[int]error{1 << 20: nil, 1 << 19: enough} {
		spent = 0
		ctx := Metered(t.Context(), func(n int) error {
			if spent += n; spent > limit {
				return enough
			}
			return nil
		})
		_, _, err := tree.Hash(ctx, "/f", "CRC32C", 0, -1)
		wantErr(t, "metered", err, want)
		if want == nil && spent != 1<<20 || want != nil && spent >= 1<<20 {
			t.Errorf("spent %d of %d", spent, limit)
		}
		before := spent
		if _, _, err := tree.Hash(ctx, "/f", "MD5", 0, -1); err != nil || spent != before {
			t.Errorf("what the store keeps costs %d bytes: %v", spent-before, err)
		}
	}
}
