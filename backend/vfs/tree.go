package vfs

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"sluice/backend"
	"sluice/backend/transfer"
)

// ErrPermission and its like are those of package backend.
var (
	ErrNotExist   = backend.ErrNotExist
	ErrPermission = backend.ErrPermission
)

// Conflict says what becomes of an upload to a name that exists.
type Conflict int

const (
	ConflictOverwrite Conflict = iota // the new file replaces the old one
	ConflictRefuse                    // ErrExist
	ConflictRename                    // the new file gets the next free name: "name (1).ext"
)

// Mount puts a part of a store into a tree.
type Mount struct {
	Path       string // absolute and clean: "/" or "/in/acme"
	Store      backend.Store
	Prefix     string // of the keys, empty or ending in "/"
	Rights     Rights
	OnConflict Conflict
	// StorageClass, in the words of the store, is that of every file that an upload, an append, a copy or a rename writes here. Empty: the
	// store's default for a new file, else the one it had.
	StorageClass string
}

// Config of a Tree.
type Config struct {
	Mounts      []Mount
	Engine      *transfer.Engine
	RenameLimit int           // most objects in a directory that is renamed; default 100,000
	User        string        // whose the tree is: uploads that were cut off are this user's
	Resume      time.Duration // how long those are kept; 0: not at all
}

// Tree is the FS made of mounts. The mount with the longest path that fits a name wins. Mount points and their parents are
// directories that exist without a store's knowledge and cannot be changed.
//
// In a store, a directory is a marker, an empty object whose key ends in "/", or any key below it. Three other ways to mark one are
// read: an object "dir" with the metadata hdi_isfolder=true, an empty one of the type application/x-directory, and an object
// "dir_$folder$"; where store rows lack metadata, a listing cannot tell the first two from an empty file. Where a file and a directory have one name, the
// directory wins, except that Open asks for the file alone and that a file beats "dir_$folder$". Names that start with a mount's ".sluice", and
// keys with segments that no name can have, are hidden; a renamed directory takes the latter along.
type Tree struct {
	engine      *transfer.Engine
	renameLimit int
	user        string
	resume      time.Duration
	mounts      []*mount            // the longest path first
	children    map[string][]string // names of mount points and their parents by directory, in order
	own         *lru.Cache[string, Info]
}

type mount struct {
	Mount
	id int // the same for mounts of the same store
}

var _ FS = (*Tree)(nil)

// ownUploads is how many of their own uploads users who may not list can ask about.
const ownUploads = 1000

// New checks the configuration and returns a Tree.
func New(cfg Config) (*Tree, error) {
	if cfg.Engine == nil {
		return nil, errors.New("tree: no engine")
	}
	own, err := lru.New[string, Info](ownUploads)
	if err != nil {
		return nil, fmt.Errorf("tree: %w", err)
	}
	t := &Tree{
		engine: cfg.Engine, renameLimit: cfg.RenameLimit, user: cfg.User, resume: cfg.Resume,
		children: map[string][]string{"/": nil}, own: own,
	}
	if t.renameLimit <= 0 {
		t.renameLimit = 100_000
	}
	for i, m := range cfg.Mounts {
		if err := checkMount(m); err != nil {
			return nil, fmt.Errorf("mount %q: %w", m.Path, err)
		}
		id := i
		for _, other := range t.mounts {
			if other.Path == m.Path {
				return nil, fmt.Errorf("mount %q: there are two", m.Path)
			}
			if same(other.Store, m.Store) {
				id = other.id
			}
		}
		t.mounts = append(t.mounts, &mount{m, id})
		for p := m.Path; p != "/"; p = path.Dir(p) {
			dir, name := path.Dir(p), path.Base(p)
			if !slices.Contains(t.children[dir], name) {
				t.children[dir] = append(t.children[dir], name)
			}
		}
	}
	for _, names := range t.children {
		slices.SortFunc(names, order)
	}
	slices.SortStableFunc(t.mounts, func(a, b *mount) int { return len(b.Path) - len(a.Path) })
	return t, nil
}

func checkMount(m Mount) error {
	if err := checkName(m.Path); err != nil {
		return err
	}
	if m.Store == nil {
		return errors.New("no store")
	}
	if m.OnConflict < ConflictOverwrite || m.OnConflict > ConflictRename {
		return fmt.Errorf("unknown conflict rule %d", m.OnConflict)
	}
	if m.Prefix == "" {
		return nil
	}
	dir, ok := strings.CutSuffix(m.Prefix, "/")
	if !ok {
		return fmt.Errorf("prefix %q does not end in a slash", m.Prefix)
	}
	if err := checkName("/" + dir); err != nil || dir == "" {
		return fmt.Errorf("prefix %q: %w", m.Prefix, ErrName)
	}
	if first, _, _ := strings.Cut(dir, "/"); first == reserved {
		return fmt.Errorf("prefix %q is reserved: %w", m.Prefix, ErrName)
	}
	if err := backend.CheckKey(m.Prefix, m.Store.Caps().MaxKey); err != nil {
		return fmt.Errorf("prefix %q: %w", m.Prefix, err)
	}
	return nil
}

// same reports whether two stores are one.
func same(a, b backend.Store) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.TypeOf(a).Comparable() && a == b
}

// order is the order of ReadDir: by bytes, as if each name ended in "/".
func order(a, b string) int { return strings.Compare(a+"/", b+"/") }
