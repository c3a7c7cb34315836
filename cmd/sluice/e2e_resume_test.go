//go:build e2e

package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// replica runs another program on the same store.
func (d *daemon) replica() *daemon {
	d.t.Helper()
	return startOn(d.t, d.place)
}

// kill ends the program as nothing else does.
func (d *daemon) kill() {
	d.t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		d.t.Fatal(err)
	}
	_ = d.cmd.Wait()
}

// clean checks that nothing of an upload is left in the store but what was published.
func (d *daemon) clean() {
	d.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		left := append(d.uploads(), d.records()...)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("left behind: %q", left)
		}
	}
}

// size asks for the size of a file in a session of its own; -1: there is none.
func (d *daemon) size(name string) int64 {
	d.t.Helper()
	c := d.dial()
	defer func() { _ = c.text.Close() }()
	if err := c.text.PrintfLine("SIZE %s", name); err != nil {
		d.t.Fatal(err)
	}
	code, msg, err := c.text.ReadResponse(0)
	if err != nil {
		d.t.Fatal(err)
	}
	if code == 550 {
		return -1
	}
	n, err := strconv.ParseInt(msg, 10, 64)
	if code != 213 || err != nil {
		d.t.Fatalf("SIZE: %d %s", code, msg)
	}
	return n
}

// killed starts a client and kills it, or what kill ends before, when the store has got some parts.
func (d *daemon) killed(cmd *exec.Cmd, kill func()) {
	t := d.t
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); d.bytes() < 20<<20; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no parts arrive")
		}
	}
	if kill != nil {
		kill()
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// whole checks what is stored under a name, and that nothing else is.
func (d *daemon) whole(name, sum string) {
	d.t.Helper()
	if got := output(d.t, d.curl(d.url(true, name))); got != sum {
		d.t.Errorf("%s: sha256 %s, want %s", name, got, sum)
	}
	d.clean()
}

// TestE2EResumeCut cuts uploads and goes on: what came is there to its user to the last byte, and to nobody else; the
// older file stays until the new one is whole.
func TestE2EResumeCut(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, d *daemon) {
		for _, size := range []int64{1000, 2 << 20, 30<<20 + 5} {
			t.Run(fmt.Sprint(size), func(t *testing.T) {
				path, sum := randomFile(t, size+3<<20)
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				c := d.dial()
				conn, _ := c.upload("old", strings.NewReader("as it was"))
				if err := conn.Close(); err != nil {
					t.Fatal(err)
				}
				c.expect(226)
				for _, name := range []string{"old", "new"} {
					_, raw := c.upload(name, bytes.NewReader(data[:size]))
					_ = raw.CloseWrite()
					c.expect(426)
					if got := d.size(name); got != size {
						t.Errorf("SIZE %s is %d, want the %d bytes that came", name, got, size)
					}
					if list := run(t, d.lftp(false, "cls -1 --size --block-size=1")); !strings.Contains(list, fmt.Sprintf("%d %s\n", size, name)) {
						t.Errorf("the listing says %q", list)
					}
				}
				// To curl, a file that is shorter than SIZE said is one that was cut off.
				if got := run(t, d.curl("--ignore-content-length", d.url(false, "old"))); got != "as it was" {
					t.Errorf("the old file is %d bytes now", len(got))
				}
				c.cmd(229, "EPSV")
				c.cmd(550, "RETR new")
				c.cmd(350, "REST %d", size+1)
				c.cmd(229, "EPSV")
				c.cmd(554, "STOR new")

				run(t, d.curl("-C", "-", "-T", path, d.url(false, "new")))
				c.cmd(350, "REST %d", size/2)
				conn, _ = c.upload("old", bytes.NewReader(data[size/2:]))
				if err := conn.Close(); err != nil {
					t.Fatal(err)
				}
				c.expect(226)
				d.whole("new", sum)
				d.whole("old", sum)
				c.cmd(250, "DELE new")
			})
		}
	})
}

