package main

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/cmd/sluice/internal/config"
)

func TestAdvertised(t *testing.T) {
	network := func(s string) (n config.Network) {
		if err := n.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		return n
	}
	a := newAdvertised(config.Passive{Address: "localhost", Overrides: []config.Override{
		{Clients: []config.Network{network("10.0.0.0/8")}, Address: "10.1.2.3"},
		{Clients: []config.Network{network("10.1.0.0/16"), network("192.168.0.0/16")}, Address: "control"},
		{Clients: []config.Network{network("172.16.0.0/12")}, Address: "auto"},
	}})
	if err := a.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for client, want := range map[string]string{
		"10.1.0.1:1":          "10.1.2.3", // the first that fits
		"[::ffff:10.9.9.9]:1": "10.1.2.3",
		"192.168.7.7:1":       "0.0.0.0",
		"172.16.0.1:1":        "invalid IP",
		"203.0.113.7:1":       "127.0.0.1",
		"[2001:db8::1]:1":     "127.0.0.1",
	} {
		if got := a.For(netip.AddrPort{}, netip.MustParseAddrPort(client)).String(); got != want {
			t.Errorf("%s is told %s, want %s", client, got, want)
		}
	}
}

// A name that cannot be looked up any more keeps its last address, and is not asked for at each PASV.
func TestAddressKept(t *testing.T) {
	last := netip.MustParseAddr("192.0.2.1")
	tooLong := strings.Repeat("x", 64) // no label of a name is: nobody is asked
	a := &address{name: tooLong, addr: last, until: time.Now().Add(-time.Second)}
	if got := a.get(); got != last {
		t.Errorf("get = %v, want %v", got, last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a lookup would fail
	if got, err := a.resolve(ctx); got != last || err != nil {
		t.Errorf("resolve = %v, %v; want no lookup within a minute", got, err)
	}
}

func TestRestartOnly(t *testing.T) {
	running, next := config.Default(), config.Default()
	if keys := restartOnly(running, next); keys != nil {
		t.Errorf("equal configurations differ in %v", keys)
	}
	next.Users = []config.User{{Name: "ann"}}
	next.TLS.MinVersion = "1.3"
	next.Throttle.Exempt = []config.Network{{}}
	next.Transfer.Resume, next.Transfer.RenameLimit = 0, 1
	if keys := restartOnly(running, next); keys != nil {
		t.Errorf("what a reload changes is reported: %v", keys)
	}
	next.Listen.Explicit = nil
	next.Passive.Match = "off"
	next.ProxyProtocol.Required = true
	next.TLS.Required = false
	next.Stores = map[string]config.Store{"s": {SecretKey: "x"}}
	next.Cache.Memory = 0
	next.Transfer.Memory.Bytes = 1
	next.Admin.Listen = ":1"
	want := []string{"admin", "cache", "listen", "passive", "proxyProtocol", "stores", "tls.required", "transfer"}
	if keys := restartOnly(running, next); !slices.Equal(keys, want) {
		t.Errorf("got %v, want %v", keys, want)
	}
}
