package file

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"time"

	"sluice/backend"
)

// A sidecar holds the attributes of the object at one key, if they are not the default ones. It names the version that they
// belong to by the size and the time of the file, which a new version gets before it is put in place. A writer first
// stores the attributes of the new version beside those of the old one, and then puts the new file in place: at every
// moment, and after every crash, the file that is there finds its own attributes or, rightly, none. Copying the directory
// with its times (rsync -a, tar) keeps the attributes; a file that another program wrote matches none.
type sidecar struct {
	Key      string    `json:"key"` // for people: the name of the sidecar is a hash
	Versions []version `json:"versions"`
}

type version struct {
	Size        int64             `json:"size"`
	Stamp       int64             `json:"stamp"`   // modification time of the file, Unix nanoseconds
	Written     int64             `json:"written"` // when the store wrote it, Unix nanoseconds
	ModTime     time.Time         `json:"modTime,omitzero"`
	ContentType string            `json:"contentType,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// errReplaced says that an object was replaced while its attributes were looked up.
var errReplaced = errors.New("object replaced meanwhile")

const defaultType = "application/octet-stream"

// plainAttributes reports whether attributes need no sidecar. The storage class means nothing here.
func plainAttributes(a backend.Attributes) bool {
	return (a.ContentType == "" || a.ContentType == defaultType) && a.ModTime.IsZero() && len(a.Metadata) == 0
}

func sidecarName(key string) string {
	h := sha256.Sum256([]byte(key))
	return path.Join(metaDir, hex.EncodeToString(h[:1]), hex.EncodeToString(h[1:]))
}

// versions returns what the sidecar of key holds, nothing if there is none.
func (s *Store) versions(key string) ([]version, error) {
	p, err := s.root.ReadFile(sidecarName(key))
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var c sidecar
	if err := json.Unmarshal(p, &c); err != nil {
		return nil, fmt.Errorf("attributes of %q: %w", key, err)
	}
	return c.Versions, nil
}

// match returns the version that a file is.
func match(vs []version, fi fs.FileInfo) *version {
	i := slices.IndexFunc(vs, func(v version) bool { return v.Size == fi.Size() && v.Stamp == fi.ModTime().UnixNano() })
	if i < 0 {
		return nil
	}
	return &vs[i]
}

// writeVersions replaces the sidecar of key, durably.
func (s *Store) writeVersions(key string, vs []version) error {
	p, err := json.Marshal(sidecar{key, vs})
	if err != nil {
		return err
	}
	f, tmp, err := s.create()
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, s.root.Remove(tmp))
	}
	name := sidecarName(key)
	if err := s.mkdir(path.Dir(name)); err != nil {
		return errors.Join(err, s.root.Remove(tmp))
	}
	if err := s.root.Rename(tmp, name); err != nil {
		return errors.Join(err, s.root.Remove(tmp))
	}
	return s.sync(path.Dir(name))
}

// describe makes an Object of a file that was found as fi at name. It returns errReplaced if the file is no longer there and
// its attributes cannot be known.
func (s *Store) describe(key, name string, fi fs.FileInfo) (backend.Object, error) {
	vs, err := s.versions(key)
	if err != nil {
		return backend.Object{}, err
	}
	v := match(vs, fi)
	if v == nil {
		// Either it has none, or a writer has replaced both meanwhile.
		now, err := s.root.Lstat(name)
		if missing(err) || err == nil && identity(now) != identity(fi) {
			return backend.Object{}, errReplaced
		}
		if err != nil {
			return backend.Object{}, err
		}
	}
	return object(key, fi, v), nil
}

func object(key string, fi fs.FileInfo, v *version) backend.Object {
	o := backend.Object{Key: key, Size: fi.Size(), Updated: fi.ModTime().UTC(), ContentType: defaultType, ETag: identity(fi)}
	if v != nil {
		o.Updated, o.ModTime, o.Metadata = time.Unix(0, v.Written).UTC(), v.ModTime, maps.Clone(v.Metadata)
		o.ETag += "-" + strconv.FormatInt(v.Written, 36)
		if v.ContentType != "" {
			o.ContentType = v.ContentType
		}
	}
	return o
}

// identity changes with every write to a file: a new file has another inode, and a write to an old one sets its change time,
// which no program can set back.
func identity(fi fs.FileInfo) string {
	inode, ctime := sysStat(fi)
	return strconv.FormatUint(inode, 36) + "-" + strconv.FormatInt(fi.Size(), 36) + "-" + strconv.FormatInt(fi.ModTime().UnixNano(), 36) +
		"-" + strconv.FormatInt(ctime, 36)
}

// sync makes the entries of a folder durable.
func (s *Store) sync(dir string) error {
	if dir == "" {
		dir = "."
	}
	f, err := s.root.OpenFile(dir, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
