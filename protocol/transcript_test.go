package protocol_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
	"sluice/backend/vfs"

	"sluice/protocol"
	"sluice/protocol/dataconn"
	"sluice/protocol/wire"
	"sluice/protocol/wiretest"
)

// driver lets alice in, and a few users who are not served.
type driver struct{ fs, cold vfs.FS }

func (d *driver) Login(_ context.Context, c protocol.Credentials) (protocol.Account, error) {
	switch {
	case c.User == "outage":
		return protocol.Account{}, errors.New("the directory does not answer")
	case c.User == "busy":
		return protocol.Account{}, protocol.ErrBusy
	case string(c.Password) != "secret":
	case c.User == "alice", c.User == "lenient":
		return protocol.Account{Name: c.User, FS: d.fs, LenientClose: c.User == "lenient"}, nil
	case c.User == "cold": // whose files go to an archive
		return protocol.Account{Name: c.User, FS: d.cold}, nil
	case c.User == "host": // a mainframe
		return protocol.Account{Name: c.User, FS: d.fs, Mainframe: charmap.CodePage1047}, nil
	case c.User == "scanner":
		latin, err := wire.ParseCharset("latin-1")
		return protocol.Account{Name: c.User, FS: d.fs, Names: latin}, err
	case c.User == "limited":
		return protocol.Account{Name: c.User, FS: d.fs, Quota: func() (int64, int64) { return 40, 100 }}, nil
	}
	return protocol.Account{}, protocol.ErrDenied
}

// TestTranscripts holds every recorded dialogue against a server in memory. A new one needs only its client's lines:
// go test ./protocol -run Transcripts -update writes what the server says.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("../testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			wiretest.Run(t, file, startServer)
		})
	}
}

// active is how the server connects to clients, where a transcript allows it.
func active(network *wiretest.Network, on string) *dataconn.Dialer {
	if on != "yes" {
		return nil
	}
	return &dataconn.Dialer{Dial: func(_ context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
		return network.Dial(from, to.Addr(), int(to.Port()))
	}}
}

func startServer(t *testing.T, config map[string]string) *wiretest.Server {
	network := wiretest.NewNetwork()
	serverTLS, clientTLS := wiretest.Certificate(t)
	match, ok := map[string]dataconn.Match{
		"": dataconn.MatchAuto, "adaptive": dataconn.MatchAdaptive, "require": dataconn.MatchRequire, "ip": dataconn.MatchIP, "off": dataconn.MatchOff,
	}[config["match"]]
	if !ok {
		t.Fatalf("match %q", config["match"])
	}
	lastPort := 21003
	if config["ports"] == "1" {
		lastPort = 21000
	}
	passive, err := dataconn.Listen(t.Context(), dataconn.Config{FirstPort: 21000, LastPort: lastPort, Match: match, Listen: network.Listen})
	if err != nil {
		t.Fatal(err)
	}
	server, err := protocol.New(t.Context(), protocol.Config{
		Driver:        &driver{fs: newFS(t), cold: newCold(t)},
		TLS:           func() *tls.Config { return serverTLS },
		Passive:       passive,
		AllowPlain:    config["plain"] == "yes",
		CCC:           map[string]protocol.CCC{"rfc4217": protocol.CCCRFC4217, "draft": protocol.CCCDraft, "nonotify": protocol.CCCNoNotify}[config["ccc"]],
		NoDeflate:     config["deflate"] == "no",
		Active:        active(network, config["active"]),
		ClearGreeting: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 2)
	for port, mode := range map[string]protocol.Mode{":21": protocol.Explicit, ":990": protocol.Implicit} {
		l, err := network.Listen("tcp", port)
		if err != nil {
			t.Fatal(err)
		}
		go func() { served <- server.Serve(l, mode) }()
	}
	return &wiretest.Server{
		Network: network, Explicit: 21, Implicit: 990, Client: clientTLS,
		Close: func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			if err := errors.Join(passive.Close(), <-served, <-served); err != nil {
				t.Error(err)
			}
		},
	}
}
