package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/text/encoding/charmap"
)

// forms are all of them.
func forms() map[string]Form {
	all := map[string]Form{}
	for tn, t := range map[string]Type{"A": ASCII, "I": Image, "E": EBCDIC} {
		for mn, m := range map[string]Mode{"S": Stream, "B": Block, "Z": Deflate} {
			for sn, s := range map[string]bool{"F": false, "R": true} {
				all[tn+mn+sn] = Form{Type: t, Mode: m, Record: s, Page: charmap.CodePage1047, Level: DefaultLevel}
			}
		}
	}
	return all
}

func encode(t testing.TB, f Form, stored []byte) []byte {
	t.Helper()
	var wire bytes.Buffer
	w := f.Encode(&wire, 0)
	for p := stored; len(p) > 0; { // in pieces of many sizes
		n := min(len(p), 1+rand.IntN(5000))
		if _, err := w.Write(p[:n]); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return wire.Bytes()
}

// stored makes a file that the form can carry.
func stored(f Form, n int) []byte {
	switch {
	case f.Type == Image && f.Record:
		var b bytes.Buffer
		r := &recordReader{frames: &testFrames{n: n}}
		_, _ = io.Copy(&b, r)
		return b.Bytes()
	case f.Type == Image:
		b := make([]byte, n)
		_, _ = rand.NewChaCha8([32]byte{}).Read(b)
		return b
	}
	var b strings.Builder
	for b.Len() < n {
		b.WriteString("The quick brown fox, line "[:1+rand.IntN(25)])
		if f.Type == ASCII {
			b.WriteString("\xff\r\t ")
		} else {
			b.WriteString("éß[]")
		}
		if rand.IntN(3) == 0 {
			b.WriteByte('\n')
		}
	}
	if f.Record && n > 0 {
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// testFrames are records of all lengths.
type testFrames struct{ n int }

func (f *testFrames) next() ([]byte, bool, error) {
	if f.n <= 0 {
		return nil, false, io.EOF
	}
	p := bytes.Repeat([]byte{0xff, 1, 0}, rand.IntN(30000))
	f.n -= len(p) + 1
	return p, rand.IntN(3) > 0 || f.n <= 0, nil
}

func TestRoundTrip(t *testing.T) {
	for name, f := range forms() {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{0, 1, 2, 100, 70_000, 200_000} {
				want := stored(f, n)
				wire := encode(t, f, want)
				for how, r := range map[string]io.Reader{
					"whole": bytes.NewReader(wire), "halves": iotest.HalfReader(bytes.NewReader(wire)),
					"late error": iotest.DataErrReader(bytes.NewReader(wire)),
				} {
					got, err := io.ReadAll(f.Decode(r, nil))
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("%d bytes, %s: %d came back, %v", len(want), how, len(got), err)
					}
				}
				if n <= 100 {
					if got, err := io.ReadAll(f.Decode(iotest.OneByteReader(bytes.NewReader(wire)), nil)); err != nil || !bytes.Equal(got, want) {
						t.Fatalf("byte by byte: %q, %v", got, err)
					}
				}
			}
		})
	}
}

// TestCutOff: where the mode can tell, no part of a file passes for the whole; and an error of the connection stays what it is.
func TestCutOff(t *testing.T) {
	broken := errors.New("broken")
	for name, f := range forms() {
		t.Run(name, func(t *testing.T) {
			wire := encode(t, f, stored(f, 500))
			for n := 0; n < len(wire); n += max(1, len(wire)/400) {
				_, err := io.ReadAll(f.Decode(bytes.NewReader(wire[:n]), nil))
				if (f.Mode != Stream || f.Record) && !errors.Is(err, ErrCutOff) && (n > 0 || f.Mode != Deflate || f.Record) {
					t.Fatalf("%d of %d bytes: %v", n, len(wire), err)
				}
				_, err = io.ReadAll(f.Decode(io.MultiReader(bytes.NewReader(wire[:n]), iotest.ErrReader(broken)), nil))
				if !errors.Is(err, broken) {
					t.Fatalf("%d of %d bytes and an error: %v", n, len(wire), err)
				}
			}
			_, err := io.ReadAll(f.Decode(io.MultiReader(bytes.NewReader(wire), iotest.ErrReader(broken)), nil))
			if !errors.Is(err, broken) {
				t.Errorf("an error behind the file: %v", err)
			}
			if f.Mode == Stream && !f.Record {
				return
			}
			_, err = io.ReadAll(f.Decode(io.MultiReader(bytes.NewReader(wire), strings.NewReader("x")), nil))
			if !errors.Is(err, ErrFormat) {
				t.Errorf("a byte behind the file: %v", err)
			}
		})
	}
}

