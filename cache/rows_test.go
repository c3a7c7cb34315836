package cache

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/backend"
)

// TestRows holds packed rows against a slice of entries.
func TestRows(t *testing.T) {
	key := rapid.StringMatching(`[ab/\x00ÿ]{1,6}`)
	when := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	text := rapid.StringN(0, 40, -1)
	entry := rapid.Custom(func(t *rapid.T) backend.Entry {
		e := backend.Entry{Prefix: rapid.Bool().Draw(t, "prefix"), Object: backend.Object{
			Key: key.Draw(t, "key"), Size: rapid.Int64().Draw(t, "size"), ETag: text.Draw(t, "etag"), Updated: when.Draw(t, "updated"),
			ModTime: when.Draw(t, "mtime"), ContentType: text.Draw(t, "type"), StorageClass: text.Draw(t, "class"),
			Partial: rapid.Bool().Draw(t, "partial"), Archived: rapid.Bool().Draw(t, "archived"),
		}}
		if rapid.Bool().Draw(t, "maps") {
			e.Metadata = rapid.MapOfN(text, text, 1, 3).Draw(t, "metadata")
			e.Checksums = rapid.MapOfN(text, rapid.SliceOfN(rapid.Byte(), 1, 8), 1, 2).Draw(t, "sums")
		}
		return e
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfNDistinct(entry, 0, 70, func(e backend.Entry) string { return e.Key }).Draw(t, "rows")
		slices.SortFunc(want, func(a, b backend.Entry) int { return strings.Compare(a.Key, b.Key) })
		got := pack(want)
		for range rapid.IntRange(0, 40).Draw(t, "changes") {
			before, was := got, fmt.Sprint(slices.Collect(got.behind("")))
			e := entry.Draw(t, "entry")
			i, found := slices.BinarySearchFunc(want, e.Key, func(e backend.Entry, key string) int { return strings.Compare(e.Key, key) })
			known, ok := got.find(e.Key)
			if ok != found || found && fmt.Sprint(known) != fmt.Sprint(want[i]) {
				t.Fatalf("%q: found %v %v, want %v of %v", e.Key, ok, known, found, want)
			}
			if rapid.Bool().Draw(t, "set") {
				if got = got.set(e); found {
					want[i] = e
				} else {
					want = slices.Insert(want, i, e)
				}
			} else if got = got.without(e.Key); found {
				want = slices.Delete(want, i, i+1)
			}
			if now := fmt.Sprint(slices.Collect(before.behind(""))); now != was {
				t.Fatalf("what was\n%s\nhas become\n%s", was, now)
			}
		}
		after := rapid.OneOf(rapid.Just(""), key).Draw(t, "after")
		rest := slices.DeleteFunc(slices.Clone(want), func(e backend.Entry) bool { return e.Key <= after })
		if all := slices.Collect(got.behind(after)); fmt.Sprint(all) != fmt.Sprint(rest) || got.n != len(want) {
			t.Fatalf("behind %q: %d rows\n%v\nwant\n%v", after, got.n, all, rest)
		}
		if slices.ContainsFunc(got.stretches, func(s string) bool { return s == "" }) {
			t.Fatal("an empty stretch")
		}
	})
}
