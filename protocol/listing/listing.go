// Package listing writes directory entries as FTP clients expect to read them: LIST lines as /bin/ls -l prints them, NLST
// names, and the machine facts of MLST and MLSD (RFC 3659 7). It is pure text; protocol is its caller.
package listing

import (
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"sluice/backend/vfs"
)

// recent is how old a file may be for LIST to show its time of day instead of its year.
const recent = 180 * 24 * time.Hour

// AppendLong appends one line of LIST without its end, in the form that every client parses:
//
//	-rw-r--r--   1 ftp      ftp           1024 Nov 22 14:03 name
//
// Times are UTC; now decides between time of day and year. It also stands for a time that is not known: a line has no place for
// none, and clients that delete or fetch by age must not take a directory for ancient.
func AppendLong(b []byte, e vfs.Info, now time.Time) []byte {
	kind := byte('-')
	if e.Dir {
		kind = 'd'
	}
	b = append(b, kind)
	b = append(b, symbolic(mode(e))...)
	b = append(b, "   1 ftp      ftp      "...)
	size := strconv.FormatInt(e.Size, 10)
	for range 12 - len(size) {
		b = append(b, ' ')
	}
	b = append(append(b, size...), ' ')
	t := e.ModTime.UTC()
	if t.IsZero() {
		t = now.UTC()
	}
	layout := "Jan _2  2006"
	if age := now.Sub(t); age < recent && age > -24*time.Hour {
		layout = "Jan _2 15:04"
	}
	b = t.AppendFormat(b, layout)
	return appendName(append(b, ' '), e.Name)
}

// mode is the permission that this user's rights amount to: rw- r-- for files, rwx r-x for directories.
func mode(e vfs.Info) uint {
	if e.Dir {
		if e.Rights&(vfs.Create|vfs.Mkdir|vfs.Delete|vfs.Rename) != 0 {
			return 0o755
		}
		return 0o555
	}
	if e.Rights&(vfs.Overwrite|vfs.Append) != 0 {
		return 0o644
	}
	return 0o444
}

func symbolic(mode uint) string {
	const rwx = "rwxrwxrwx"
	var s [9]byte
	for i := range s {
		s[i] = '-'
		if mode&(1<<(8-i)) != 0 {
			s[i] = rwx[i]
		}
	}
	return string(s[:])
}

// appendName keeps a listing one line an entry, whatever bytes a key that another program wrote may hold.
func appendName(b []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		if c == '\r' || c == '\n' || c == 0 {
			c = '?'
		}
		b = append(b, c)
	}
	return b
}

// Facts is the set of facts that MLST and MLSD show.
type Facts uint

// The facts, in the order in which they are written.
const (
	Type Facts = 1 << iota
	Size
	Modify
	Create // of a file of which somebody has set it
	Perm
	Unique
	UnixMode
	StorageClass // of a file that is not in its store's standard class, in the store's words

	AllFacts = Type | Size | Modify | Create | Perm | Unique | UnixMode | StorageClass
)

var factNames = []string{"type", "size", "modify", "create", "perm", "unique", "UNIX.mode", "x.storage-class"}

// ParseFacts reads the argument of OPTS MLST: names with a semicolon behind each. Unknown names are left out (RFC 3659 7.9).
func ParseFacts(arg string) Facts {
	var f Facts
	for name := range strings.SplitSeq(arg, ";") {
		for i, known := range factNames {
			if strings.EqualFold(strings.TrimSpace(name), known) {
				f |= 1 << i
			}
		}
	}
	return f
}

// String names the facts as the reply to OPTS MLST does: "type;size;".
func (f Facts) String() string {
	var b strings.Builder
	for i, name := range factNames {
		if f&(1<<i) != 0 {
			b.WriteString(name + ";")
		}
	}
	return b.String()
}

// Feature is the line of FEAT, where a star marks the facts that are on.
func (f Facts) Feature() string {
	var b strings.Builder
	b.WriteString("MLST ")
	for i, name := range factNames {
		b.WriteString(name)
		if f&(1<<i) != 0 {
			b.WriteByte('*')
		}
		b.WriteByte(';')
	}
	return b.String()
}

// AppendFacts appends one entry of MLSD, or the line of MLST, without its end: the facts, one space, and name as the
// command shall show it. dir is what stands in front of e.Name in its path, slash included; the unique fact is made of both.
func AppendFacts(b []byte, e vfs.Info, dir, name string, facts Facts) []byte {
	if facts&Type != 0 {
		kind := "file"
		if e.Dir {
			kind = "dir"
		}
		b = append(append(append(b, "type="...), kind...), ';')
	}
	if facts&Size != 0 && !e.Dir {
		b = append(strconv.AppendInt(append(b, "size="...), e.Size, 10), ';')
	}
	if facts&Modify != 0 && !e.ModTime.IsZero() {
		b = append(e.ModTime.UTC().AppendFormat(append(b, "modify="...), "20060102150405"), ';')
	}
	if facts&Create != 0 && !e.Created.IsZero() {
		b = append(e.Created.UTC().AppendFormat(append(b, "create="...), "20060102150405"), ';')
	}
	if facts&Perm != 0 {
		b = append(appendPerm(append(b, "perm="...), e), ';')
	}
	if facts&Unique != 0 {
		h, n := fnv.New64a(), len(b)
		b = append(append(b, dir...), e.Name...)
		_, _ = h.Write(b[n:])
		b = b[:n]
		b = append(strconv.AppendUint(append(b, "unique="...), h.Sum64(), 36), ';')
	}
	if facts&UnixMode != 0 {
		b = append(strconv.AppendUint(append(b, "UNIX.mode=0"...), uint64(mode(e)), 8), ';')
	}
	if class := e.Object.StorageClass; facts&StorageClass != 0 && class != "" {
		b = append(append(append(b, "x.storage-class="...), class...), ';')
	}
	return appendName(append(b, ' '), name)
}

// letter is one of the perm fact, and the right that it takes.
type letter struct {
	c byte
	r vfs.Rights
}

var (
	ofFile = []letter{{'a', vfs.Append}, {'d', vfs.Delete}, {'f', vfs.Rename}, {'r', vfs.Read}, {'w', vfs.Overwrite}}
	ofDir  = []letter{{'c', vfs.Create}, {'d', vfs.Delete}, {'e', 0}, {'f', vfs.Rename}, {'l', vfs.List}, {'m', vfs.Mkdir}, {'p', vfs.Delete}}
)

// appendPerm appends the value of the perm fact (RFC 3659 7.5.5): what this user may do with the entry.
func appendPerm(b []byte, e vfs.Info) []byte {
	letters := ofFile
	if e.Dir {
		letters = ofDir
	}
	for _, l := range letters {
		if e.Rights.Has(l.r) {
			b = append(b, l.c)
		}
	}
	return b
}
