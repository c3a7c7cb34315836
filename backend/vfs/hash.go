package vfs

import (
	"context"
	"crypto/md5"  //nolint:gosec // clients ask for it, against errors of transport
	"crypto/sha1" //nolint:gosec // the same
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"maps"

	"sluice/backend"
	"sluice/backend/transfer"
)

// Hashes are the algorithms of FS.Hash, by the names of draft-bryan-ftpext-hash. CRC32C is Castagnoli's.
var Hashes = []string{"CRC32", "CRC32C", "MD5", "SHA-1", "SHA-256", "SHA-512"}

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "CRC32":
		return crc32.NewIEEE()
	case "CRC32C":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "MD5":
		return md5.New()
	case "SHA-1":
		return sha1.New()
	case "SHA-256":
		return sha256.New()
	case "SHA-512":
		return sha512.New()
	}
	return nil
}

type spendKey struct{}

// Metered returns a context in which Hash calls spend for bytes that it has read from a store, and ends with the error of
// spend. It is how a decorator of an FS makes the reads of Hash obey a limit.
func Metered(ctx context.Context, spend func(n int) error) context.Context {
	return context.WithValue(ctx, spendKey{}, spend)
}

// Hash implements FS. It takes the right to read, unless the file is what this user has uploaded of late and nobody has
// changed since. The digest of a whole file is the store's own, where it keeps one of this kind; otherwise the file is
// read. Where a directory has the same name, it is about the file, as Open is. ErrChanged where somebody else writes the
// file at the same moment.
func (t *Tree) Hash(ctx context.Context, name, algorithm string, offset, length int64) ([]byte, int64, error) {
	sum, n, err := t.hash(ctx, name, algorithm, offset, length)
	if err != nil {
		return nil, 0, fmt.Errorf("%s of %s: %w", algorithm, name, err)
	}
	return sum, n, nil
}

func (t *Tree) hash(ctx context.Context, name, algorithm string, offset, length int64) ([]byte, int64, error) {
	h := newHash(algorithm)
	if h == nil {
		return nil, 0, backend.ErrUnsupported
	}
	n, err := t.resolve(name)
	if err != nil {
		return nil, 0, err
	}
	mine, err := t.mayTouch(n, Read)
	if err != nil {
		return nil, 0, err
	}
	e, err := statFile(backend.WithChecksums(ctx), n)
	switch {
	case err != nil:
		return nil, 0, err
	case e.dir:
		return nil, 0, ErrIsDir
	case e.file == nil:
		if err := t.enter(ctx, n); err != nil {
			return nil, 0, err
		}
		return nil, 0, ErrIsDir
	case mine != "" && mine != e.file.ETag:
		return nil, 0, ErrPermission
	}
	size := e.file.Size
	if offset < 0 || offset > size || length > size-offset {
		return nil, 0, fmt.Errorf("%d bytes at %d of %d: %w", length, offset, size, ErrOffset)
	}
	if length < 0 {
		length = size - offset
	}
	if sum := e.file.Checksums[algorithm]; length == size && len(sum) == h.Size() {
		return sum, length, nil
	}
	if length > 0 {
		if err := t.feed(ctx, h, n, *e.file, offset, length); err != nil {
			return nil, 0, err
		}
	}
	return h.Sum(nil), length, nil
}

// feed gives h a range of a version of the file n.
func (t *Tree) feed(ctx context.Context, h io.Writer, n node, file backend.Object, offset, length int64) error {
	if file.Archived {
		return backend.ErrArchived
	}
	body, _, err := t.engine.Open(ctx, n.store(), n.key(), transfer.OpenOptions{Offset: offset, Length: length, ETag: file.ETag})
	if errors.Is(err, backend.ErrNotExist) || errors.Is(err, backend.ErrRange) {
		return fmt.Errorf("%w: %s", backend.ErrChanged, err.Error())
	}
	if err != nil {
		return err
	}
	defer body.Close()
	if spend, ok := ctx.Value(spendKey{}).(func(int) error); ok {
		h = meter{h, spend}
	}
	got, err := io.Copy(h, body)
	if err == nil && got != length {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// meter calls spend behind each write.
type meter struct {
	io.Writer
	spend func(n int) error
}

func (m meter) Write(p []byte) (int, error) {
	n, err := m.Writer.Write(p)
	if err == nil {
		err = m.spend(n)
	}
	return n, err
}

// digestKey is where rclone keeps the MD5 of what it uploads in parts.
const digestKey = "md5chksum"

// withoutDigest returns the metadata of an object for another version, whose content is not the same.
func withoutDigest(m map[string]string) map[string]string {
	if _, ok := m[digestKey]; ok {
		m = maps.Clone(m)
		delete(m, digestKey)
	}
	return m
}
