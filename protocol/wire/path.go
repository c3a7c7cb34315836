package wire

import "strings"

// Join resolves the path argument of a command against the working directory. The result is absolute and clean: it begins
// with "/", and holds no empty segment, "." or "..". What ".." would lead out of the root stays at the root. Everything
// else, backslashes and blanks included, is an ordinary byte of a name.
func Join(dir, arg string) string {
	if !strings.HasPrefix(arg, "/") {
		arg = dir + "/" + arg
	}
	var segs []string
	for seg := range strings.SplitSeq(arg, "/") {
		switch seg {
		case "", ".":
		case "..":
			if len(segs) > 0 {
				segs = segs[:len(segs)-1]
			}
		default:
			segs = append(segs, seg)
		}
	}
	return "/" + strings.Join(segs, "/")
}
