package protocol_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"golang.org/x/sync/errgroup"

	"sluice/protocol"
	"sluice/protocol/dataconn"
	"sluice/protocol/wiretest"
)

// host serves on real ports: count passive ones, and one for control connections, whose address it returns with what clients
// need to trust it.
func host(t testing.TB, count int, cfg dataconn.Config) (address string, client *tls.Config) {
	t.Helper()
	serverTLS, clientTLS := wiretest.Certificate(t)
	listeners := neighbours(t, count)
	cfg.FirstPort = listeners[0].Addr().(*net.TCPAddr).Port
	cfg.LastPort = cfg.FirstPort + count - 1
	cfg.Listen = func(string, string) (net.Listener, error) {
		l := listeners[0]
		listeners = listeners[1:]
		return l, nil
	}
	passive, err := dataconn.Listen(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	server, err := protocol.New(t.Context(), protocol.Config{
		Driver: &driver{fs: newFS(t)}, TLS: func() *tls.Config { return serverTLS }, Passive: passive,
	})
	if err != nil {
		t.Fatal(err)
	}
	control, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(control, protocol.Explicit) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(server.Shutdown(ctx), passive.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return control.Addr().String(), clientTLS
}

// neighbours listens on count ports in a row.
func neighbours(t testing.TB, count int) []net.Listener {
	t.Helper()
	for range 100 {
		var all []net.Listener
		next := 0
		for range count {
			l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", next))
			if err != nil {
				break
			}
			all = append(all, l)
			next = l.Addr().(*net.TCPAddr).Port + 1
		}
		if len(all) == count {
			return all
		}
		for _, l := range all {
			_ = l.Close()
		}
	}
	t.Fatalf("no %d free ports in a row", count)
	return nil
}

// TestOnePort: two hundred sessions of one address upload, list and download at once through one passive port, if their clients
// resume; fifty of clients that do not share eight.
func TestOnePort(t *testing.T) {
	for _, c := range []struct {
		name            string
		ports, sessions int
		resume          bool
	}{{"resuming", 1, 200, true}, {"not resuming", 8, 50, false}} {
		t.Run(c.name, func(t *testing.T) {
			address, client := host(t, c.ports, dataconn.Config{PortTimeout: time.Minute})
			var g errgroup.Group
			for i := range c.sessions {
				own := client.Clone()
				if c.resume {
					own.ClientSessionCache = tls.NewLRUClientSessionCache(2)
				}
				g.Go(func() error {
					if err := work(t.Context(), address, own, i); err != nil {
						return fmt.Errorf("session %d: %w", i, err)
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// work uploads a file that no other session has, finds it in a listing and downloads it.
func work(ctx context.Context, address string, client *tls.Config, i int) (err error) {
	conn, err := ftp.Dial(address, ftp.DialWithExplicitTLS(client), ftp.DialWithTimeout(time.Minute), ftp.DialWithContext(ctx))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Quit()) }()
	if err := conn.Login("alice", "secret"); err != nil {
		return err
	}
	for round := range 3 {
		dir := fmt.Sprintf("s%d-%d", i, round)
		want := bytes.Repeat([]byte(dir), 5000+i)
		if err := conn.MakeDir(dir); err != nil {
			return err
		}
		if err := conn.Stor(dir+"/f", bytes.NewReader(want)); err != nil {
			return err
		}
		entries, err := conn.List(dir)
		if err != nil {
			return err
		}
		if len(entries) != 1 || entries[0].Name != "f" || entries[0].Size != uint64(len(want)) {
			return fmt.Errorf("the listing of %s has %v", dir, entries)
		}
		r, err := conn.Retr(dir + "/f")
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%d bytes of %s/f came back, not the %d that were sent", len(got), dir, len(want))
		}
	}
	return nil
}
