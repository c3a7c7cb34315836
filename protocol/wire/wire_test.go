package wire

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadCommand(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Command
		err  error
	}{
		{"NOOP\r\n", Command{"NOOP", ""}, nil},
		{"noop\n", Command{"NOOP", ""}, nil},
		{"CWD a b \r\n", Command{"CWD", "a b "}, nil},
		{"CWD  a\r\n", Command{"CWD", " a"}, nil},
		{"PASS \r\n", Command{"PASS", ""}, nil},
		{"\r\n", Command{}, nil},
		{"CWD a\x00b\r\n", Command{"CWD", ""}, ErrSyntax},
		{"CWD a\rb\r\n", Command{"CWD", ""}, ErrSyntax},
		{"NOOP\r\x00\r\n", Command{"NOOP\r", ""}, ErrSyntax},
		{"NOOP\r\x00\n", Command{"NOOP", ""}, nil},
		{"\xff\xf4\xff\xf2ABOR\r\n", Command{"ABOR", ""}, nil},
		{"AB\xff\xfd\x06OR\r\n", Command{"ABOR", ""}, nil},
		{"CWD \xff\xff\r\n", Command{"CWD", "\xff"}, nil},
		{"\xff\xfaabc\xff\xff\xff\xf0NOOP\r\n", Command{"NOOP", ""}, nil},
		{"no\xc3\xb6p\r\n", Command{"NO\xc3\xb6P", ""}, nil},
		{"CWD " + strings.Repeat("x", MaxLine-4) + "\r\n", Command{"CWD", strings.Repeat("x", MaxLine-4)}, nil},
		{"CWD " + strings.Repeat("x", MaxLine-3) + "\r\n", Command{}, ErrTooLong},
		{"CWD " + strings.Repeat("x", MaxLine-3) + "\n", Command{}, ErrTooLong},
		{strings.Repeat("x", 100_000) + "\r\n", Command{}, ErrTooLong},
		{"\x16\x03\x01", Command{}, ErrForeign},
		{"NOOP", Command{}, io.EOF},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(tc.in), "bytewise": iotest.OneByteReader(strings.NewReader(tc.in))} {
			got, err := NewReader(r).ReadCommand()
			if !errors.Is(err, tc.err) || !errors.Is(tc.err, ErrSyntax) && got != tc.want {
				t.Errorf("%s %.40q = %v, %v, want %v, %v", name, tc.in, got, err, tc.want, tc.err)
			}
		}
	}
}

