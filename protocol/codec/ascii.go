package codec

import (
	"bytes"

	"golang.org/x/text/transform"
)

// TYPE A (RFC 959 3.1.1.1): lines end in CRLF on the wire and in LF in the store. A CR that stands alone is kept both ways, and
// a stored CRLF is sent as it is.

// fromCRLF makes LF of each CRLF.
type fromCRLF struct{ transform.NopResetter }

func (fromCRLF) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		// Up to the next CR everything is copied as it is.
		plain := bytes.IndexByte(src[nSrc:], '\r')
		if plain < 0 {
			plain = len(src) - nSrc
		}
		n := copy(dst[nDst:], src[nSrc:nSrc+plain])
		nDst, nSrc = nDst+n, nSrc+n
		switch {
		case n < plain:
			return nDst, nSrc, transform.ErrShortDst
		case nSrc == len(src):
			return nDst, nSrc, nil
		case nSrc+1 == len(src) && !atEOF:
			return nDst, nSrc, transform.ErrShortSrc
		case nSrc+1 < len(src) && src[nSrc+1] == '\n':
			nSrc++ // the LF is copied next
		case nDst == len(dst):
			return nDst, nSrc, transform.ErrShortDst
		default:
			dst[nDst] = '\r'
			nDst, nSrc = nDst+1, nSrc+1
		}
	}
	return nDst, nSrc, nil
}

// toCRLF makes CRLF of each LF that has no CR in front.
type toCRLF struct{ cr bool }

func (t *toCRLF) Reset() { t.cr = false }

func (t *toCRLF) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		plain := bytes.IndexByte(src[nSrc:], '\n')
		if plain < 0 {
			plain = len(src) - nSrc
		}
		n := copy(dst[nDst:], src[nSrc:nSrc+plain])
		nDst, nSrc = nDst+n, nSrc+n
		if n > 0 {
			t.cr = src[nSrc-1] == '\r'
		}
		switch {
		case n < plain:
			return nDst, nSrc, transform.ErrShortDst
		case nSrc == len(src):
			return nDst, nSrc, nil
		case len(dst)-nDst < 2:
			return nDst, nSrc, transform.ErrShortDst
		case !t.cr:
			dst[nDst] = '\r'
			nDst++
		}
		dst[nDst] = '\n'
		nDst, nSrc, t.cr = nDst+1, nSrc+1, false
	}
	return nDst, nSrc, nil
}
