package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"sluice/protocol/auth"
)

// Size is a number of bytes, written as 1048576, 20MiB or 50GB.
type Size int64

var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	number, factor := string(text), int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return errors.New("not a size: write bytes, or a whole number with KiB, MiB, GiB, TiB, kB, MB, GB or TB")
	}
	*s = Size(n * factor)
	return nil
}

// Memory is a size, or auto.
type Memory struct{ Bytes Size } // 0: auto

// UnmarshalText reads a size or auto.
func (m *Memory) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		m.Bytes = 0
		return nil
	}
	if err := m.Bytes.UnmarshalText(text); err != nil || m.Bytes == 0 {
		return errors.New("neither auto nor a size such as 512MiB")
	}
	if m.Bytes < LeastMemory {
		return errors.New("less than 4MiB, with which hardly two clients can upload at once")
	}
	return nil
}

// LeastMemory is the smallest Memory.
const LeastMemory = 4 << 20

// Ports is a range of ports, written as 21000-21007 or 21000.
type Ports struct{ First, Last int }

// UnmarshalText reads a range.
func (p *Ports) UnmarshalText(text []byte) error {
	first, last, ok := strings.Cut(string(text), "-")
	if !ok {
		last = first
	}
	a, errA := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, errB := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if errA != nil || errB != nil || a == 0 || b < a {
		return errors.New("not a range of ports such as 21000-21007")
	}
	if b-a >= 1000 {
		return errors.New("more than 1000 ports, where 8 serve any number of transfers")
	}
	p.First, p.Last = int(a), int(b)
	return nil
}

// String returns the range as it is written.
func (p Ports) String() string { return fmt.Sprintf("%d-%d", p.First, p.Last) }

// MarshalText is the reverse of UnmarshalText.
func (p Ports) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Network is a range of addresses, written as 203.0.113.0/24 or 203.0.113.7.
type Network struct{ netip.Prefix }

// UnmarshalText reads a network.
func (n *Network) UnmarshalText(text []byte) error {
	if a, err := netip.ParseAddr(string(text)); err == nil && a.Zone() == "" {
		a = a.Unmap()
		n.Prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	if err != nil || p.Addr().Is4In6() {
		return errors.New("not a network such as 203.0.113.0/24 or 2001:db8::/32")
	}
	if p != p.Masked() {
		return fmt.Errorf("bits behind the prefix are set: did you mean %s?", p.Masked())
	}
	n.Prefix = p
	return nil
}

// Prefixes returns networks as package netip knows them.
func Prefixes(networks []Network) []netip.Prefix {
	p := make([]netip.Prefix, len(networks))
	for i, n := range networks {
		p[i] = n.Prefix
	}
	return p
}

// Hash is a password hash.
type Hash struct{ auth.Digest }

// UnmarshalText reads a hash. Its error does not show it.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	h.Digest, err = auth.Parse(string(text))
	return err
}

// Given reports whether there is a hash.
func (h Hash) Given() bool { return h.String() != "" }

// Secret is a string that is shown nowhere.
type Secret string

// UnmarshalText reads a secret.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// String hides the secret from whatever prints it.
func (Secret) String() string { return "(secret)" }

// hidden marks the types whose text no message shows.
type hidden interface{ hidden() }

func (*Hash) hidden()   {}
func (*Secret) hidden() {}
