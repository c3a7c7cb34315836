package wire

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzReadCommand: however the bytes arrive, the same commands come out, in bounded memory, and none holds an end of line.
func FuzzReadCommand(f *testing.F) {
	for _, s := range []string{"USER a\r\nPASS b\r\n", "\xff\xf4\xff\xf2ABOR\r\n", "CWD a\x00b\n", "\xff\xfa\xff\xf0", strings.Repeat("x", MaxLine+3) + "\r\nNOOP\r\n", "A\r\x00\nB\r\n", "\x16\x03\x01\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, bytewise := readAll(t, bytes.NewReader(in)), readAll(t, iotest.OneByteReader(bytes.NewReader(in)))
		if len(whole) != len(bytewise) {
			t.Fatalf("%d commands whole, %d bytewise", len(whole), len(bytewise))
		}
		for i := range whole {
			if whole[i] != bytewise[i] {
				t.Fatalf("%q whole, %q bytewise", whole[i], bytewise[i])
			}
		}
	})
}

func readAll(t *testing.T, in io.Reader) (cmds []Command) {
	r := NewReader(in)
	for {
		cmd, err := r.ReadCommand()
		switch {
		case err == nil:
			if strings.ContainsAny(cmd.Verb+cmd.Arg, "\r\n\x00") || len(cmd.Verb)+len(cmd.Arg) > MaxLine*4 {
				t.Fatalf("bad command %q", cmd)
			}
			cmds = append(cmds, cmd)
		case errors.Is(err, ErrTooLong), errors.Is(err, ErrSyntax):
			cmds = append(cmds, Command{Verb: err.Error()})
		default:
			return cmds
		}
	}
}

// FuzzHostPort: parse and print agree for PORT; no foreign family comes out of EPRT.
func FuzzHostPort(f *testing.F) {
	for _, s := range []string{"127,0,0,1,4,1", "|1|132.235.1.2|6275|", "|2|::1|5282|", "|2|::ffff:10.0.0.1|1|"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		if ap, err := HostPort(arg); err == nil {
			again, err := HostPort(string(AppendHostPort(nil, ap)))
			if err != nil || again != ap || !ap.Addr().Is4() {
				t.Fatalf("%q = %v, then %v, %v", arg, ap, again, err)
			}
		}
		if ap, err := ExtendedHostPort(arg); err == nil {
			family := "|2|"
			if ap.Addr().Is4() {
				family = "|1|"
			}
			again, err := ExtendedHostPort(family + ap.Addr().String() + "|" + portString(ap) + "|")
			if err != nil || again != ap || ap.Addr().Is4In6() || ap.Addr().Zone() != "" {
				t.Fatalf("%q = %v, then %v, %v", arg, ap, again, err)
			}
		}
	})
}

func portString(ap netip.AddrPort) string {
	s := ap.String()
	return s[strings.LastIndex(s, ":")+1:]
}

// FuzzJoin: the result is absolute, clean and a fixed point.
func FuzzJoin(f *testing.F) {
	f.Add("/", "../../etc/passwd")
	f.Add("/a/b", "c//./..//d/")
	f.Fuzz(func(t *testing.T, dir, arg string) {
		got := Join(Join("/", dir), arg)
		if !strings.HasPrefix(got, "/") || Join("/", got) != got {
			t.Fatalf("Join(%q, %q) = %q", dir, arg, got)
		}
		for seg := range strings.SplitSeq(got[1:], "/") {
			if seg == "." || seg == ".." || seg == "" && got != "/" {
				t.Fatalf("Join(%q, %q) = %q", dir, arg, got)
			}
		}
	})
}

// FuzzFields: quoted again, the names come back the same, and none is empty.
func FuzzFields(f *testing.F) {
	for _, s := range []string{`a b`, `"a b" c`, `"a""b"  c`, `"`, `""`, `a"b"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		names, err := Fields(arg)
		if err != nil {
			return
		}
		quoted := make([]string, len(names))
		for i, n := range names {
			if n == "" {
				t.Fatalf("%q holds an empty name", arg)
			}
			quoted[i] = Quote(n)
		}
		again, err := Fields(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, names) {
			t.Fatalf("%q is %q, then %q, %v", arg, names, again, err)
		}
	})
}

// FuzzTime: what can be read is written the same, but for the fraction.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"20200102030405", "20200102030405.123", "20200229235959", "20210229000000", "2020010203040"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		when, err := Time(s)
		if err == nil && FormatTime(when) != s[:14] {
			t.Fatalf("%q is %v", s, when)
		}
	})
}
