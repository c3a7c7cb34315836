package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"

	"sluice/cmd/sluice/internal/config"
)

// tcp listens with keepalive: control connections are silent during transfers, and what stands between client and server forgets
// silent connections.
var tcp = net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 30 * time.Second, Count: 4}}

// listen opens a TCP listener. Its error says what to do.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := tcp.Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("cannot listen on %s: another program uses this port; stop it or choose another port", address)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("cannot listen on %s: not permitted; ports below 1024 need the capability CAP_NET_BIND_SERVICE", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("cannot listen on %s: this machine does not have that address", address)
	}
	return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
}

// headerTimeout is how long a trusted proxy may take to say whom it speaks for.
const headerTimeout = 3 * time.Second

// behind wraps a listener so that connections from trusted proxies have the addresses that their PROXY header tells. Everyone
// else's bytes are left alone, or with p.Required refused.
func behind(p config.ProxyProtocol, l net.Listener) net.Listener {
	if len(p.Trusted) == 0 {
		return l
	}
	trusted := config.Prefixes(p.Trusted)
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: headerTimeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			from, err := netip.ParseAddrPort(o.Upstream.String())
			known := err == nil && slices.ContainsFunc(trusted, func(n netip.Prefix) bool { return n.Contains(from.Addr().Unmap()) })
			switch {
			case known && p.Required:
				return proxyproto.REQUIRE, nil
			case known:
				return proxyproto.USE, nil
			case p.Required:
				return proxyproto.REJECT, fmt.Errorf("%s: %w", o.Upstream, proxyproto.ErrInvalidUpstream)
			}
			return proxyproto.SKIP, nil
		},
	}
}

// advertised tells which IPv4 address PASV gives a client.
type advertised struct {
	overrides []override
	address   address
}

type override struct {
	clients []netip.Prefix
	address *address
}

func newAdvertised(p config.Passive) *advertised {
	a := &advertised{address: address{name: p.Address}}
	for _, o := range p.Overrides {
		a.overrides = append(a.overrides, override{config.Prefixes(o.Clients), &address{name: o.Address}})
	}
	return a
}

// check resolves every host name once, so that a typing error ends the start.
func (a *advertised) check(ctx context.Context) error {
	all := []*address{&a.address}
	for _, o := range a.overrides {
		all = append(all, o.address)
	}
	for _, addr := range all {
		if _, err := addr.resolve(ctx); err != nil {
			return fmt.Errorf("cannot find the passive address %s: %w; correct passive.address or the name service", addr.name, err)
		}
	}
	return nil
}

// For is protocol.Config.Address.
func (a *advertised) For(_, remote netip.AddrPort) netip.Addr {
	for _, o := range a.overrides {
		if slices.ContainsFunc(o.clients, func(n netip.Prefix) bool { return n.Contains(remote.Addr().Unmap()) }) {
			return o.address.get()
		}
	}
	return a.address.get()
}

// address is auto, control, an IPv4 address, or a host name that is looked up again every minute.
type address struct {
	name string

	mu    sync.Mutex
	addr  netip.Addr
	until time.Time
}

// get returns the address; an invalid one means that of the control connection. Where a name cannot be looked up any more, the
// last answer stays.
func (a *address) get() netip.Addr {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	addr, _ := a.resolve(ctx)
	return addr
}

func (a *address) resolve(ctx context.Context) (netip.Addr, error) {
	switch a.name {
	case "auto", "":
		return netip.Addr{}, nil
	case "control":
		return netip.IPv4Unspecified(), nil // clients take 0.0.0.0 for the address that they have reached already
	}
	if addr, err := netip.ParseAddr(a.name); err == nil {
		return addr, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().Before(a.until) {
		return a.addr, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", a.name)
	a.until = time.Now().Add(time.Minute)
	if err != nil || len(addrs) == 0 {
		return a.addr, err
	}
	a.addr = addrs[0].Unmap()
	return a.addr, nil
}
