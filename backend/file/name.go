package file

import (
	"strings"
	"unicode/utf8"
)

// The names that stand for something else. Each is followed by the name, or a piece of the name, that it stands for.
const (
	fileMark = ".sluice.file." // an object whose name cannot be its own
	dirMark  = ".sluice.dir."  // a folder whose name cannot be its own
	longMark = ".sluice.long." // the folder that holds the rest of a name longer than a file system takes
	maxName  = 255             // bytes of a name in a file system
	maxPiece = 240             // of a long name
)

// place maps a key to paths below the root of the store.
//
// Almost every key is its own path, which is plain. The others: an empty segment, one that begins with ".sluice" or one that
// is longer than 255 bytes is escaped, so "dir/" becomes dir/.sluice.file. and "a//b" becomes a/.sluice.dir./b. An object
// beside a folder of its name (a beside a/b) lives at the path escaped instead: .sluice.file.a. It is moved there when the
// folder is made, so whoever looks for it tries plain first, which is empty where it cannot be, and then escaped.
func place(key string) (plain, escaped string) {
	i := strings.LastIndexByte(key, '/') + 1
	dir := folder(key[:i])
	plain, escaped = leaf(key[i:])
	if plain != "" {
		plain = dir + plain
	}
	return plain, dir + escaped
}

// folder maps a key prefix, which is empty or ends in "/", to the path of that folder, which is empty or ends in "/".
func folder(prefix string) string {
	var b strings.Builder
	for seg := range strings.SplitAfterSeq(prefix, "/") {
		if seg != "" {
			b.WriteString(branch(strings.TrimSuffix(seg, "/")))
			b.WriteByte('/')
		}
	}
	return b.String()
}

// own reports whether a segment can be a name in the file system as it is.
func own(seg string) bool {
	return seg != "" && !strings.HasPrefix(seg, private)
}

// branch maps the name of a folder.
func branch(seg string) string {
	if own(seg) && len(seg) <= maxName {
		return seg
	}
	way, rest := pieces(seg)
	if own(rest) {
		return way + rest
	}
	return way + dirMark + rest
}

// leaf maps the name of an object.
func leaf(seg string) (plain, escaped string) {
	way, rest := pieces(seg)
	escaped = way + fileMark + rest
	switch {
	case own(seg) && len(seg) <= maxName:
		plain = seg
	case way != "" && own(rest):
		plain = way + rest
	}
	return plain, escaped
}

// pieces cuts a name that is too long to be escaped as it is into folders and a rest that is not.
func pieces(seg string) (way, rest string) {
	for len(seg) > maxPiece {
		n := maxPiece
		for !utf8.RuneStart(seg[n]) {
			n--
		}
		way += longMark + seg[:n] + "/"
		seg = seg[n:]
	}
	return way, seg
}

// segment is the inverse: the name of the object or folder that lies at a path of one segment. ok is false for a path that no
// name maps to.
func segment(p string, isDir bool) (name string, ok bool) {
	var b strings.Builder
	rest := p
	for {
		long, found := strings.CutPrefix(rest, longMark)
		if !found {
			break
		}
		piece, tail, found := strings.Cut(long, "/")
		if !found {
			return "", false
		}
		b.WriteString(piece)
		rest = tail
	}
	if isDir {
		rest = strings.TrimPrefix(rest, dirMark)
	} else {
		rest = strings.TrimPrefix(rest, fileMark)
	}
	b.WriteString(rest)
	name = b.String()
	if isDir {
		return name, branch(name) == p
	}
	plain, escaped := leaf(name)
	return name, p == plain || p == escaped
}
