package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/backend"
)

// record is what is kept in the store of an upload that can be resumed, as JSON. It is both a note and a lock: each writing
// of it is conditional on what it replaces, and only who wrote it last may write to the upload.
type record struct {
	User       string
	Name       string // key that the user asked for
	Key        string // key of the file
	Base       string // version of the object at Name when the upload began; empty: there was none
	Attributes backend.Attributes
	If         backend.Condition // of the commit
	Announced  int64             // bytes of the file, if the client said so
	Head       int64             // where the client's bytes begin
	Streams    []streamRecord    // in the order of the file
	Tail       *tailRecord       `json:",omitempty"`
	Size       int64             // bytes from the start that the store has, tail included
	Owner      string            // the Engine that works on it; empty: none
	Expires    time.Time
	Serial     string // another one each time, so that versions differ even where they are told apart by content
}

// streamRecord is the upload of the file or of a segment.
type streamRecord struct {
	Key, ID string
	Parts   []run  // sizes of the parts from 1 on that the store has
	Given   int    // part numbers that were begun; final if another stream follows
	Stale   []int  `json:",omitempty"` // part numbers that hold what does not belong to the file any more
	ETag    string `json:",omitempty"` // of a segment that is complete; its one run is its size
}

// run is a number of parts of equal size.
type run struct {
	N    int
	Size int64
}

// tailRecord is an object with what follows the parts and is too short to be one.
type tailRecord struct {
	Key  string
	ETag string
	Size int64
	At   int64 // bytes of the file in front of it
}

// runs shortens sizes.
func runs(sizes []int64) (short []run) {
	for _, size := range sizes {
		if n := len(short); n > 0 && short[n-1].Size == size {
			short[n-1].N++
		} else {
			short = append(short, run{1, size})
		}
	}
	return short
}

// expand is the reverse of runs.
func expand(short []run) (sizes []int64) {
	for _, r := range short {
		for range r.N {
			sizes = append(sizes, r.Size)
		}
	}
	return sizes
}

func sum(sizes []int64) (n int64) {
	for _, size := range sizes {
		n += size
	}
	return n
}

// maxRecord is more than any record has: one run per part of 10,000.
const maxRecord = 8 << 20

// userPrefix is where the records of a user are.
func (e *Engine) userPrefix(user string) string { return e.cfg.Uploads + digest(user) + "/" }

// recordKey is where the record of a user's upload to a key is.
func (e *Engine) recordKey(user, name string) string { return e.userPrefix(user) + digest(name) }

func digest(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:16])
}

// save writes a record, whose Serial is new, in the place of the version etag, or where there is none. ErrChanged where somebody else has been
// there.
func save(ctx context.Context, store backend.Store, key, etag string, rec record) (backend.Object, error) {
	p, err := json.Marshal(rec)
	if err != nil {
		return backend.Object{}, fmt.Errorf("record %s: %w", key, err)
	}
	obj, err := store.Put(ctx, key, p, backend.PutOptions{
		Attributes: backend.Attributes{ContentType: "application/json"},
		If:         backend.Condition{Absent: etag == "", ETag: etag},
	})
	if err != nil {
		return backend.Object{}, fmt.Errorf("record %s: %w", key, err)
	}
	return obj, nil
}

// errNoRecord says that an object is none.
var errNoRecord = errors.New("not the record of an upload")

// load reads a record: the version etag, or the present one where that is empty.
func (e *Engine) load(ctx context.Context, store backend.Store, key, etag string) (record, backend.Object, error) {
	var rec record
	if known, ok := e.records.Get(key); ok && etag != "" && known.object.ETag == etag {
		return known.record, known.object, nil
	}
	body, obj, err := e.Open(ctx, store, key, OpenOptions{ETag: etag}) // what is damaged on the way might name other objects
	if err != nil {
		return rec, obj, err
	}
	p, err := io.ReadAll(io.LimitReader(body, maxRecord))
	if err = errors.Join(err, body.Close()); err != nil {
		return rec, obj, err
	}
	dec := json.NewDecoder(bytes.NewReader(p))
	if err := dec.Decode(&rec); err != nil || e.recordKey(rec.User, rec.Name) != key {
		return rec, obj, fmt.Errorf("%s: %w", key, errNoRecord)
	}
	was, ok := e.records.Get(key)
	if !ok || was.object.ETag != obj.ETag {
		e.records.Add(key, known{record: rec, object: obj})
	}
	return rec, obj, nil
}

// known is a record that was read.
type known struct {
	record record
	object backend.Object
	size   *int64 // as measure has told it
}
