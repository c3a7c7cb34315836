package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

func (k *checker) checkListeners() {
	var seen []socket
	listen := func(path, address string) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			k.bad(path, "must be an address and a port such as :2121 or 127.0.0.1:2121")
			return
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			k.bad(path, "the port must be a number from 1 to 65535")
			return
		}
		at := socket{path, host, int(n)}
		if i := slices.IndexFunc(seen, at.clashes); i >= 0 {
			if seen[i].host == host {
				k.bad(path, "this address is used above")
			} else {
				k.bad(path, "port %d is used above, by %s", n, seen[i].path)
			}
		}
		seen = append(seen, at)
	}
	for i, a := range k.Listen.Explicit {
		listen(fmt.Sprintf("listen.explicit[%d]", i), a)
	}
	for i, a := range k.Listen.Implicit {
		listen(fmt.Sprintf("listen.implicit[%d]", i), a)
	}
	if k.Admin.Listen != "" {
		listen("admin.listen", k.Admin.Listen)
	}
	for _, l := range seen {
		if p := k.Passive.Ports; p.First <= l.port && l.port <= p.Last {
			k.bad("passive.ports", "port %d is used by %s: data connections need ports of their own", l.port, l.path)
		}
	}
	if k.ProxyProtocol.Required && len(k.ProxyProtocol.Trusted) == 0 {
		k.bad("proxyProtocol.trusted", "missing: with required, the networks of the proxies must be named")
	}
}

// socket is where something listens.
type socket struct {
	path string // in the file
	host string
	port int
}

// clashes reports whether a and b cannot both be listened on. A wildcard takes the port of every address of its family, and the
// IPv6 one, as no host at all, that of IPv4 too.
func (a socket) clashes(b socket) bool {
	if a.port != b.port {
		return false
	}
	x, errX := netip.ParseAddr(a.host)
	y, errY := netip.ParseAddr(b.host)
	all := func(host string, addr netip.Addr) bool { return host == "" || addr == netip.IPv6Unspecified() }
	some := func(addr, other netip.Addr, err error) bool {
		return addr == netip.IPv4Unspecified() && (err != nil || other.Unmap().Is4())
	}
	return all(a.host, x) || all(b.host, y) || some(x, y, errY) || some(y, x, errX) ||
		strings.EqualFold(a.host, b.host) || errX == nil && errY == nil && x.Unmap() == y.Unmap()
}

func (k *checker) checkPassive() {
	k.checkAddress("passive.address", k.Passive.Address)
	for i, o := range k.Passive.Overrides {
		at := fmt.Sprintf("passive.overrides[%d]", i)
		if len(o.Clients) == 0 {
			k.bad(at+".clients", "missing: the networks of the clients")
		}
		if o.Address == "" {
			k.bad(at+".address", "missing: what PASV tells these clients")
		}
		k.checkAddress(at+".address", o.Address)
	}
	k.oneOf("passive.match", k.Passive.Match, "auto", "adaptive", "require", "ip", "off")
}

func (k *checker) checkAddress(path, address string) {
	if a, err := netip.ParseAddr(address); err == nil {
		if !a.Is4() || a.IsUnspecified() {
			k.bad(path, "must be an IPv4 address: PASV knows no other, and IPv6 clients use EPSV")
		}
		return
	}
	notHost := func(r rune) bool {
		return r != '.' && r != '-' && (r >= utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}
	if strings.ContainsFunc(address, notHost) {
		k.bad(path, "must be auto, control, an IPv4 address or a host name")
	}
}
