// Package backend is the contract of an object store: one bucket, seen as a flat map from key to object.
//
// It holds interfaces, plain data and error values, and depends on the standard library alone. The drivers
// (backend/s3, backend/file, ...) implement it, decorators (cache) wrap it, and backend/transfer and backend/vfs use it.
// What every implementation must do is written as a test suite in backend/storetest.
package backend

import (
	"context"
	"io"
	"iter"
	"time"
)

// Store is one bucket seen as a flat map from key to object. Methods may be called concurrently.
//
// A key is any non-empty UTF-8 string of at most Caps.MaxKey bytes whose "/"-separated segments are neither "." nor ".."
// and which holds no NUL, CR or LF; an implementation refuses every other key with ErrBadKey before it sends anything (see
// CheckKey). A key may end in "/": that is how directory markers are named.
//
// Errors wrap one of the sentinels of this package where one fits, and name the operation and the key.
type Store interface {
	// Caps describes the store. It does no I/O and always returns the same value.
	Caps() Caps

	// Stat returns the object at key, or ErrNotExist. With Caps.FolderTimes the Object tells even then, of a key that ends in "/", when
	// something was last written there: Updated.
	Stat(ctx context.Context, key string) (Object, error)

	// List yields the entries whose keys start with prefix in ascending byte order of their keys, page by page as it is
	// consumed, or a little ahead of it. After a non-nil error it yields nothing more. A prefix without objects is empty, not an error.
	List(ctx context.Context, prefix string, opts ListOptions) iter.Seq2[Entry, error]

	// Open reads an object, or a range of it. The returned Object describes the version that is being read, Size being
	// the size of the whole object. ctx governs the whole read, not the call alone. The caller closes the reader. An
	// offset beyond the end is ErrRange; an offset at the end reads nothing.
	Open(ctx context.Context, key string, opts OpenOptions) (io.ReadCloser, Object, error)

	// Put stores p as the object at key in one request: readers see the old object or the new one, nothing between.
	Put(ctx context.Context, key string, p []byte, opts PutOptions) (Object, error)

	// NewUpload begins an object that is written in parts.
	NewUpload(ctx context.Context, key string, opts PutOptions) (Upload, error)

	// ResumeUpload finds an upload again that NewUpload has begun at key, in this process or in another that may be dead, with
	// the parts that it has. id is its Upload.ID. opts must be those of NewUpload, except that If may be another condition.
	// ErrNotExist where the store does not know the upload, or no longer: it was committed or aborted. An upload to which no
	// part was written may be unknown too. Two values that write one upload at a time do not heed each other.
	ResumeUpload(ctx context.Context, key, id string, opts PutOptions) (Upload, error)

	// Copy makes dst a copy of src inside the store, without the bytes passing through the caller. dst may equal src when
	// opts.Replace is given: that rewrites the attributes alone. An object above Caps.MaxCopy is ErrTooLarge, unless
	// it is dst and the store can change attributes alone; copy it in parts with Upload.CopyPart.
	Copy(ctx context.Context, dst, src string, opts CopyOptions) (Object, error)

	// Move makes the object src the object dst in one step, with its attributes: nobody sees both or neither, and what was at dst
	// is replaced. ErrNotExist where there is no src. ErrUnsupported where Caps.Move is false, or where the server turns out to
	// lack it: then Copy and Delete do it in two steps. dst is another key than src.
	Move(ctx context.Context, dst, src string, opts MoveOptions) (Object, error)

	// Delete removes the object at key. Deleting a missing key is not an error, unless a condition demands an object.
	Delete(ctx context.Context, key string, opts DeleteOptions) error

	// Restore asks for an object that is Archived to be made readable, and returns when the store has taken the order: the
	// work goes on for minutes or hours, and Stat tells when Archived has become false. Nothing to do,
	// because a restore is under way or the object is readable, is no error. ErrUnsupported where the store has no such objects.
	Restore(ctx context.Context, key string, opts RestoreOptions) error
}

// Upload is an object being written in parts. Nothing of it can be seen, and any older object stays, until Commit returns
// nil. Parts are numbered from 1; every part but the last has at least Caps.MinPart bytes.
type Upload interface {
	// ID names the upload for Store.ResumeUpload. It is opaque, never empty, and holds no control bytes.
	ID() string

	// Parts returns the parts that the store durably has, in ascending order of their numbers. A part that was written or
	// copied without an error is among them, whoever did it. ErrNotExist where the upload is over.
	Parts(ctx context.Context) ([]Part, error)

	// WritePart stores part n. Calls may overlap up to Caps.PartConcurrency. A part may be written again: the last one
	// counts. The caller may reuse p once WritePart has returned.
	WritePart(ctx context.Context, n int, p []byte) error

	// CopyPart makes part n from length bytes at off of the object src, inside the store. ErrUnsupported where
	// Caps.CopyPart is false.
	CopyPart(ctx context.Context, n int, src string, off, length int64, opts CopyPartOptions) error

	// Commit joins parts 1 to parts into the object and makes it visible, durably and at once. Every one of them must have
	// been written. It checks the condition that the upload was begun with.
	Commit(ctx context.Context, parts int) (Object, error)

	// Abort drops the upload and every part that it holds. It may follow a failed Commit and may be repeated; after a
	// Commit that succeeded it does nothing.
	Abort(ctx context.Context) error
}

// Part is a part of an Upload that the store has.
type Part struct {
	Number int
	Size   int64
}

