package content

import (
	"bytes"
	"io"
	"testing"

	"github.com/minio/crc64nvme"
)

func TestContent(t *testing.T) {
	const n = 2*period + 99
	whole, err := io.ReadAll(Reader(0, n))
	if err != nil || len(whole) != n {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	for _, off := range []int64{0, 1, period - 1, period, period + 5} {
		var b bytes.Buffer
		if err := Write(&b, off, n-off); err != nil || !bytes.Equal(b.Bytes(), whole[off:]) {
			t.Errorf("Write from %d differs, %v", off, err)
		}
	}
	if Sum(n) != crc64nvme.Checksum(whole) {
		t.Error("Sum is wrong")
	}
}

func TestCheck(t *testing.T) {
	whole, _ := io.ReadAll(Reader(0, 3*period))
	for _, c := range []struct {
		name  string
		check Check
		off   int64
		spoil bool
	}{
		{name: "from the start", off: 0},
		{name: "somewhere", off: 12345},
		{name: "across the end of the block", off: period - 3},
		{name: "told where", check: *From(2 * period), off: 2 * period},
		{name: "another byte", off: 7, spoil: true},
	} {
		p := bytes.Clone(whole[c.off : c.off+period/2])
		if c.spoil {
			p[len(p)-1]++
		}
		for chunk := range bytesOf(p, 100_000) {
			_, _ = c.check.Write(chunk)
		}
		if c.check.Follows(c.off) == c.spoil || !c.spoil && c.check.Size != int64(len(p)) {
			t.Errorf("%s: %+v", c.name, c.check)
		}
		if c.check.Follows(c.off + 1) {
			t.Errorf("%s: takes the content for that of another place", c.name)
		}
	}
}

func bytesOf(p []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(p) > 0 && yield(p[:min(n, len(p))]) {
			p = p[min(n, len(p)):]
		}
	}
}