// TestE2EResumeKilledClient kills curl and lftp in the middle of an upload; the next one goes on, by APPE and by REST.
func TestE2EResumeKilledClient(t *testing.T) {
	t.Parallel()
	path, sum := randomFile(t, 64<<20)
	stores(t, func(t *testing.T, d *daemon) {
		for name, client := range map[string]func(again bool) *exec.Cmd{
			"curl": func(again bool) *exec.Cmd {
				if again {
					return d.curl("-C", "-", "-T", path, d.url(false, "curl"))
				}
				return d.curl("--limit-rate", "10M", "-T", path, d.url(false, "curl"))
			},
			"lftp": func(again bool) *exec.Cmd {
				if again {
					return d.lftp(false, fmt.Sprintf("put -c %q -o lftp", path))
				}
				return d.lftp(false, fmt.Sprintf("set net:limit-total-rate 10000000; put %q -o lftp", path))
			},
		} {
			t.Run(name, func(t *testing.T) {
				d.killed(client(false), nil)
				have := d.size(name)
				if have < 20<<20 || have >= 64<<20 {
					t.Fatalf("SIZE is %d of what the store had", have)
				}
				run(t, client(true))
				d.whole(name, sum)
			})
		}
	})
}

// TestE2EResumeKilledServer kills the program itself in the middle of an upload. Started anew, or as another replica on the
// same store, it has kept the parts that the store had.
func TestE2EResumeKilledServer(t *testing.T) {
	t.Parallel()
	path, sum := randomFile(t, 64<<20)
	stores(t, func(t *testing.T, d *daemon) {
		other := d.replica()
		for i, next := range []*daemon{d, other} {
			name := fmt.Sprintf("file%d", i)
			d.killed(d.curl("--limit-rate", "10M", "-T", path, d.url(false, name)), d.kill)
			d.serve()
			have := next.size(name)
			if have < 8<<20 || have >= 64<<20 { // parts may have overtaken each other
				t.Fatalf("SIZE is %d of what the store had", have)
			}
			run(t, next.curl("-C", "-", "-T", path, next.url(false, name)))
			next.whole(name, sum)
		}
	})
}

// TestE2EResumeDrained stops the program as a service manager does: what is cut off when the grace is over can go on elsewhere, to the
// last byte and at once.
func TestE2EResumeDrained(t *testing.T) {
	path, sum := randomFile(t, 60<<20)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inTurn(t, everywhere, func(t *testing.T, d *daemon) {
		d.stop()
		d.args = []string{"--grace", "1s"}
		d.serve()
		other := d.replica()
		c := d.dial()
		c.upload("file", bytes.NewReader(data[:40<<20]))
		time.Sleep(time.Second) // for what is under way to arrive
		d.stop()
		if got := other.size("file"); got != 40<<20 {
			t.Errorf("SIZE is %d, want all that was sent", got)
		}
		run(t, other.curl("-C", "-", "-T", path, other.url(false, "file")))
		other.whole("file", sum)
		d.serve()
	})
}

// TestE2EResumeDropped: what the user deletes, or begins anew, is not kept; what he aborts is.
func TestE2EResumeDropped(t *testing.T) {
	inTurn(t, everywhere, func(t *testing.T, d *daemon) {
		for _, size := range []int64{1000, 30 << 20} {
			c := d.dial()
			c.upload("new", randomBytes(3, size))
			c.cmd(426, "ABOR")
			c.expect(226)
			if got := d.size("new"); got > size || got <= 0 && size > 1000 { // a few bytes may not have come before the ABOR
				t.Errorf("SIZE is %d after ABOR", got)
			}

			_, raw := c.upload("new", randomBytes(3, size))
			_ = raw.CloseWrite()
			c.expect(426)
			conn, _ := c.upload("new", io.LimitReader(randomBytes(4, size), size/2))
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			c.expect(226)
			if got := d.size("new"); got != size/2 {
				t.Errorf("SIZE is %d, want that of the new upload", got)
			}
			d.clean()

			_, raw = c.upload("gone", randomBytes(3, size))
			_ = raw.CloseWrite()
			c.expect(426)
			c.cmd(250, "DELE gone")
			c.cmd(550, "SIZE gone")
			c.cmd(250, "DELE new")
			d.clean()
		}
	})
}
