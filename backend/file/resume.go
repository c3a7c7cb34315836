package file

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"sluice/backend"
)

// The folder of an upload, named by its ID, and what is in it. Parts that lie in files of their own have numbers as names.
const (
	uploadsDir = private + "/uploads"
	headName   = "upload" // a header, as JSON
	dataName   = "data"   // the parts that are in place
	listName   = "parts"  // an entry for each part that is on the disk, as lines of JSON; the last one of a number counts
)

// header says whose an upload is.
type header struct {
	Key   string `json:"key"`
	Owner string `json:"owner"` // folder of the process that has it, below runDir
}

// entry is a part on the disk.
type entry struct {
	Number int    `json:"n"`
	Size   int64  `json:"size"`
	Off    int64  `json:"off,omitempty"`  // in the data
	File   string `json:"file,omitempty"` // its own file
}

func (u *upload) dir() string { return path.Join(uploadsDir, u.id) }

// file returns a new name in the folder.
func (u *upload) file() string {
	return fmt.Sprintf("%s/%d-%s", u.dir(), u.s.seq.Add(1), path.Base(u.s.run))
}

// found makes the folder of a new upload, whole and durable before it gets its name.
func (s *Store) found(key string, opts backend.PutOptions) (*upload, error) {
	u := &upload{s: s, key: key, id: rand.Text(), opts: opts, parts: map[int]*part{}, next: 1}
	tmp := path.Join(s.run, u.id)
	if err := s.root.Mkdir(tmp, 0o700); err != nil {
		return nil, err
	}
	err := s.writeHeader(tmp, key)
	if err == nil {
		u.f, err = s.root.OpenFile(path.Join(tmp, dataName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	}
	if err == nil {
		u.list, err = s.root.OpenFile(path.Join(tmp, listName), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err == nil {
		err = s.sync(tmp)
	}
	if err == nil {
		err = s.root.Rename(tmp, u.dir())
	}
	if err != nil {
		return nil, errors.Join(err, u.close(), s.root.RemoveAll(tmp))
	}
	u.tmp = path.Join(u.dir(), dataName)
	return u, s.sync(uploadsDir)
}

// close closes the files that are open.
func (u *upload) close() error {
	var errs []error
	for _, f := range []*os.File{u.f, u.list} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// writeHeader makes an upload this process's.
func (s *Store) writeHeader(dir, key string) error {
	p, err := json.Marshal(header{key, path.Base(s.run)})
	if err != nil {
		return err
	}
	f, tmp, err := s.create()
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = s.root.Rename(tmp, path.Join(dir, headName))
	}
	if err != nil {
		return errors.Join(err, s.root.Remove(tmp))
	}
	return nil
}

// enlist puts a part, whose bytes are on the disk, on the list.
func (u *upload) enlist(n int, p *part) error {
	e := entry{Number: n, Size: p.size, Off: p.off}
	if p.file != "" {
		e.File = path.Base(p.file)
		if err := u.s.sync(u.dir()); err != nil {
			return err
		}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := u.list.Write(append(line, '\n')); err != nil {
		return err
	}
	if _, err := u.s.root.Lstat(path.Join(u.dir(), listName)); err != nil {
		return err // the upload was ended through another value
	}
	return u.list.Sync()
}

// ResumeUpload implements backend.Store.
func (s *Store) ResumeUpload(ctx context.Context, key, id string, opts backend.PutOptions) (backend.Upload, error) {
	err := s.check(ctx, key)
	var u *upload
	if err == nil {
		u, err = s.reopen(key, id, opts)
	}
	if err != nil {
		return nil, fmt.Errorf("resume upload %q: %w", key, classify(err))
	}
	return u, nil
}

func (s *Store) reopen(key, id string, opts backend.PutOptions) (_ *upload, err error) {
	if id == "" || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return nil, backend.ErrNotExist // no ID that rand.Text makes
	}
	u := &upload{s: s, key: key, id: id, opts: opts, parts: map[int]*part{}, next: 1}
	h, err := s.header(id)
	if err != nil {
		return nil, err
	}
	if h.Key != key {
		return nil, backend.ErrNotExist
	}
	if h.Owner != path.Base(s.run) {
		if err := s.writeHeader(u.dir(), key); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.close())
		}
	}()
	u.tmp = path.Join(u.dir(), dataName)
	if u.f, err = s.root.OpenFile(u.tmp, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if u.list, err = s.root.OpenFile(path.Join(u.dir(), listName), os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return nil, err
	}
	entries, err := u.entries()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		p := &part{size: e.Size, off: e.Off, done: true}
		if e.File != "" {
			p.file = path.Join(u.dir(), e.File)
		} else {
			u.end = max(u.end, e.Off+e.Size)
		}
		u.parts[e.Number] = p
	}
	var places int64
	for p := u.parts[1]; p != nil; p = u.parts[u.next] {
		places += p.size
		u.next++
	}
	u.end = max(u.end, places)
	_, err = u.list.WriteString("\n") // behind a line that a crash may have cut
	return u, err
}

func (s *Store) header(id string) (h header, err error) {
	p, err := s.root.ReadFile(path.Join(uploadsDir, id, headName))
	if err != nil {
		return h, err
	}
	err = json.Unmarshal(p, &h)
	return h, err
}

// ID implements backend.Upload.
func (u *upload) ID() string { return u.id }

// Parts implements backend.Upload.
func (u *upload) Parts(ctx context.Context) ([]backend.Part, error) {
	err := ctx.Err()
	var entries []entry
	if err == nil {
		entries, err = u.entries()
	}
	if err != nil {
		return nil, fmt.Errorf("parts of %q: %w", u.key, classify(err))
	}
	parts := make([]backend.Part, len(entries))
	for i, e := range entries {
		parts[i] = backend.Part{Number: e.Number, Size: e.Size}
	}
	return parts, nil
}

// entries returns the parts that are on the list and on the disk, by number.
func (u *upload) entries() ([]entry, error) {
	p, err := u.s.root.ReadFile(path.Join(u.dir(), listName))
	if err != nil {
		return nil, err
	}
	data, err := u.s.root.Lstat(path.Join(u.dir(), dataName))
	if err != nil {
		return nil, err
	}
	last := map[int]entry{}
	lines := bufio.NewReader(bytes.NewReader(p))
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		var e entry
		if json.Unmarshal(line, &e) == nil && e.Number > 0 {
			last[e.Number] = e
		}
	}
	var all []entry
	for _, n := range slices.Sorted(maps.Keys(last)) {
		e := last[n]
		there := e.Off+e.Size <= data.Size()
		if e.File != "" {
			fi, err := u.s.root.Lstat(path.Join(u.dir(), path.Base(e.File)))
			there = err == nil && fi.Size() == e.Size
		}
		if there {
			all = append(all, e)
		}
	}
	return all, nil
}

// sweepUploads removes the uploads that nobody has written to for longer than keep, but for those of living processes.
func (s *Store) sweepUploads(keep time.Duration) error {
	uploads, err := fs.ReadDir(s.root.FS(), uploadsDir)
	if err != nil {
		return err
	}
	for _, d := range uploads {
		dir := path.Join(uploadsDir, d.Name())
		fi, err := s.root.Lstat(path.Join(dir, listName))
		if err == nil && keep > 0 && time.Since(fi.ModTime()) < keep {
			continue
		}
		if h, err := s.header(d.Name()); err == nil && h.Owner != "" {
			if _, err := s.root.Lstat(path.Join(runDir, path.Base(h.Owner))); err == nil {
				continue // folders of dead processes are gone by now
			}
		}
		if err := s.root.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
