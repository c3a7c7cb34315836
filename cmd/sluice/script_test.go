//go:build !e2e

package main

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sluice/cmd/sluice/internal/certs"
	"sluice/protocol/auth"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sluice": main})
}

// TestScript runs the dialogues in testdata/script. Each finds free ports in its environment: $EXPLICIT, $IMPLICIT, $ADMIN, $FIRST
// to $LAST, and $CLOSED, on which nobody listens; a
// password hash in $HASH, and the sample configuration in $SAMPLE.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			first := ports(t, 8)
			for i, name := range []string{"EXPLICIT", "IMPLICIT", "ADMIN", "CLOSED", "FIRST", "", "", "LAST"} {
				if name != "" {
					env.Setenv(name, strconv.Itoa(first+i))
				}
			}
			env.Setenv("HASH", hashed())
			sample, err := filepath.Abs("testdata/sluice.yaml")
			env.Setenv("SAMPLE", sample)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"certificate": makeCertificate, "occupy": occupy, "listening": listening, "terminate": terminate, "verify": verify,
		},
	})
}

// makeCertificate DIR makes server.crt and server.key for localhost.
func makeCertificate(ts *testscript.TestScript, _ bool, args []string) {
	_, _, err := certs.Make(ts.MkAbs(args[0]), []string{"localhost"})
	ts.Check(err)
}

// occupy PORT listens there until the script ends.
func occupy(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:"+args[0])
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

// listening PORT waits until somebody listens there.
func listening(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+args[0])
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("nobody listens on port %s", args[0])
		}
	}
}

// terminate sends SIGTERM to what runs in the background.
func terminate(ts *testscript.TestScript, _ bool, _ []string) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// verify PASSWORD checks that standard output is the hash of a password and nothing else.
func verify(ts *testscript.TestScript, neg bool, args []string) {
	out := ts.ReadFile("stdout")
	d, err := auth.Parse(strings.TrimSuffix(out, "\n"))
	ts.Check(err)
	if d.Match([]byte(args[0])) == neg {
		ts.Fatalf("match with %q: %v", args[0], !neg)
	}
}
