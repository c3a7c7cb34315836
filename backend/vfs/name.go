package vfs

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"sluice/backend"
)

// reserved is the first segment of the keys that Sluice keeps for itself in every store: unfinished renames, segments of large
// uploads. No name leads there.
const reserved = ".sluice"

// folderSuffix ends the names of the empty objects by which Hadoop and tools like it mark directories.
const folderSuffix = "_$folder$"

// checkName returns an error that wraps ErrName if name is not absolute and clean.
func checkName(name string) error {
	if !strings.HasPrefix(name, "/") {
		return fmt.Errorf("not absolute: %w", ErrName)
	}
	if name == "/" {
		return nil
	}
	for seg := range strings.SplitSeq(name[1:], "/") {
		if err := checkSegment(seg); err != nil {
			return err
		}
	}
	return nil
}

func checkSegment(seg string) error {
	switch {
	case seg == "" || seg == "." || seg == "..":
		return fmt.Errorf("segment %q: %w", seg, ErrName)
	case !utf8.ValidString(seg):
		return fmt.Errorf("not UTF-8: %w", ErrName)
	case strings.ContainsAny(seg, "\x00\r\n"):
		return fmt.Errorf("NUL, CR or LF: %w", ErrName)
	case strings.HasSuffix(seg, folderSuffix):
		return fmt.Errorf("%s marks directories: %w", folderSuffix, ErrName)
	}
	return nil
}

// node is where a name leads.
type node struct {
	name  string
	mount *mount // nil outside every mount
	rel   string // below the mount; empty for the mount itself
	fixed bool   // a mount point or a parent of one: a directory, whatever the stores hold
}

// resolve finds the place of a name, without asking any store. ErrName where the name cannot be a key.
func (t *Tree) resolve(name string) (node, error) {
	if err := checkName(name); err != nil {
		return node{}, err
	}
	n := node{name: name}
	_, n.fixed = t.children[name]
	for _, m := range t.mounts { // the longest path first
		if rel, ok := below(m.Path, name); ok {
			n.mount, n.rel = m, rel
			break
		}
	}
	if n.mount == nil {
		return n, nil
	}
	n.fixed = n.fixed || n.rel == ""
	if first, _, _ := strings.Cut(n.rel, "/"); first == reserved {
		return node{}, fmt.Errorf("%s is reserved: %w", reserved, ErrName)
	}
	if n.rel != "" {
		if err := backend.CheckKey(n.key(), n.mount.Store.Caps().MaxKey); err != nil {
			return node{}, fmt.Errorf("%w: %s", ErrName, err.Error())
		}
	}
	return n, nil
}

// below returns what follows dir in name, if name is dir or lies below it.
func below(dir, name string) (rel string, ok bool) {
	if dir == "/" {
		return name[1:], true
	}
	rest, ok := strings.CutPrefix(name, dir)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimPrefix(rest, "/"), true
}

// parent returns the directory that n is in. n is not the root.
func (t *Tree) parent(n node) node {
	p, _ := t.resolve(path.Dir(n.name)) // a part of a good name is good
	return p
}

func (n node) base() string { return path.Base(n.name) }

// key is the key of the file n.
func (n node) key() string { return n.mount.Prefix + n.rel }

// dir is the prefix of all keys in the directory n, and the key of its marker. It is empty at the top of a store.
func (n node) dir() string {
	if n.rel == "" {
		return n.mount.Prefix
	}
	return n.key() + "/"
}

func (n node) store() backend.Store { return n.mount.Store }

// rights are what the user may do with n.
func (n node) rights() Rights {
	if n.mount == nil {
		return List
	}
	return n.mount.Rights
}

// allow returns ErrPermission unless the user has all of want.
func (n node) allow(want Rights) error {
	if !n.rights().Has(want) {
		return ErrPermission
	}
	return nil
}

// change returns ErrPermission if n is not the user's to make, replace or remove: fixed directories, and what lies outside every
// mount.
func (n node) change() error {
	if n.fixed || n.mount == nil {
		return ErrPermission
	}
	return nil
}
