// Package storetest is what every backend.Store must do, written as tests. Each driver and each decorator runs it from its
// own tests; it knows none of them.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"sluice/backend"
)

// Gap names something that a server behind a driver is known to lack. A driver itself has no gaps.
type Gap string

// The gaps of servers that the drivers are tested with.
const (
	Nested           Gap = "a beside a/b"                      // an object cannot have the name of a folder
	EmptySegments    Gap = "empty segments"                    // a//b, or a leading slash
	ControlBytes     Gap = "control bytes in a listing"        // a listing that is not URL-encoded holds none
	FullMarkers      Gap = "content in a marker"               // bytes in a key that ends in a slash
	LongKeys         Gap = "long keys"                         // keys of Caps.MaxKey bytes
	LongNames        Gap = "long names"                        // a segment of more than 255 bytes
	Backslash        Gap = "backslash"                         // a backslash in a key
	ReadCondition    Gap = "condition on read"                 // OpenOptions.ETag
	CopyCondition    Gap = "condition on the target of copy"   // CopyOptions.If
	CopySource       Gap = "condition on the source of copy"   // CopyOptions.SrcETag, CopyPartOptions.SrcETag
	DeleteVersion    Gap = "condition on delete"               // DeleteOptions.ETag
	AbsentETag       Gap = "condition on a missing object"     // Condition.ETag where there is no object
	TemporaryNames   Gap = "temporary names"                   // a replacement under way is listed under a name of its own
	CommitCondition  Gap = "condition on commit"               // PutOptions.If of an upload
	StickyAttributes Gap = "attributes replaced by none"       // what is not said about an object stays as it was
	ConditionRaces   Gap = "condition under concurrent writes" // several create-only writes at once
	SharedParts      Gap = "several uploads of one key"        // the first commit or Put drops the parts of the others
	Moves            Gap = "move"                              // Store.Move, although Caps.Move says that the driver has it
	AbortedUploads   Gap = "end of aborted uploads"            // what was written of an aborted upload can be found again
)

// Options adjust the suite to a store.
type Options struct {
	// Page is the number of entries that the store puts in one page of a listing, as far as the caller could make it small.
	// The suite writes enough keys for several pages. 0: 3.
	Page int
	// Lacks says what the server behind the store cannot do, and why that is known. What it names is not tested.
	Lacks map[Gap]string
	// Again opens the store once more, as another process would. nil: uploads are resumed through the same value.
	Again func(t testing.TB, s backend.Store) backend.Store
}

// Run runs the suite. open returns an empty store; it is called once per subtest.
func Run(t *testing.T, open func(t *testing.T) backend.Store, opts Options) {
	if opts.Page <= 0 {
		opts.Page = 3
	}
	for _, c := range cases() {
		if opts.Lacks[c.gap] != "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			c.run(&suite{TB: t, s: open(t), Options: opts})
		})
	}
}

// testcase is one subtest.
type testcase struct {
	name string
	gap  Gap // with this gap it does not run
	run  func(*suite)
}

func cases() []testcase {
	return slices.Concat(keyCases, listCases, readCases, writeCases, uploadCases, resumeCases, conditionCases, copyCases, moveCases, cancelCases)
}

// suite is what a subtest works with: the test, its own empty store, and short ways to use it. It stands on testing.TB, not on
// *testing.T, so that a test of the suite can watch it fail.
type suite struct {
	testing.TB
	s backend.Store
	Options
}

func (t *suite) lacks(g Gap) bool { return t.Lacks[g] != "" }

// put stores an object or ends the test.
func (t *suite) put(key string, p []byte, opts ...backend.PutOptions) backend.Object {
	t.Helper()
	var o backend.PutOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	obj, err := t.s.Put(t.Context(), key, p, o)
	if err != nil {
		t.Fatalf("Put %q: %v", key, err)
	}
	return obj
}

// read returns an object and its bytes.
func (t *suite) read(key string, opts backend.OpenOptions) ([]byte, backend.Object, error) {
	r, obj, err := t.s.Open(t.Context(), key, opts)
	if err != nil {
		return nil, obj, err
	}
	p, err := io.ReadAll(r)
	return p, obj, errors.Join(err, r.Close())
}

// holds checks that the object at key has the bytes p, whichever way it is asked for.
func (t *suite) holds(key string, p []byte) backend.Object {
	t.Helper()
	got, obj, err := t.read(key, backend.OpenOptions{})
	switch {
	case err != nil:
		t.Errorf("Open %q: %v", key, err)
	case !bytes.Equal(got, p):
		t.Errorf("Open %q: %s, want %s", key, brief(got), brief(p))
	case obj.Key != key || obj.Size != int64(len(p)) || obj.ETag == "" || obj.Updated.IsZero():
		t.Errorf("Open %q describes it as %+v", key, obj)
	}
	st, err := t.s.Stat(t.Context(), key)
	switch {
	case err != nil:
		t.Errorf("Stat %q: %v", key, err)
	case st.Key != key || st.Size != int64(len(p)) || st.ETag != obj.ETag || st.Partial:
		t.Errorf("Stat %q: %+v, but Open says %+v", key, st, obj)
	}
	return st
}

// absent checks that there is no object at key.
func (t *suite) absent(key string) {
	t.Helper()
	if o, err := t.s.Stat(t.Context(), key); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("Stat %q: %+v, %v, want ErrNotExist", key, o, err)
	}
	if _, _, err := t.read(key, backend.OpenOptions{}); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("Open %q: %v, want ErrNotExist", key, err)
	}
	if got := t.list(key, backend.ListOptions{Recursive: true}); slices.Contains(got, key) {
		t.Errorf("%q is listed although it is absent", key)
	}
}

// list returns the keys that a listing yields.
func (t *suite) list(prefix string, opts backend.ListOptions) []string {
	t.Helper()
	var keys []string
	for e, err := range t.s.List(t.Context(), prefix, opts) {
		if err != nil {
			t.Fatalf("List %q %+v: %v", prefix, opts, err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

// again returns the store as another process has it.
func (t *suite) again() backend.Store {
	if t.Again == nil {
		return t.s
	}
	return t.Again(t.TB, t.s)
}

// upload begins an upload that is aborted when the test ends.
func (t *suite) upload(key string, opts backend.PutOptions) backend.Upload {
	t.Helper()
	u, err := t.s.NewUpload(t.Context(), key, opts)
	if err != nil {
		t.Fatalf("NewUpload %q: %v", key, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		if err := u.Abort(ctx); err != nil {
			t.Errorf("Abort %q: %v", key, err)
		}
	})
	return u
}

// write writes part n or ends the test.
func (t *suite) write(u backend.Upload, n int, p []byte) {
	t.Helper()
	if err := u.WritePart(t.Context(), n, p); err != nil {
		t.Fatalf("WritePart %d: %v", n, err)
	}
}

// commit commits an upload or ends the test.
func (t *suite) commit(u backend.Upload, parts int) backend.Object {
	t.Helper()
	o, err := u.Commit(t.Context(), parts)
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return o
}

// part makes bytes that are a full part of the store, different for each seed.
func (t *suite) part(seed int) []byte {
	return pattern(seed, int(max(t.s.Caps().MinPart, 1000)))
}

// pattern makes n bytes that differ for each seed and do not repeat soon.
func pattern(seed, n int) []byte {
	p := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// brief shows bytes in a message.
func brief(p []byte) string {
	const limit = 40
	return fmt.Sprintf("%d bytes %.*q", len(p), limit, p)
}

// is reports an error that should wrap want and does not.
func (t *suite) is(what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}