// Object describes one version of an object.
type Object struct {
	Key          string
	Size         int64
	Updated      time.Time // when the store last wrote it
	ModTime      time.Time // the modification time that the client set (rclone's metadata keys); zero if none
	ETag         string    // opaque version token (ETag, generation), good for conditions; never empty
	ContentType  string
	StorageClass string            // the store's own name; empty for its standard class
	Archived     bool              // must be restored before it can be read
	Metadata     map[string]string // user metadata, lower-case keys, without the keys that carry ModTime; read-only
	// Checksums of the whole object, as the store keeps them, by algorithm: "CRC32", "CRC32C", "CRC64NVME", "MD5", "SHA-1",
	// "SHA-256", "SHA-512"; numbers are big endian. Only Stat under WithChecksums is sure to tell them. What is not there is not
	// known; what is there is right.
	Checksums map[string][]byte
	// Partial is true for an Object made from a list row of a store whose rows lack metadata: ModTime, ContentType and
	// Metadata are unknown, not empty.
	Partial bool
}

// Time is when the file was last modified as a client should see it: ModTime if it was set, else Updated.
func (o Object) Time() time.Time {
	if !o.ModTime.IsZero() {
		return o.ModTime
	}
	return o.Updated
}

// Attributes are what a writer must say to make an object like o, which is not Partial.
func (o Object) Attributes() Attributes {
	return Attributes{ContentType: o.ContentType, StorageClass: o.StorageClass, ModTime: o.ModTime, Metadata: o.Metadata}
}

// Entry is one row of a listing: an object, or with ListOptions.Delimiter a common prefix.
type Entry struct {
	Object      // where Prefix is true only Key is set, and Updated where the store knows when something was last written there
	Prefix bool // Key is a common prefix and ends in "/"
}

// ListOptions narrow a listing.
type ListOptions struct {
	// Recursive lists every key under the prefix. Otherwise keys that have a "/" after the prefix are rolled up into one
	// Entry with Prefix set per next segment. A key that equals the prefix is always an object row.
	Recursive bool
	// After starts the listing behind this key; it starts with the prefix.
	After string
	// Limit is a hint: how many entries the caller expects to consume. 0 means all of them.
	Limit int
	// Asks, if set, is called before each request for a page, and what it returns before the first row of that page, so that who
	// keeps the rows knows how old they can be: a page may be asked for while the rows of another are still handed on, and be dropped. Both
	// are called between rows, in the goroutine that consumes them. A store that does not call Asks is taken to have been asked when List
	// was called.
	Asks func() (begins func())
}

// Ask calls Asks. The result is never nil.
func (o ListOptions) Ask() (begins func()) {
	if o.Asks == nil {
		return func() {}
	}
	return o.Asks()
}

// OpenOptions choose what is read.
type OpenOptions struct {
	Offset int64  // first byte
	Length int64  // number of bytes; 0 means to the end. A range that goes beyond the end is cut there
	ETag   string // read this version or fail with ErrChanged; empty reads the current one
}

// Condition limits a mutation to a certain state of the object that it would change. The zero value is no condition.
// A condition that does not hold is ErrChanged and changes nothing. Caps.Conditional says whether the store checks them.
type Condition struct {
	Absent bool   // there is no object
	ETag   string // the object is still this version
}

// Attributes are what a writer may say about an object besides its bytes.
type Attributes struct {
	ContentType  string            // empty: application/octet-stream
	StorageClass string            // empty: the store's default
	ModTime      time.Time         // zero: none
	Metadata     map[string]string // lower-case keys
}

// PutOptions belong to Put and NewUpload.
type PutOptions struct {
	Attributes
	If Condition
}

// CopyOptions belong to Copy.
type CopyOptions struct {
	If      Condition   // on the destination
	SrcETag string      // copy this version or fail with ErrChanged
	Src     *Object     // what is known of that version, which may spare a question; where it is Partial, the copy may be
	Replace *Attributes // nil: the copy keeps the attributes of the source
	// StorageClass of the copy where Replace is nil. Not every store takes that over by itself: who knows the class of the
	// source gives it. Empty: the store's default, or that of the source.
	StorageClass string
}

// MoveOptions belong to Move.
type MoveOptions struct {
	If      Condition // on the destination
	SrcETag string    // move this version or fail with ErrChanged; a missing object is ErrChanged too
}

// CopyPartOptions belong to Upload.CopyPart.
type CopyPartOptions struct {
	SrcETag string // copy this version or fail with ErrChanged
}

// DeleteOptions belong to Delete.
type DeleteOptions struct {
	ETag string // delete this version or fail with ErrChanged; a missing object is ErrChanged too
}

// RestoreOptions belong to Restore.
type RestoreOptions struct {
	Days int    // how long the object stays readable, where the store knows an end of that; 0: one day
	Tier string // how fast, in the store's own words; empty: the store's default
}

// Caps says what a store can do. It is data, not optional interfaces, so that it survives decorators. Sizes are in bytes.
type Caps struct {
	Name            string // of the driver: "s3", "file", ...
	MaxKey          int    // longest key
	MaxObject       int64  // largest object
	MaxPut          int64  // largest object that one Put can write
	MinPart         int64  // smallest part but for the last
	MaxPart         int64
	MaxParts        int
	PartConcurrency int   // parts of one upload that may be written at once with profit
	CopyPart        bool  // Upload.CopyPart works
	CopyWhole       bool  // CopyPart costs next to nothing for a whole object, but for a range of one as much as reading and writing it
	MaxCopyPart     int64 // largest length of one CopyPart
	MaxCopy         int64 // largest object that one Copy can copy
	Move            bool  // Move works
	Conditional     bool  // Put, Commit, Copy and Move check their Condition, Delete its ETag
	ListRemembered  bool  // what a listing has shown or shown to be missing answers Stat and List for a while (package cache)
	FolderTimes     bool  // common prefixes have times
	ListMetadata    bool  // list rows carry ModTime, ContentType and Metadata: they are not Partial
}
