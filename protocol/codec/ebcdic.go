package codec

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"
)

// newLine is NL, the end of a line in EBCDIC (RFC 959 3.1.1.2). The code pages map it to U+0085; stored text has LF.
const newLine = 0x15

const nextLine = '\u0085'

// pages are the code pages by the names that z/OS and IBM i use.
var pages = map[string]*charmap.Charmap{
	"037": charmap.CodePage037, "1047": charmap.CodePage1047, "1140": charmap.CodePage1140,
}

// Page returns an EBCDIC code page: 037, 1047 or 1140, with or without IBM, IBM- or CP in front.
func Page(name string) (*charmap.Charmap, error) {
	n := strings.ToUpper(name)
	for _, prefix := range []string{"IBM", "CP", "-"} {
		n = strings.TrimPrefix(n, prefix)
	}
	if n = strings.TrimLeft(n, "0"); n == "37" {
		n = "037"
	}
	if p := pages[n]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("unknown EBCDIC code page %q: there are 037, 1047 and 1140", name)
}

// pageDecoder makes UTF-8 of a code page. Every byte of it is some character.
type pageDecoder struct {
	transform.NopResetter
	page *charmap.Charmap
}

func (d pageDecoder) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	for _, c := range src {
		r := d.page.DecodeByte(c)
		if r == nextLine {
			r = '\n'
		}
		if len(dst)-nDst < utf8.RuneLen(r) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc++
	}
	return nDst, nSrc, nil
}

// pageEncoder makes a code page of UTF-8. It refuses what the page has no place for, rather than to put something else there.
type pageEncoder struct {
	transform.NopResetter
	page *charmap.Charmap
}

func (e pageEncoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if !utf8.FullRune(src[nSrc:]) && !atEOF {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, size := utf8.DecodeRune(src[nSrc:])
		c, ok := e.page.EncodeRune(r)
		switch {
		case r == '\n':
			c = newLine
		case !ok || r == utf8.RuneError && size == 1:
			return nDst, nSrc, fmt.Errorf("a character that %v has no place for: %w", e.page, ErrFormat)
		}
		if nDst == len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		dst[nDst] = c
		nDst++
		nSrc += size
	}
	return nDst, nSrc, nil
}
