package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Errors of argument parsing.
var (
	ErrArgument = errors.New("syntax error in argument") // 501
	ErrFamily   = errors.New("unknown address family")   // 522 (RFC 2428)
)

// Number reads a decimal number from 0 to 2^63-1; blanks around it are allowed, signs are not.
func Number(arg string) (int64, error) {
	arg = strings.Trim(arg, " ")
	if !digits(arg) {
		return 0, ErrArgument
	}
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("number out of range: %w", ErrArgument)
	}
	return n, nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// HostPort reads the argument of PORT: h1,h2,h3,h4,p1,p2 (RFC 959 3.2).
func HostPort(arg string) (netip.AddrPort, error) {
	fields := strings.Split(strings.Trim(arg, " "), ",")
	if len(fields) != 6 {
		return netip.AddrPort{}, ErrArgument
	}
	var b [6]byte
	for i, f := range fields {
		if !digits(f) || len(f) > 3 {
			return netip.AddrPort{}, ErrArgument
		}
		n, err := strconv.ParseUint(f, 10, 8)
		if err != nil {
			return netip.AddrPort{}, ErrArgument
		}
		b[i] = byte(n)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), uint16(b[4])<<8|uint16(b[5])), nil
}

// AppendHostPort appends an address the way PORT and the 227 reply write it. addr is IPv4.
func AppendHostPort(b []byte, addr netip.AddrPort) []byte {
	ip, port := addr.Addr().As4(), addr.Port()
	return fmt.Appendf(b, "%d,%d,%d,%d,%d,%d", ip[0], ip[1], ip[2], ip[3], port>>8, port&0xff)
}

// ExtendedHostPort reads the argument of EPRT: |1|132.235.1.2|6275| or |2|1080::8:800:200C:417A|5282|, with any delimiter
// from 33 to 126 (RFC 2428 2). ErrFamily means that the family is neither 1 nor 2.
func ExtendedHostPort(arg string) (netip.AddrPort, error) {
	arg = strings.Trim(arg, " ")
	if arg == "" || arg[0] < 33 || arg[0] > 126 {
		return netip.AddrPort{}, ErrArgument
	}
	fields := strings.Split(arg, arg[:1])
	if len(fields) != 5 || fields[0] != "" || fields[4] != "" || !digits(fields[1]) {
		return netip.AddrPort{}, ErrArgument
	}
	if fields[1] != "1" && fields[1] != "2" {
		return netip.AddrPort{}, ErrFamily
	}
	ip, err := netip.ParseAddr(fields[2])
	if err != nil || ip.Zone() != "" || ip.Is4() != (fields[1] == "1") || ip.Is4In6() || !digits(fields[3]) {
		return netip.AddrPort{}, ErrArgument
	}
	port, err := strconv.ParseUint(fields[3], 10, 16)
	if err != nil {
		return netip.AddrPort{}, ErrArgument
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

// Time reads a time value of RFC 3659 2.3: YYYYMMDDHHMMSS in UTC, with an optional fraction.
func Time(s string) (time.Time, error) {
	whole, frac, dot := strings.Cut(s, ".")
	if len(whole) != 14 || !digits(whole) || dot && (!digits(frac) || len(frac) > 9) {
		return time.Time{}, ErrArgument
	}
	t, err := time.Parse("20060102150405", whole)
	if err != nil {
		return time.Time{}, ErrArgument
	}
	if dot {
		n, _ := strconv.Atoi((frac + "00000000")[:9])
		t = t.Add(time.Duration(n))
	}
	return t, nil
}

// FormatTime writes a time value of RFC 3659 2.3 in whole seconds.
func FormatTime(t time.Time) string { return t.UTC().Format("20060102150405") }

// Fields splits an argument into names at blanks. A name in double quotes may hold blanks; two quotes in it stand for one.
func Fields(arg string) ([]string, error) {
	var all []string
	for arg = strings.TrimLeft(arg, " "); arg != ""; arg = strings.TrimLeft(arg, " ") {
		var f string
		if arg[0] == '"' {
			var err error
			if f, arg, err = CutQuoted(arg); err != nil {
				return nil, err
			}
			if f == "" || arg != "" && arg[0] != ' ' {
				return nil, ErrArgument
			}
		} else {
			f, arg, _ = strings.Cut(arg, " ")
		}
		all = append(all, f)
	}
	return all, nil
}

// CutQuoted takes the text in double quotes off the front of s; two quotes in it stand for one.
func CutQuoted(s string) (text, rest string, err error) {
	s, ok := strings.CutPrefix(s, `"`)
	if !ok {
		return "", "", ErrArgument
	}
	var b strings.Builder
	for {
		part, after, ok := strings.Cut(s, `"`)
		if !ok {
			return "", "", ErrArgument
		}
		b.WriteString(part)
		if !strings.HasPrefix(after, `"`) {
			return b.String(), after, nil
		}
		b.WriteByte('"')
		s = after[1:]
	}
}
