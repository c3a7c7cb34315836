//go:build e2e

package main_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
)

// TestE2ESharedTickets has eight sessions of one client keep their TLS sessions in one cache, as rclone does, so that they present
// each other's tickets on data connections. Through eight passive ports and through one, each file has to be its own.
func TestE2ESharedTickets(t *testing.T) {
	for name, edit := range map[string]func(string) string{
		"eight ports": forgiving,
		"one port": func(config string) string {
			return regexp.MustCompile(`ports: (\d+)-\d+`).ReplaceAllString(config, "ports: $1-$1")
		},
	} {
		d := start(t, nil, edit)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("%s/%s", name, tls.VersionName(version)), func(t *testing.T) {
				cfg := &tls.Config{RootCAs: d.roots(t), ServerName: "localhost", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(32)}
				var clients []*ftp.ServerConn
				for range 8 {
					c, err := ftp.Dial(net.JoinHostPort("localhost", strconv.Itoa(d.explicit)), ftp.DialWithExplicitTLS(cfg), ftp.DialWithTimeout(10*time.Second))
					must(t, err)
					must(t, c.Login(user, password))
					clients = append(clients, c)
				}
				var wg sync.WaitGroup
				for n, c := range clients {
					wg.Go(func() {
						for i := range 10 {
							name := fmt.Sprintf("%d %d %d", version, n, i)
							if err := c.Stor(name, strings.NewReader(name)); err != nil {
								t.Errorf("STOR %s: %v", name, err)
								return
							}
							if got, err := os.ReadFile(d.stored(name)); err != nil || string(got) != name {
								t.Errorf("%s has %q, %v", name, got, err)
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}
