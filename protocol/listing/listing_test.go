package listing

import (
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/vfs"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestAppendLong(t *testing.T) {
	for _, tc := range []struct {
		e    vfs.Info
		want string
	}{
		{vfs.Info{Name: "a b", Size: 1024, ModTime: time.Date(2026, 11, 2, 4, 3, 0, 0, time.UTC), Rights: vfs.Full}, "-rw-r--r--   1 ftp      ftp              1024 Nov  2 04:03 a b"},
		{vfs.Info{Name: "old", Size: 0, ModTime: time.Date(2020, 1, 12, 4, 3, 0, 0, time.UTC), Rights: vfs.ReadOnly}, "-r--r--r--   1 ftp      ftp                 0 Jan 12  2020 old"},
		{vfs.Info{Name: "huge", Size: 1 << 46, ModTime: now.Add(72 * time.Hour), Rights: vfs.Full}, "-rw-r--r--   1 ftp      ftp      70368744177664 Nov 25  2026 huge"},
		{vfs.Info{Name: "d", Dir: true, Rights: vfs.Full}, "drwxr-xr-x   1 ftp      ftp                 0 Nov 22 12:00 d"},
		{vfs.Info{Name: "x\r\ny", ModTime: now, Rights: vfs.Full}, "-rw-r--r--   1 ftp      ftp                 0 Nov 22 12:00 x??y"},
	} {
		if got := string(AppendLong(nil, tc.e, now)); got != tc.want {
			t.Errorf("\n%q, want\n%q", got, tc.want)
		}
	}
}

func TestAppendFacts(t *testing.T) {
	file := vfs.Info{Name: "f", Size: 7, ModTime: now.Add(5 * time.Millisecond), Rights: vfs.Full}
	dir := vfs.Info{Name: "d", Dir: true, Rights: vfs.ReadOnly}
	cold := vfs.Info{Name: "c", Size: 7, Object: backend.Object{StorageClass: "DEEP_ARCHIVE"}}
	born := vfs.Info{Name: "b", ModTime: now, Created: now.Add(-time.Hour)}
	for _, tc := range []struct {
		e     vfs.Info
		facts Facts
		want  string
	}{
		{file, Type | Size | Modify | Perm | UnixMode, "type=file;size=7;modify=20261122120000;perm=adfrw;UNIX.mode=0644; f"},
		{dir, Type | Size | Modify | Perm | UnixMode, "type=dir;perm=el;UNIX.mode=0555; d"},
		{file, Size | StorageClass, "size=7; f"},
		{cold, Size | StorageClass, "size=7;x.storage-class=DEEP_ARCHIVE; c"},
		{cold, Size, "size=7; c"},
		{born, Modify | Create, "modify=20261122120000;create=20261122110000; b"},
		{file, Create, " f"},
		{file, 0, " f"},
	} {
		if got := string(AppendFacts(nil, tc.e, "/", tc.e.Name, tc.facts)); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
	one, two := string(AppendFacts(nil, file, "/a/", "f", Unique)), string(AppendFacts(nil, file, "/b/", "f", Unique))
	if one == two {
		t.Errorf("two files are not unique: %q", one)
	}
}

func TestFacts(t *testing.T) {
	f := ParseFacts("Size; TYPE;nonsense;unix.mode")
	if f != Type|Size|UnixMode || f.String() != "type;size;UNIX.mode;" {
		t.Errorf("%v", f)
	}
	if got := f.Feature(); got != "MLST type*;size*;modify;create;perm;unique;UNIX.mode*;x.storage-class;" {
		t.Error(got)
	}
	if ParseFacts("") != 0 {
		t.Error("no name must turn every fact off")
	}
}
