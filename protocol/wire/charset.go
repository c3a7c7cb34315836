package wire

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

// charsets are those that a Charset can have, by name. EBCDIC is for clients that put names on the wire as they hold them.
var charsets = map[string]encoding.Encoding{
	"utf-8": nil, "iso-8859-1": charmap.ISO8859_1, "iso-8859-15": charmap.ISO8859_15, "windows-1252": charmap.Windows1252,
	"shift-jis": japanese.ShiftJIS, "ibm037": charmap.CodePage037, "ibm1047": charmap.CodePage1047, "ibm1140": charmap.CodePage1140,
}

// charsetAliases are other names of charsets.
var charsetAliases = map[string]string{
	"": "utf-8", "utf8": "utf-8", "latin-1": "iso-8859-1", "latin1": "iso-8859-1", "latin-9": "iso-8859-15", "cp1252": "windows-1252",
	"shift_jis": "shift-jis", "sjis": "shift-jis", "cp037": "ibm037", "cp1047": "ibm1047", "cp1140": "ibm1140",
}

// Charset is the character set in which a client writes file names. The zero value is UTF-8, where names pass as they are; in
// any other, names become UTF-8 on their way in and return on their way out.
//
// No name is refused: a byte that means nothing becomes %XX, and so does each byte of the UTF-8 of a character that the set
// has no place for. Such an escape is understood on the way back.
type Charset struct{ enc encoding.Encoding }

// ParseCharset returns the character set of a name, upper or lower case.
func ParseCharset(name string) (Charset, error) {
	n := strings.ToLower(name)
	if a, ok := charsetAliases[n]; ok {
		n = a
	}
	enc, ok := charsets[n]
	if !ok {
		known := make([]string, 0, len(charsets))
		for k := range charsets {
			known = append(known, k)
		}
		slices.Sort(known)
		return Charset{}, fmt.Errorf("unknown character set %q: there are %s", name, strings.Join(known, ", "))
	}
	return Charset{enc}, nil
}

// Decode makes UTF-8 of what the client sent.
func (c Charset) Decode(s string) string {
	if c.enc == nil {
		return s
	}
	var b strings.Builder
	d := c.enc.NewDecoder()
	for len(s) > 0 {
		n, text := 1, ""
		// One or two bytes make a character in every set here.
		for size := 1; size <= 2 && size <= len(s); size++ {
			t, err := d.String(s[:size])
			if err == nil && !strings.ContainsRune(t, utf8.RuneError) {
				n, text = size, t
				break
			}
		}
		if text == "" {
			text = fmt.Sprintf("%%%02X", s[0])
		}
		b.WriteString(text)
		s = s[n:]
	}
	return c.unescape(b.String())
}

// Encode makes of UTF-8 what the client reads.
func (c Charset) Encode(s string) string {
	if c.enc == nil {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		_, n := utf8.DecodeRuneInString(s)
		if t, ok := c.char(s[:n]); ok {
			b.WriteString(t)
		} else {
			for i := range n {
				t, _ := c.char(fmt.Sprintf("%%%02X", s[i]))
				b.WriteString(t)
			}
		}
		s = s[n:]
	}
	return b.String()
}

// char is a character in the set, or false where it has no place there, or would not come back as the same.
func (c Charset) char(s string) (string, bool) {
	t, err := c.enc.NewEncoder().String(s)
	if err != nil || !utf8.ValidString(s) {
		return "", false
	}
	back, err := c.enc.NewDecoder().String(t)
	return t, err == nil && back == s
}

// unescape undoes the escapes of Encode: of single characters beyond ASCII that have no place in the set.
func (c Charset) unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		var p []byte
		for j := i; j+2 < len(s) && s[j] == '%' && len(p) < utf8.UTFMax && !utf8.FullRune(p); j += 3 {
			hi, lo := unhex(s[j+1]), unhex(s[j+2])
			if hi < 0 || lo < 0 {
				break
			}
			p = append(p, byte(hi<<4|lo))
		}
		if r, n := utf8.DecodeRune(p); n > 1 && n == len(p) && r >= utf8.RuneSelf {
			if _, ok := c.char(string(p)); !ok {
				b.Write(p)
				i += 3 * n
				continue
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

// unhex is the value of a digit as Encode writes it, or -1.
func unhex(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }
