package azure

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"sluice/backend"
)

// TestListOnWire: pages may be empty, names encoded, prefixes repeated and ETags without quotation marks.
func TestListOnWire(t *testing.T) {
	pages := []string{
		`<Blobs/><NextMarker>1</NextMarker>`,
		`<Blobs><BlobPrefix><Name>a/</Name></BlobPrefix><BlobPrefix><Name>d/</Name></BlobPrefix>
			<Blob><Name Encoded="true">c%07x</Name><Properties><Etag>0x8D</Etag><Last-Modified>Tue, 24 Nov 2026 01:02:03 GMT</Last-Modified>
			<Content-Length>5</Content-Length><Content-Type>text/plain</Content-Type><AccessTier>Archive</AccessTier></Properties>
			<Metadata><MTime>2020-05-06T07:08:09.5Z</MTime><Note>=?UTF-8?b?Z3LDvG4=?=</Note></Metadata></Blob></Blobs><NextMarker>2</NextMarker>`,
		`<Blobs><BlobPrefix><Name>d/</Name></BlobPrefix><Blob><Name>e</Name><Properties><Etag>"0x8E"</Etag>
			<Content-Length>1</Content-Length><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>
			<CustomerProvidedKeySha256>x</CustomerProvidedKeySha256></Properties></Blob></Blobs><NextMarker/>`,
	}
	n := 0
	s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("delimiter") != "/" || q.Get("include") != "metadata" || q.Get("startFrom") != "a/b" || q.Get("maxresults") != "7" || n > 0 && q.Get("marker") != fmt.Sprint(n) {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		w.Header().Set("Content-Type", "application/xml")
		_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><EnumerationResults>%s</EnumerationResults>", pages[n])
		n++
	})
	var got []backend.Entry
	for e, err := range s.List(t.Context(), "", backend.ListOptions{After: "a/b", Limit: 7}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if len(got) != 3 || got[0].Key != "c\ax" || got[1].Key != "d/" || !got[1].Prefix || got[2].Key != "e" {
		t.Fatalf("listed %+v", got)
	}
	if o := got[0].Object; o.ETag != `"0x8D"` || o.Size != 5 || o.ContentType != "text/plain" || o.ModTime.Year() != 2020 || o.Metadata["note"] != "grün" || !o.Archived || o.StorageClass != "Archive" || o.Partial {
		t.Errorf("%+v", o)
	}
	if o := got[2].Object; o.ETag != `"0x8E"` || o.StorageClass != "" || o.Archived || !o.Partial {
		t.Errorf("%+v", o)
	}
}

// TestListError: a listing that breaks does not look complete.
func TestListError(t *testing.T) {
	for _, second := range []func(http.ResponseWriter){
		func(w http.ResponseWriter) { fail(w, 403, "AuthorizationFailure") },
		func(w http.ResponseWriter) { _, _ = w.Write([]byte("<EnumerationResults><Blobs><Blob><Na")) },
		func(w http.ResponseWriter) { _, _ = w.Write([]byte("not XML")) },
	} {
		n := 0
		s := wire(t, account, func(w http.ResponseWriter, _ *http.Request) {
			if n++; n == 2 {
				second(w)
				return
			}
			_, _ = w.Write([]byte("<EnumerationResults><Blobs><Blob><Name>a</Name></Blob></Blobs><NextMarker>1</NextMarker></EnumerationResults>"))
		})
		var keys []string
		var last error
		for e, err := range s.List(t.Context(), "", backend.ListOptions{Recursive: true}) {
			if last = err; err == nil {
				keys = append(keys, e.Key)
			}
		}
		if len(keys) != 1 || !errors.Is(last, backend.ErrUnavailable) && !errors.Is(last, backend.ErrPermission) {
			t.Errorf("%q, %v", keys, last)
		}
		safe(t, last)
	}
}

// TestSorter: whichever order a server lists in, entries come in the order of their bytes, and none is lost.
func TestSorter(t *testing.T) {
	key := rapid.StringMatching(`[ab/\x{d7ff}\x{e000}\x{ffff}\x{10000}\x{10ffff}]{1,6}`)
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfDistinct(key, rapid.ID).Draw(t, "keys")
		after := rapid.OneOf(rapid.Just(""), key).Draw(t, "after")
		units := rapid.Bool().Draw(t, "UTF-16")
		order := strings.Compare
		if units {
			order = func(a, b string) int { return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b))) }
		}
		slices.SortFunc(keys, order)
		var want, got []string
		s := sorter{after: after, yield: func(e backend.Entry) bool { got = append(got, e.Key); return true }}
		for _, k := range keys {
			if k > after {
				want = append(want, k)
			}
			if order(k, bound(after)) < 0 { // what a server does not send
				if k > after {
					t.Fatalf("%q follows %q and is before %q", k, after, bound(after))
				}
				continue
			}
			s.add(backend.Entry{Object: backend.Object{Key: k}})
		}
		s.flush()
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
		if !units {
			return
		}
		for i, a := range keys {
			for _, b := range keys[i+1:] {
				if !before(a, b) || before(b, a) {
					t.Fatalf("%q is not before %q", a, b)
				}
			}
		}
	})
}

// TestSorterStops: nothing comes after the caller has left.
func TestSorterStops(t *testing.T) {
	for stop := 1; stop <= 4; stop++ {
		n := 0
		s := sorter{yield: func(backend.Entry) bool { n++; return n < stop }}
		for _, k := range []string{"a", "\U00010000", "\U00010001", "\uffff"} {
			if !s.add(backend.Entry{Object: backend.Object{Key: k}}) {
				break
			}
		}
		if n < stop {
			s.flush()
		}
		if n != stop {
			t.Errorf("%d entries, want %d", n, stop)
		}
	}
}
