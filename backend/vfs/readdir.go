package vfs

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"sluice/backend"
)

// ReadDir implements FS. Where the user may not list but mounts lie below, it yields those.
func (t *Tree) ReadDir(ctx context.Context, name string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		b, err := t.blend(ctx, name, yield)
		if err == nil {
			err = t.readDir(ctx, name, b.add)
		}
		if err != nil {
			b.send(Info{}, fmt.Errorf("list %s: %w", name, err))
			return
		}
		b.end()
	}
}

// readDir returns the error to end with; none if yield wanted no more.
func (t *Tree) readDir(ctx context.Context, name string, yield func(Info, error) bool) error {
	n, err := t.resolve(name)
	if err != nil {
		return err
	}
	if n.mount == nil && !n.fixed {
		return ErrNotExist
	}
	m := merger{children: t.children[name], yield: yield, rights: n.rights()}
	m.mounts = m.children
	m.stat = func(child string) Info {
		c, _ := t.resolve(strings.TrimSuffix(name, "/") + "/" + child)
		return dirInfo(child, c.rights(), time.Time{})
	}
	if n.mount == nil || n.allow(List) != nil && len(m.children) > 0 {
		m.end()
		return nil
	}
	if err := n.allow(List); err != nil {
		return err
	}
	empty := true
	for row, err := range n.store().List(ctx, n.dir(), backend.ListOptions{}) {
		if err != nil {
			return err
		}
		empty = false
		name := strings.TrimSuffix(row.Key[len(n.dir()):], "/")
		if plain := strings.TrimSuffix(name, folderSuffix); checkSegment(plain) != nil || n.rel == "" && plain == reserved {
			continue
		}
		if !m.add(row, name) {
			return nil
		}
	}
	if empty && !n.fixed {
		if err := t.enterMarked(ctx, n); err != nil {
			return err
		}
	}
	m.end()
	return nil
}

// merger turns the rows of one directory, in order of keys, into entries in order of names, with the mount points among them.
//
// A key "x" comes before the keys "x-1" and "x.txt", the prefix "x/" behind them; and "x_$folder$" behind that. Whether "x" is a
// directory is known only then. So a file waits until its "x/" would have come. Those that wait are beginnings of one another,
// so there are never more of them than a name has bytes.
type merger struct {
	yield    func(Info, error) bool
	rights   Rights
	stat     func(child string) Info
	mounts   []string // all mount points in the directory
	children []string // those that have not been yielded
	held     []Info   // each one the beginning of the next
	seen     []string // names yielded that the next key may begin with
	done     bool     // yield wants no more
}

// add takes the next row and reports whether more are wanted. The name still has its "_$folder$".
func (m *merger) add(row backend.Entry, name string) bool {
	rest := name
	if row.Prefix {
		rest += "/"
	}
	m.release(func(held string) bool { return held+"/" < rest })
	for len(m.seen) > 0 && !strings.HasPrefix(rest, m.seen[len(m.seen)-1]) {
		m.seen = m.seen[:len(m.seen)-1]
	}
	switch dir, legacy := strings.CutSuffix(name, folderSuffix); {
	case row.Prefix && legacy: // a directory of that name cannot be named by a client
	case row.Prefix:
		when := row.Time()
		if i := len(m.held) - 1; i >= 0 && m.held[i].Name == name {
			if m.held[i].Dir {
				when = m.held[i].ModTime
			}
			m.held = m.held[:i]
		}
		m.emit(dirInfo(name, m.rights, when.UTC()))
	case legacy:
		if !slices.Contains(m.seen, dir) && !slices.Contains(m.mounts, dir) {
			m.send(dirInfo(dir, m.rights, row.Time().UTC()))
		}
	case isFolder(row.Object):
		m.held = append(m.held, dirInfo(name, m.rights, row.Time().UTC()))
	default:
		m.held = append(m.held, fileInfo(name, m.rights, row.Object))
	}
	return !m.done
}

// end yields what is left.
func (m *merger) end() {
	m.release(func(string) bool { return true })
	for _, c := range m.children {
		m.send(m.stat(c))
	}
}

// release yields the files that wait and are due.
func (m *merger) release(due func(name string) bool) {
	for i := len(m.held) - 1; i >= 0 && due(m.held[i].Name); i-- {
		info := m.held[i]
		m.held = m.held[:i]
		m.emit(info)
	}
}

// emit yields an entry behind the mount points that come before it. A mount point hides what has its name.
func (m *merger) emit(info Info) {
	for len(m.children) > 0 && order(m.children[0], info.Name) <= 0 {
		child := m.children[0]
		m.children = m.children[1:]
		m.send(m.stat(child))
		if child == info.Name {
			return
		}
	}
	m.send(info)
}

func (m *merger) send(info Info) {
	if m.done {
		return
	}
	m.seen = append(m.seen, info.Name)
	m.done = !m.yield(info, nil)
}
