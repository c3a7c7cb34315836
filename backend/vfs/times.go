package vfs

import (
	"context"
	"fmt"
	"maps"
	"time"

	"sluice/backend"
)

// createdKey is where rclone keeps the time of creation: RFC 3339 with a fraction.
const createdKey = "btime"

// created is the time of creation that metadata tells; zero if none.
func created(m map[string]string) time.Time {
	text, ok := m[createdKey]
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// SetTimes implements FS. It takes the right to overwrite, unless the file is what this user has uploaded of late and
// nobody has changed since. ErrChanged where somebody else writes the file at the same moment.
func (t *Tree) SetTimes(ctx context.Context, name string, modified, born time.Time) error {
	err := t.describe(ctx, name, func(a *backend.Attributes) (changed bool) {
		if !modified.IsZero() && !a.ModTime.Equal(modified) {
			a.ModTime, changed = modified.UTC(), true
		}
		if !born.IsZero() && !created(a.Metadata).Equal(born) {
			m := maps.Clone(a.Metadata)
			if m == nil {
				m = map[string]string{}
			}
			m[createdKey], a.Metadata, changed = born.UTC().Format(time.RFC3339Nano), m, true
		}
		return changed
	})
	if err != nil {
		return fmt.Errorf("set times of %s: %w", name, err)
	}
	return nil
}

// describe changes the attributes of a file. change reports whether there is anything to do.
func (t *Tree) describe(ctx context.Context, name string, change func(*backend.Attributes) bool) error {
	n, err := t.resolve(name)
	if err != nil {
		return err
	}
	mine, err := t.mayTouch(n, Overwrite)
	if err != nil {
		return err
	}
	e, err := t.lookup(ctx, n)
	switch {
	case err != nil:
		return err
	case e.dir:
		return ErrIsDir
	case e.file == nil:
		return ErrNotExist
	case mine != "" && mine != e.file.ETag:
		return ErrPermission
	case e.file.Archived:
		return backend.ErrArchived
	}
	attributes := e.file.Attributes()
	if !change(&attributes) {
		return nil
	}
	obj, err := t.engine.Copy(ctx, n.store(), n.key(), *e.file, backend.CopyOptions{
		If: backend.Condition{ETag: e.file.ETag}, Replace: &attributes,
	})
	if err != nil {
		return err
	}
	t.remember(n, obj)
	return nil
}