func TestReadCommandGoesOn(t *testing.T) {
	r := NewReader(strings.NewReader(strings.Repeat("y", 10_000) + "\r\nCWD a\x00b\r\nPWD\r\nNOOP\r\n"))
	for _, want := range []error{ErrTooLong, ErrSyntax, nil, nil, io.EOF} {
		if _, err := r.ReadCommand(); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestForeign(t *testing.T) {
	for line, want := range map[string]bool{
		"GET / HTTP/1.1": true, "Host: x": true, "SSH-2.0-OpenSSH_9": true, "EHLO me": true, "FOO / HTTP/1.0": true, "STARTTLS": true, "APOP": false,
		"USER get": false, "CWD a:": false, ":": false, "RETR HTTP": false,
	} {
		if got := parse(line).Foreign(); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestCommandString(t *testing.T) {
	if got := parse("PASS hunter2").String(); got != "PASS ****" {
		t.Error(got)
	}
	if got := parse("pass").String(); got != "PASS ****" {
		t.Error(got)
	}
}

func TestReply(t *testing.T) {
	for _, tc := range []struct {
		r    Reply
		want string
	}{
		{Reply{200, []string{"NOOP ok"}}, "200 NOOP ok\r\n"},
		{Reply{211, []string{"Features:", "UTF8", "End"}}, "211-Features:\r\n UTF8\r\n211 End\r\n"},
		{Reply{550, []string{"a\r\n226 b\x00"}}, "550 a??226 b?\r\n"},
		{Reply{Code: 200}, "200 OK\r\n"},
	} {
		if got := string(tc.r.Append(nil)); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestHostPort(t *testing.T) {
	for arg, want := range map[string]string{
		"127,0,0,1,4,1": "127.0.0.1:1025", " 10,1,2,3,0,0 ": "10.1.2.3:0",
		"127,0,0,1,4": "", "127,0,0,1,4,256": "", "127,0,0,1,4,-1": "", "1,2,3,4,5,6,7": "", "a,0,0,1,4,1": "", "": "", "127,0,0,1,4,+1": "", "0127,0,0,1,4,1": "",
	} {
		got, err := HostPort(arg)
		if want == "" && !errors.Is(err, ErrArgument) || want != "" && (err != nil || got != netip.MustParseAddrPort(want)) {
			t.Errorf("%q = %v, %v", arg, got, err)
		}
	}
}

func TestExtendedHostPort(t *testing.T) {
	for arg, want := range map[string]string{
		"|1|132.235.1.2|6275|": "132.235.1.2:6275", "|2|1080::8:800:200C:417A|5282|": "[1080::8:800:200c:417a]:5282", "!1!127.0.0.1!21!": "127.0.0.1:21",
		"|3|1.2.3.4|5|": "family", "|1|::1|5|": "", "|2|1.2.3.4|5|": "", "|1|1.2.3.4|99999|": "", "|1|1.2.3.4|-5|": "", "|2|::ffff:1.2.3.4|5|": "", "|2|fe80::1%eth0|5|": "",
		"": "", "|": "", "|1|1.2.3.4|5": "", "|1|1.2.3.4|5|6|": "", "é1é1.2.3.4é5é": "", "|1|1.2.3|5|": "", "|1|01.2.3.4|5|": "",
	} {
		got, err := ExtendedHostPort(arg)
		switch want {
		case "family":
			if !errors.Is(err, ErrFamily) {
				t.Errorf("%q: %v", arg, err)
			}
		case "":
			if !errors.Is(err, ErrArgument) {
				t.Errorf("%q = %v, %v", arg, got, err)
			}
		default:
			if err != nil || got != netip.MustParseAddrPort(want) {
				t.Errorf("%q = %v, %v", arg, got, err)
			}
		}
	}
}

func TestNumber(t *testing.T) {
	for arg, want := range map[string]int64{
		"0": 0, "007": 7, " 5": 5, "5 ": 5, "9223372036854775807": 1<<63 - 1, "2147483648": 1 << 31, "4294967296": 1 << 32,
		"9223372036854775808": -1, "18446744073709551616": -1, "-1": -1, "+5": -1, "0x10": -1, "": -1, "abc": -1, "5 5": -1, "1e3": -1, "٣": -1,
	} {
		got, err := Number(arg)
		if want < 0 && !errors.Is(err, ErrArgument) || want >= 0 && (err != nil || got != want) {
			t.Errorf("%q = %v, %v", arg, got, err)
		}
	}
}

func TestTime(t *testing.T) {
	for arg, want := range map[string]string{
		"20260102030405": "20260102030405", "20260102030405.25": "20260102030405", "20261302030405": "", "2026": "", "20260102030405.": "", "20260102030460": "", "x0260102030405": "",
	} {
		got, err := Time(arg)
		if want == "" && !errors.Is(err, ErrArgument) || want != "" && (err != nil || FormatTime(got) != want) {
			t.Errorf("%q = %v, %v", arg, got, err)
		}
	}
	if got, _ := Time("20260102030405.25"); got.Nanosecond() != 250_000_000 {
		t.Error(got)
	}
}

func TestJoin(t *testing.T) {
	for _, tc := range [][3]string{
		{"/", "a", "/a"}, {"/a", "b/c", "/a/b/c"}, {"/a", "/b", "/b"}, {"/a/b", "..", "/a"}, {"/", "../../x", "/x"}, {"/a", ".", "/a"}, {"/a", "", "/a"}, {"/a", "//b//", "/b"},
		{"/a", " b ", "/a/ b "}, {"/a", `..\b`, `/a/..\b`}, {"/a", "...", "/a/..."}, {"/a", "b/../../..", "/"}, {"/", "~", "/~"},
	} {
		if got := Join(tc[0], tc[1]); got != tc[2] {
			t.Errorf("Join(%q, %q) = %q, want %q", tc[0], tc[1], got, tc[2])
		}
	}
}
