package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sluice/backend"
	"sluice/backend/transfer"
)

// An upload that was cut off is kept for its user (Config.Resume), and is to this user alone a file of the length that has come: in
// Stat and ReadDir, for Put from there on, and for Remove, which drops it. For everybody else, and for Open and Rename, there
// is the file that was there before, or none. It is void as soon as that file is another one or a directory has its name.

// resumes reports whether uploads to n can be resumed.
func (t *Tree) resumes(n node) bool {
	return t.resume > 0 && n.mount != nil && !n.fixed && n.store().Caps().Conditional
}

// resumption is what the engine is told of an upload to n, where e is what is there.
func (t *Tree) resumption(n node, e entry) *transfer.Resumption {
	if !t.resumes(n) {
		return nil
	}
	r := &transfer.Resumption{
		User: t.user, Name: n.key(), For: t.resume,
		Refuse: func(err error) bool { return errors.Is(err, ErrQuota) },
	}
	if e.file != nil {
		r.Base = e.file.ETag
	}
	return r
}

// partial returns the upload to n that was cut off; nil if there is none. It may be void.
func (t *Tree) partial(ctx context.Context, n node) (*transfer.Partial, error) {
	if !t.resumes(n) {
		return nil, nil
	}
	return t.engine.Partial(ctx, n.store(), t.user, n.key())
}

// counts reports whether an upload that was cut off counts where e is at its name.
func counts(p *transfer.Partial, e entry) bool {
	switch {
	case p == nil || e.dir:
		return false
	case e.file == nil:
		return p.Base == ""
	}
	return p.Base == e.file.ETag
}

func partialInfo(name string, rights Rights, p transfer.Partial) Info {
	return Info{Name: name, Size: p.Size, ModTime: p.Updated.UTC(), Rights: rights, Partial: true}
}

// resumed tries to go on with an upload that was cut off. Neither done nor an error: there is none that counts, and nothing was
// read. Where the upload begins anew, it is dropped first.
func (t *Tree) resumed(ctx context.Context, n node, e entry, offset int64, r io.Reader, opts PutOptions) (obj backend.Object, done bool, err error) {
	p, err := t.partial(ctx, n)
	switch {
	case p == nil:
		return obj, false, err
	case offset == 0 || !counts(p, e):
		if err := t.engine.Drop(ctx, n.store(), *p); err != nil && !errors.Is(err, ErrBusy) {
			return obj, false, err
		}
		return obj, false, nil
	}
	if err := t.mayResume(ctx, n, e, *p); err != nil {
		return obj, false, err
	}
	obj, err = t.engine.Resume(ctx, n.store(), *p, offset, r, transfer.UploadOptions{Size: opts.Size, Resume: t.resumption(n, e)})
	switch {
	case errors.Is(err, transfer.ErrGone):
		return obj, false, nil
	case errors.Is(err, backend.ErrRange):
		err = fmt.Errorf("%w: %s", ErrOffset, err.Error())
	case p.If.Absent && errors.Is(err, backend.ErrChanged) && !errors.Is(err, transfer.ErrShort):
		err = fmt.Errorf("%w: %s", ErrExist, err.Error())
	}
	return obj, err == nil, err
}

// mayResume checks the rights that beginning the upload takes.
func (t *Tree) mayResume(ctx context.Context, n node, e entry, p transfer.Partial) error {
	switch {
	case e.file == nil:
		return t.mayCreate(ctx, n, 0)
	case p.If.ETag != "":
		return n.allow(Append)
	case n.mount.OnConflict == ConflictRefuse:
		return ErrExist
	case p.If.Absent:
		return n.allow(Create)
	}
	return n.allow(Overwrite)
}

// dropPartial drops the upload to n that was cut off. It reports whether there was one that counts.
func (t *Tree) dropPartial(ctx context.Context, n node, e entry) (bool, error) {
	p, err := t.partial(ctx, n)
	if p == nil || err != nil {
		return false, err
	}
	return counts(p, e), t.engine.Drop(ctx, n.store(), *p)
}

// statPartial returns what the user sees of an upload to n that was cut off, if that counts. e is what is there; nil: ask.
func (t *Tree) statPartial(ctx context.Context, n node, e *entry) (info Info, ok bool, err error) {
	p, err := t.partial(ctx, n)
	if p == nil || err != nil {
		return Info{}, false, err
	}
	if e == nil {
		found, err := t.lookup(ctx, n)
		if err != nil {
			return Info{}, false, err
		}
		e = &found
	}
	if !counts(p, *e) {
		return Info{}, false, nil
	}
	return partialInfo(n.base(), n.rights(), *p), true, nil
}

// blend puts the uploads that were cut off among the entries of a directory.
type blend struct {
	yield    func(Info, error) bool
	partials []transfer.Partial // in order of names
	names    []string
	rights   Rights
	done     bool // yield wants no more
}

// blend returns what ReadDir puts between readDir and its caller.
func (t *Tree) blend(ctx context.Context, name string, yield func(Info, error) bool) (*blend, error) {
	b := &blend{yield: yield}
	n, err := t.resolve(name)
	if err != nil || n.mount == nil || t.resume <= 0 || n.allow(List) != nil || !n.store().Caps().Conditional {
		return b, nil //nolint:nilerr // readDir says so itself
	}
	all, err := t.engine.Partials(ctx, n.store(), t.user)
	if err != nil {
		return b, err
	}
	b.rights = n.rights()
	here := func(p transfer.Partial) string {
		base, ok := strings.CutPrefix(p.Name, n.dir())
		if !ok || checkSegment(base) != nil || strings.Contains(base, "/") {
			return ""
		}
		return base
	}
	all = slices.DeleteFunc(all, func(p transfer.Partial) bool { return here(p) == "" })
	slices.SortFunc(all, func(a, b transfer.Partial) int { return order(here(a), here(b)) })
	for _, p := range all {
		b.names = append(b.names, here(p))
	}
	b.partials = all
	return b, nil
}

// add takes an entry of the directory.
func (b *blend) add(info Info, err error) bool {
	if err != nil {
		return b.send(info, err)
	}
	for len(b.partials) > 0 && order(b.names[0], info.Name) <= 0 {
		p, name := b.partials[0], b.names[0]
		b.partials, b.names = b.partials[1:], b.names[1:]
		if name == info.Name {
			if counts(&p, entry{dir: info.Dir, file: &info.Object}) {
				info = partialInfo(name, b.rights, p)
			}
			break
		}
		if p.Base == "" && !b.send(partialInfo(name, b.rights, p), nil) {
			return false
		}
	}
	return b.send(info, nil)
}

// end yields what is left behind the last entry.
func (b *blend) end() {
	for i, p := range b.partials {
		if p.Base == "" && !b.done {
			b.send(partialInfo(b.names[i], b.rights, p), nil)
		}
	}
}

func (b *blend) send(info Info, err error) bool {
	if !b.done {
		b.done = !b.yield(info, err) || err != nil
	}
	return !b.done
}
