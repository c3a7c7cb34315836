package protocol_test

import (
	"bytes"
	"io"
	"regexp"
	"testing"
	"time"

	"sluice/protocol"
	"sluice/protocol/dataconn"
	"sluice/protocol/wiretest"
)

var replyLines = regexp.MustCompile(`^(?:\d\d\d[ -][^\r\n\x00]*\r\n| [^\r\n\x00]*\r\n)*$`)

// FuzzSession: whatever a client sends in the clear, before and after its login, it hears whole replies and nothing else, the session
// ends when the client does, and the next one is served.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"USER alice\r\nPASS secret\r\nMKD a\r\nEPSV\r\nRNFR a\r\nRNTO b\r\nSTAT /\r\nQUIT\r\n",
		"user alice\npass secret\nsite utime 20200101000000 a\nhash a\nopts mode z level 3\nmode z\nREST 5\nRANG 1 2\n",
		"AUTH TLS\r\nUSER a\r\n", "\xff\xf4\xff\xf2ABOR\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02\x00", "HELP\r\nFEAT\r\nSYST\r\n",
		"USER alice\r\nPASS secret\r\nSTAT */*\r\nMLST\r\nXCRC \"a\r\nCOMB a \"b\" c\r\nSITE COPY a a\r\nREIN\r\nACCT\r\nAVBL\r\n",
	} {
		f.Add([]byte(s))
	}
	network := wiretest.NewNetwork()
	passive, err := dataconn.Listen(f.Context(), dataconn.Config{FirstPort: 1024, LastPort: 1024, Listen: network.Listen, PortTimeout: time.Millisecond})
	if err != nil {
		f.Fatal(err)
	}
	server, err := protocol.New(f.Context(), protocol.Config{
		Driver: &driver{fs: newFS(f)}, Passive: passive, AllowPlain: true, ConnectTimeout: time.Millisecond,
	})
	if err != nil {
		f.Fatal(err)
	}
	l, err := network.Listen("tcp", ":21")
	if err != nil {
		f.Fatal(err)
	}
	go func() { _ = server.Serve(l, protocol.Explicit) }()
	f.Fuzz(func(t *testing.T, in []byte) {
		conn, err := network.Dial(client, client, 21)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		go func() {
			_, _ = conn.Write(in)
			_ = conn.CloseWrite()
		}()
		out, err := io.ReadAll(conn)
		if err != nil && len(out) == 0 {
			t.Fatalf("%q: %v", in, err)
		}
		if !replyLines.Match(out) || !bytes.HasPrefix(out, []byte("220 ")) {
			t.Fatalf("%q was answered with %q", in, out)
		}
	})
}
