package wire

import (
	"strconv"
	"strings"
)

// Reply is one reply of the server (RFC 959 4.2): a code and one or more lines of text.
type Reply struct {
	Code  int
	Lines []string
}

// Append appends the reply as it stands on the wire to b. CR, LF and NUL in a text become "?", so that no name can end a
// line. Inner lines begin with a space, so that none can be taken for the last (RFC 2389 does the same).
func (r Reply) Append(b []byte) []byte {
	code := strconv.Itoa(r.Code)
	lines := r.Lines
	if len(lines) == 0 {
		lines = []string{"OK"}
	}
	last := len(lines) - 1
	for i, text := range lines {
		switch i {
		case last:
			b = append(append(b, code...), ' ')
		case 0:
			b = append(append(b, code...), '-')
		default:
			b = append(b, ' ')
		}
		b = append(b, clean.Replace(text)...)
		b = append(b, '\r', '\n')
	}
	return b
}

var clean = strings.NewReplacer("\r", "?", "\n", "?", "\x00", "?")

// Quote is a path as a 257 reply shows it: in double quotes, each inner one doubled (RFC 959 appendix II).
func Quote(path string) string {
	return `"` + strings.ReplaceAll(path, `"`, `""`) + `"`
}