// TestWire holds what is sent against RFC 959.
func TestWire(t *testing.T) {
	for _, c := range []struct {
		name, stored, wire string
		form               Form
	}{
		{"ASCII", "a\nb\r\n", "610d0a620d0a", Form{}},
		{"ASCII records", "a\n\nb\n", "61ff01ff0162ff01ff02", Form{Record: true}},
		{"ASCII blocks", "a\nb", "400004" + "610d0a62", Form{Mode: Block}},
		{"ASCII record blocks", "a\nb\n", "80000161" + "80000162" + "400000", Form{Mode: Block, Record: true}},
		{"EBCDIC", "Az[€\n", "c1a9ba9f15", Form{Type: EBCDIC, Page: charmap.CodePage1140}},
		{"EBCDIC 1047", "Az[\n", "c1a9ad15", Form{Type: EBCDIC, Page: charmap.CodePage1047}},
		{"EBCDIC records", "Az\n0\n", "c1a9ff01f0ff01ff02", Form{Type: EBCDIC, Page: charmap.CodePage037, Record: true}},
		{"image records", "\x00\x06\x00\x00a\xff\x00\x04\x00\x00", "61ffffff01ff01ff02", Form{Type: Image, Record: true}},
		{"empty", "", "", Form{Type: Image}},
		{"empty block", "", "400000", Form{Type: Image, Mode: Block}},
		{"empty records", "", "ff02", Form{Type: Image, Record: true}},
	} {
		if got := hex.EncodeToString(encode(t, c.form, []byte(c.stored))); got != c.wire {
			t.Errorf("%s: %s, want %s", c.name, got, c.wire)
		}
	}
	for _, c := range []struct {
		name, wire, stored string
		form               Form
	}{
		{"end of record and file in one", "61ff03", "a\n", Form{Record: true}},
		{"a last record without an end", "61ff02", "a\n", Form{Record: true}},
		{"flags on a block with data", "c0000161", "a\n", Form{Mode: Block, Record: true}},
		{"records in a file without", "80000161" + "40000162", "ab", Form{Type: Image, Mode: Block}},
		{"EBCDIC with LF", "c125c2", "A\nB", Form{Type: EBCDIC, Page: charmap.CodePage037}},
		{"a record longer than a block", "00000161" + "80000162" + "400000", "ab\n", Form{Mode: Block, Record: true}},
	} {
		p, _ := hex.DecodeString(c.wire)
		if got, err := io.ReadAll(c.form.Decode(bytes.NewReader(p), nil)); err != nil || string(got) != c.stored {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

// TestMalformed: what no form makes of a file is ErrFormat, both ways.
func TestMalformed(t *testing.T) {
	for _, c := range []struct {
		wire string
		form Form
	}{
		{"ff05", Form{Record: true}},
		{"01000161", Form{Mode: Block}},
		{"20000161400000", Form{Mode: Block}},
		{"10000120400000", Form{Mode: Block}},
		{"68656c6c6f", Form{Mode: Deflate}},
	} {
		p, _ := hex.DecodeString(c.wire)
		if got, err := io.ReadAll(c.form.Decode(bytes.NewReader(p), nil)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %q, %v", c.wire, got, err)
		}
	}
	wire := encode(t, Form{Mode: Deflate, Level: 1}, []byte("damaged on the way"))
	wire[len(wire)-1] ^= 1
	if _, err := io.ReadAll(Form{Mode: Deflate}.Decode(bytes.NewReader(wire), nil)); !errors.Is(err, ErrFormat) {
		t.Errorf("a wrong check value: %v", err)
	}
	for _, c := range []struct {
		stored string
		form   Form
	}{
		{"no words", Form{Type: Image, Record: true}},
		{"\x00\x08\x00\x00abc", Form{Type: Image, Record: true}},
		{"\x00\x05\x01\x00a", Form{Type: Image, Record: true}},
		{"日本", Form{Type: EBCDIC, Page: charmap.CodePage037}},
		{"\xff", Form{Type: EBCDIC, Page: charmap.CodePage037}},
	} {
		w := c.form.Encode(io.Discard, 0)
		_, err := w.Write([]byte(c.stored))
		if err = errors.Join(err, w.Close()); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", c.stored, err)
		}
	}
}

// TestBomb: a file may shrink to a 250th, and small files to less, but nobody fills the store with a few bytes.
func TestBomb(t *testing.T) {
	f := Form{Type: Image, Mode: Deflate, Level: 9}
	var wire bytes.Buffer
	w := f.Encode(&wire, 0)
	chunk := make([]byte, 1<<20)
	for range 80 {
		_, _ = w.Write(chunk)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, f.Decode(bytes.NewReader(wire.Bytes()), nil))
	if !errors.Is(err, ErrBomb) || n > freely+1<<20 {
		t.Errorf("%d bytes out of %d: %v", n, wire.Len(), err)
	}
}

// TestMarkers: each marker tells where its reader would have to go on, and every level of compression works.
func TestMarkers(t *testing.T) {
	for name, f := range forms() {
		if f.Mode != Block {
			continue
		}
		want := stored(f, 3<<20)
		wire := encode(t, f, want)
		var got bytes.Buffer
		marks := 0
		r := f.Decode(bytes.NewReader(wire), func(m string) {
			marks++
			var at int
			if _, err := fmt.Sscan(m, &at); err != nil || at != got.Len() {
				t.Errorf("%s: marker %s at %d", name, m, got.Len())
			}
		})
		if _, err := io.Copy(&got, struct{ io.Reader }{r}); err != nil {
			t.Fatal(name, err)
		}
		if marks < 2 {
			t.Errorf("%s: %d markers", name, marks)
		}
	}
	for level := range 10 {
		f := Form{Type: Image, Mode: Deflate, Level: level}
		want := stored(f, 100_000)
		if got, err := io.ReadAll(f.Decode(bytes.NewReader(encode(t, f, want)), nil)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("level %d: %v", level, err)
		}
	}
}

func TestPage(t *testing.T) {
	for name, want := range map[string]*charmap.Charmap{
		"037": charmap.CodePage037, "IBM-1047": charmap.CodePage1047, "cp1140": charmap.CodePage1140, "IBM037": charmap.CodePage037, "37": charmap.CodePage037,
	} {
		if got, err := Page(name); got != want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := Page("500"); err == nil {
		t.Error("500 is unknown")
	}
}

// FuzzDecode: whatever comes, decoding ends, and what it takes for a file comes back from being sent.
func FuzzDecode(f *testing.F) {
	names := []string{"ASF", "ASR", "ABF", "ABR", "AZF", "ISR", "IBF", "IBR", "IZF", "ESF", "ESR", "EBF", "EBR"}
	all := forms()
	for i, name := range names {
		f.Add(i, encode(f, all[name], stored(all[name], 40)))
	}
	f.Fuzz(func(t *testing.T, i int, wire []byte) {
		form := all[names[uint(i)%uint(len(names))]]
		got, err := io.ReadAll(io.LimitReader(form.Decode(bytes.NewReader(wire), nil), 1<<20))
		if err != nil || len(got) == 1<<20 {
			return
		}
		var again bytes.Buffer
		w := form.Encode(&again, 0)
		if _, err := w.Write(got); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		back, err := io.ReadAll(form.Decode(&again, nil))
		if err != nil || !bytes.Equal(back, got) {
			t.Fatalf("%q became %q, %v", got, back, err)
		}
	})
}
