package azure

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestBlockIDs(t *testing.T) {
	a, b := newName(), newName()
	if a == b {
		t.Fatal("two uploads of one name")
	}
	seen := map[string]bool{}
	for _, width := range []int{idWidth, 17, 36, 64} {
		for _, seq := range []uint32{0, 1, 1 << 31} {
			for _, part := range []int{1, 2, 50_000} {
				id := a.block(seq, part, width)
				if seen[id] || idLength(id) != width {
					t.Errorf("block %d of part %d: %q", seq, part, id)
				}
				seen[id] = true
				if s, p, w, ok := a.parse(id); !ok || s != seq || p != part || w != width {
					t.Errorf("%q is read as %d, %d, %d, %v", id, s, p, w, ok)
				}
				if _, _, _, ok := b.parse(id); ok {
					t.Errorf("%q is taken for a block of another upload", id)
				}
			}
		}
	}
	for _, id := range []string{"", "no base64!", base64.StdEncoding.EncodeToString(a[:]), base64.StdEncoding.EncodeToString(make([]byte, 40))} {
		if _, _, _, ok := a.parse(id); ok {
			t.Errorf("%q is taken for a block of this upload", id)
		}
	}
}

func TestNames(t *testing.T) {
	a := newName()
	if got, ok := parseName(a.String()); !ok || got != a {
		t.Errorf("%s is read as %s", a, got)
	}
	for _, s := range []string{"", "x", a.String() + "00", strings.Repeat("zz", len(a)), a.String()[2:]} {
		if _, ok := parseName(s); ok {
			t.Errorf("%q is taken for a name", s)
		}
	}
}
