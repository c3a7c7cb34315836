package wire

import (
	"testing"
	"unicode/utf8"
)

func charset(t testing.TB, name string) Charset {
	c, err := ParseCharset(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCharset(t *testing.T) {
	for _, c := range []struct{ set, wire, text string }{
		{"", "gr\xfc\xdfe", "gr\xfc\xdfe"},
		{"utf-8", "grüße", "grüße"},
		{"Latin-1", "gr\xfc\xdfe.txt", "grüße.txt"},
		{"latin-1", "%E2%82%AC", "€"},
		{"latin-9", "\xa4", "€"},
		{"Shift_JIS", "\x93\xfa\x96{", "日本"},
		{"shift-jis", "\x93\xfa%C3%A9", "日é"},
		{"shift-jis", "a%A0b", "a%A0b"},
		{"ibm037", "\xc1\xa4\xa2\x61\xf1", "Aus/1"},
		{"ibm1140", "\x9f", "€"},
		{"latin-1", "100%", "100%"},
		{"latin-1", "%41 %zz %e2", "%41 %zz %e2"},
	} {
		set := charset(t, c.set)
		if got := set.Decode(c.wire); got != c.text {
			t.Errorf("%s: %q came in as %q, want %q", c.set, c.wire, got, c.text)
		}
		if got := set.Encode(c.text); got != c.wire {
			t.Errorf("%s: %q went out as %q, want %q", c.set, c.text, got, c.wire)
		}
	}
	if got := charset(t, "shift-jis").Decode("a\xa0b\xff"); got != "a%A0b%FF" {
		t.Errorf("bytes without a meaning: %q", got)
	}
	if _, err := ParseCharset("klingon"); err == nil {
		t.Error("klingon is known")
	}
}

// FuzzCharset: every name that goes out comes back, but for those that look escaped; what comes in is UTF-8 and goes out as what
// comes in as the same.
func FuzzCharset(f *testing.F) {
	for _, s := range []string{"a", "é€日本", "\x93\xfa", "%E2%82%AC", "\xff\xfe", "~\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, name := range []string{"latin-1", "windows-1252", "shift-jis", "ibm037", "ibm1047", "ibm1140"} {
			set := charset(t, name)
			in := set.Decode(s)
			if !utf8.ValidString(in) {
				t.Fatalf("%s: %q came in as %q", name, s, in)
			}
			if back := set.Decode(set.Encode(in)); back != in {
				t.Fatalf("%s: %q went out as %q and came back as %q", name, in, set.Encode(in), back)
			}
		}
	})
}
