// Package vfs makes the one tree that a logged-in user sees out of object stores: mounts, directories on flat keys, names
// and rights. It knows nothing of FTP; protocol is its caller, backend/transfer moves its bytes.
package vfs

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"sluice/backend"
	"sluice/backend/transfer"
)

// FS is the tree one logged-in user sees. Names are absolute and clean, with "/" between segments: "/" is the root, and
// ".." never reaches an FS. Methods may be called concurrently.
//
// Errors wrap one of the sentinels below or of package backend: ErrNotExist, ErrPermission, ErrExist, ErrIsDir, ErrNotDir,
// ErrNotEmpty, ErrName, ErrOffset, ErrQuota, ErrTooMany, ErrBusy, ErrFull, ErrArchived, ErrChanged, ErrTooLarge, ErrUnsupported,
// ErrUnavailable.
type FS interface {
	// Stat describes a file or directory. Under backend.AllowPartial the time of a file, its type and its metadata may be missing
	// or its store's own: for callers who ask what is there and how large it is. A directory exists if it is a mount point or a parent of one, if it has a marker,
	// or if anything lies below it.
	Stat(ctx context.Context, name string) (Info, error)

	// ReadDir yields the entries of a directory in byte order of their names, each taken as if it ended in "/": so a flat
	// store lists them, but for a few that wait. It streams and never holds the whole directory. After a non-nil error it
	// yields nothing more. An error about the directory itself comes before any entry.
	ReadDir(ctx context.Context, name string) iter.Seq2[Info, error]

	// Open reads a file from offset to its end. The Info describes the version that is read. An offset beyond the end is
	// ErrOffset. ctx governs the whole read.
	Open(ctx context.Context, name string, offset int64) (io.ReadCloser, Info, error)

	// Put replaces the file from offset on with the bytes of r (offset 0: the whole file; AtEnd: append). It takes effect
	// if and only if r ends in io.EOF and Put returns nil; any other read error, or the end of ctx, leaves what was there
	// before. Everything that can be refused without the bytes is refused before the first Read of r, so that a caller
	// can open its data connection in that Read. Put never reads r again after it has returned.
	//
	// What was delivered before another error may be kept for this user as a partial file (Info.Partial). A Put from an offset in it
	// or at its end, or AtEnd, goes on with it: r begins at that offset, and what is known already is read and dropped.
	// ErrBusy while another session does that. A Put with offset 0 begins anew.
	Put(ctx context.Context, name string, offset int64, r io.Reader, opts PutOptions) (Info, error)

	// Rename moves a file, or a directory with all that is below it. An existing file at to is replaced; an existing
	// directory is ErrExist.
	Rename(ctx context.Context, from, to string) error
	// Remove deletes a file, a partial one too. A directory is ErrIsDir.
	Remove(ctx context.Context, name string) error
	// Mkdir makes a directory. Its parent must exist; an existing name is ErrExist.
	Mkdir(ctx context.Context, name string) error
	// Rmdir deletes an empty directory. A file is ErrNotDir.
	Rmdir(ctx context.Context, name string) error

	// SetTimes sets the times of a file, both in one step, and nothing else about it: when it was modified and, which is kept beside it,
	// when it was created. A zero time stays as it is. A directory is ErrIsDir.
	SetTimes(ctx context.Context, name string, modified, created time.Time) error
	// Copy makes the file to a copy of the file from, with its attributes. An existing file at to is replaced, as far as
	// Put would replace it; an existing directory is ErrExist. A directory at from is ErrIsDir. to is a whole copy, or what
	// it was.
	Copy(ctx context.Context, from, to string) error
	// Concat joins the files from, in this order, to one file to, and deletes them when that is durable. Where to exists,
	// they are added to its end; it may also be named as the first of them, which means the same. Up to then a failure
	// leaves everything as it was. No file may be named twice: ErrName.
	Concat(ctx context.Context, to string, from []string) error
	// Restore asks for an archived file to be made readable for so many days, 0 for one, where the store knows an end of that. It returns
	// when the store has taken the order; begun is false where there is nothing to do, since the file can be read.
	Restore(ctx context.Context, name string, days int) (begun bool, err error)
	// Hash returns the digest of length bytes of a file from offset on, which are of one version; a negative length means
	// to its end. n is how many bytes those are. The algorithm is one of Hashes, ErrUnsupported otherwise. A range that goes beyond the end is ErrOffset.
	Hash(ctx context.Context, name, algorithm string, offset, length int64) (sum []byte, n int64, err error)
}

// AtEnd as the offset of Put means behind the last byte of the file; a file that does not exist is made.
const AtEnd = -1

// Info describes a file or directory.
type Info struct {
	Name    string // last segment; "/" for the root
	Dir     bool
	Size    int64          // bytes; 0 for a directory
	ModTime time.Time      // UTC; zero for a directory whose time nobody knows
	Created time.Time      // UTC; zero where nobody has set it, or nobody knows
	ETag    string         // version of a file; empty for a directory
	Rights  Rights         // what this user may do with it
	Object  backend.Object // the object of a file; zero for a directory, and where Partial is set
	Partial bool           // what has come of an upload of this user that was cut off: Put can go on with it, Open does not know it
}

// PutOptions tell Put what is known beforehand.
type PutOptions struct {
	Size    int64     // expected number of bytes of r, 0 if unknown: a hint for the part size, not a limit
	Create  bool      // the file must not exist: ErrExist otherwise, checked at the commit too
	ModTime time.Time // to be kept with the file; zero: none
}

// Errors of the tree. Those of package backend occur as well.
var (
	ErrExist    = errors.New("file exists")
	ErrIsDir    = errors.New("is a directory")
	ErrNotDir   = errors.New("not a directory")
	ErrNotEmpty = errors.New("directory not empty")
	ErrName     = errors.New("name not allowed")
	ErrOffset   = errors.New("offset beyond the end of the file")
	ErrQuota    = errors.New("quota exceeded")
	ErrTooMany  = errors.New("too many files in the directory") // to rename it, see Config.RenameLimit
	ErrBusy     = transfer.ErrBusy
	ErrFull     = transfer.ErrFull
)

// Rights are the verbs that a user may apply below a mount.
type Rights uint16

// One bit per verb.
const (
	List Rights = 1 << iota // list directories, stat what is in them
	Read
	Create    // write a file that does not exist
	Overwrite // replace a file that exists, whatever made it
	Append    // write at the end or in the middle of a file that exists
	Rename
	Delete // files and directories
	Mkdir

	Full     = List | Read | Create | Overwrite | Append | Rename | Delete | Mkdir
	ReadOnly = List | Read
	Dropbox  = Create // upload only; the size and time of what this user just uploaded can be asked for
	Worm     = List | Read | Create | Mkdir
)

// Has reports whether r has all of want.
func (r Rights) Has(want Rights) bool { return r&want == want }
