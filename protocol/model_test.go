package protocol_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/protocol"
	"sluice/protocol/dataconn"
	"sluice/protocol/wiretest"
)

// TestModel sends random commands, several at once, and holds every reply and every byte against a model of a session: there is
// one final reply per command, its code is right, and what the commands made is what the next ones see.
func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a refused transfer's data connection is closed half a second later
		rapid.Check(bubble{t}, func(t *rapid.T) {
			m := newMachine(t)
			defer m.close()
			t.Repeat(map[string]func(*rapid.T){
				"commands": m.commands,
				"stor":     m.stor,
				"retr":     m.retr,
				"nlst":     m.nlst,
				"":         m.check,
			})
		})
	})
}

// bubble has no deadline: a test in a synctest bubble must not ask for it.
type bubble struct{ *testing.T }

func (bubble) Deadline() (time.Time, bool) { return time.Time{}, false }

var names = []string{"a", "b", "d", "d/a", "/d/b", "../a", "e f", "./b", "/"}

// machine is a session and its model.
type machine struct {
	t       *rapid.T
	network *wiretest.Network
	conn    net.Conn
	in      *bufio.Reader
	stop    func()

	user    string
	logged  bool
	bad     int // errors in a row before the login
	cwd     string
	files   map[string]string
	dirs    map[string]bool
	image   bool
	rest    int64
	rnfr    string
	epsvAll bool
	pending int  // the port of the next data connection
	slow    bool // one of the commands sent together can be aborted
}

func newMachine(t *rapid.T) *machine {
	m := &machine{t: t, network: wiretest.NewNetwork(), files: map[string]string{}, dirs: map[string]bool{"/": true}, cwd: "/"}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	passive, err := dataconn.Listen(context.Background(), dataconn.Config{FirstPort: 1024, LastPort: 1024, Listen: m.network.Listen})
	must(err)
	server, err := protocol.New(context.Background(), protocol.Config{Driver: &driver{fs: newFS(t)}, Passive: passive, AllowPlain: true})
	must(err)
	l, err := m.network.Listen("tcp", ":21")
	must(err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l, protocol.Explicit) }()
	m.conn, err = m.network.Dial(client, client, 21)
	must(err)
	m.in = bufio.NewReader(m.conn)
	m.expect(220)
	m.stop = func() {
		must(errors.Join(m.conn.Close(), server.Shutdown(context.Background()), passive.Close(), <-served))
	}
	return m
}

var client = netip.MustParseAddr("192.0.2.7")

func (m *machine) close() { m.stop() }

// reply reads one reply: its code and its last line.
func (m *machine) reply() (code int, text string) {
	first := ""
	for {
		line, err := m.in.ReadString('\n')
		if err != nil || !strings.HasSuffix(line, "\r\n") {
			m.t.Fatalf("%q, %v", line, err)
		}
		line = strings.TrimSuffix(line, "\r\n")
		if first == "" {
			if first = line[:3]; line[3] == ' ' {
				code, _ = strconv.Atoi(first)
				return code, line[4:]
			}
		} else if strings.HasPrefix(line, first+" ") {
			code, _ = strconv.Atoi(first)
			return code, line[4:]
		} else if !strings.HasPrefix(line, " ") {
			m.t.Fatalf("an inner line that begins with no space: %q", line)
		}
	}
}

func (m *machine) expect(want int) string {
	m.t.Helper()
	code, text := m.reply()
	if code != want {
		m.t.Fatalf("%d %s, want %d", code, text, want)
	}
	return text
}

func (m *machine) send(text string) {
	if _, err := io.WriteString(m.conn, text); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) abs(name string) string {
	if !path.IsAbs(name) {
		name = m.cwd + "/" + name
	}
	return path.Clean(name)
}

// commands sends a few commands in one write and reads their replies.
func (m *machine) commands(t *rapid.T) {
	m.t = t
	var text strings.Builder
	var checks []func()
	m.slow = false
	for range rapid.IntRange(1, 6).Draw(t, "how many") {
		line, check := m.command(t)
		text.WriteString(line + "\r\n")
		checks = append(checks, check)
	}
	m.send(text.String())
	for _, check := range checks {
		check()
	}
}

// command draws a command, does it to the model, and returns it with what its reply must be.
func (m *machine) command(t *rapid.T) (line string, check func()) {
	name := rapid.SampledFrom(names).Draw(t, "name")
	verb := rapid.SampledFrom([]string{
		"USER", "PASS", "NOOP", "PWD", "CWD", "CDUP", "MKD", "RMD", "DELE", "SIZE", "RNFR", "RNTO", "REST", "TYPE", "EPSV", "PASV", "EPSV ALL",
		"ABOR", "WHAT", "REIN", "STAT", "FEAT", "MLST", "RETR-", "PROT",
	}).Draw(t, "verb")
	if code, _ := m.download(m.abs(name), m.rest); verb == "RETR-" && m.logged && m.pending != 0 && code == 150 {
		verb = "NOOP"
	}
	if m.slow && verb == "ABOR" { // how far the command had come nobody can foretell
		verb = "NOOP"
	}
	m.slow = m.slow || verb == "RNTO" || verb == "RETR-"
	if !m.logged && m.bad >= 3 { // one more would end the session
		verb = "NOOP"
	}
	code, text := m.do(verb, name, rapid.IntRange(0, 6).Draw(t, "number"))
	line = verb
	switch verb {
	case "USER":
		line = "USER alice"
	case "PASS":
		line = "PASS secret"
	case "CWD", "MKD", "RMD", "DELE", "SIZE", "RNFR", "RNTO", "MLST":
		line = verb + " " + name
	case "REST":
		line = fmt.Sprintf("rest %d", m.rest)
		if !m.logged {
			line = "REST 5"
		}
	case "TYPE":
		line = "TYPE A"
		if m.image {
			line = "TYPE I"
		}
	case "RETR-":
		line = "RETR " + name
	case "PROT":
		line = "PROT P"
	}
	if m.logged || code < 500 {
		m.bad = 0
	} else {
		m.bad++
	}
	return line, func() {
		m.t.Helper()
		got, reply := m.reply()
		if got != code || text != "" && !strings.HasPrefix(reply, text) {
			m.t.Fatalf("%s: %d %s, want %d %s", line, got, reply, code, text)
		}
	}
}

// do is the model of a command.
func (m *machine) do(verb, name string, number int) (code int, text string) {
	keepsREST := slices.Contains([]string{"NOOP", "PWD", "SIZE", "REST", "TYPE", "EPSV", "PASV", "EPSV ALL", "STAT", "FEAT", "MLST", "PROT"}, verb)
	rnfr, rest := m.rnfr, m.rest
	if !keepsREST {
		m.rest = 0
	}
	if verb != "NOOP" {
		m.rnfr = ""
	}
	free := []string{"USER", "PASS", "NOOP", "ABOR", "WHAT", "REIN", "STAT", "FEAT", "TYPE", "PROT"}
	if !m.logged && !slices.Contains(free, verb) {
		return 530, ""
	}
	full := m.abs(name)
	_, isFile := m.files[full]
	isDir := m.dirs[full]
	parent := m.dirs[path.Dir(full)]
	switch verb {
	case "USER":
		if m.logged {
			return 503, ""
		}
		m.user = "alice"
		return 331, ""
	case "PASS":
		switch {
		case m.logged:
			return 202, ""
		case m.user == "":
			return 503, ""
		}
		m.logged = true
		return 230, ""
	case "NOOP":
		return 200, ""
	case "PWD":
		return 257, `"` + m.cwd + `"`
	case "CDUP":
		if !m.dirs[path.Dir(m.cwd)] {
			return 550, ""
		}
		m.cwd = path.Dir(m.cwd)
		return 250, ""
	case "CWD":
		if !isDir {
			return 550, ""
		}
		m.cwd = full
		return 250, ""
	case "MKD":
		if isDir || isFile || !parent {
			return 550, ""
		}
		m.dirs[full] = true
		return 257, `"` + full + `"`
	case "RMD":
		if full == "/" || !isDir || m.below(full) {
			return 550, ""
		}
		delete(m.dirs, full)
		return 250, ""
	case "DELE":
		if !isFile {
			return 550, ""
		}
		delete(m.files, full)
		return 250, ""
	case "SIZE":
		if !isFile {
			return 550, ""
		}
		return 213, strconv.Itoa(len(m.files[full]))
	case "MLST":
		if !isFile && !isDir {
			return 550, ""
		}
		return 250, "End"
	case "RNFR":
		if !isFile && !isDir || full == "/" {
			return 550, ""
		}
		m.rnfr = full
		return 350, ""
	case "RNTO":
		return m.rename(rnfr, full), ""
	case "REST":
		m.rest = int64(number)
		return 350, ""
	case "TYPE":
		m.image = number%2 == 0
		return 200, ""
	case "EPSV":
		m.pending = 1024
		return 229, ""
	case "EPSV ALL":
		m.epsvAll = true
		return 200, ""
	case "PASV":
		if m.epsvAll {
			return 503, ""
		}
		m.pending = 1024
		return 227, ""
	case "ABOR":
		m.pending = 0
		return 226, ""
	case "WHAT":
		return 500, ""
	case "REIN":
		m.user, m.logged, m.cwd, m.image, m.epsvAll, m.pending, m.rest, m.rnfr = "", false, "/", false, false, 0, 0, ""
		return 220, ""
	case "STAT":
		return 211, "End"
	case "FEAT":
		return 211, "End"
	case "PROT":
		return 503, ""
	case "RETR-": // without a data connection it says so, whatever else is wrong; one that succeeds is another action's
		if m.pending == 0 {
			return 425, ""
		}
		m.pending = 0
		code, _ := m.download(full, rest)
		return code, ""
	}
	panic(verb)
}

// below reports whether anything lies in a directory.
func (m *machine) below(dir string) bool {
	for name := range maps.Keys(m.files) {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	for name := range maps.Keys(m.dirs) {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

// rename is the model of RNTO.
func (m *machine) rename(from, to string) int {
	content, isFile := m.files[from]
	_, onto := m.files[to]
	switch {
	case from == "":
		return 503
	case from == to:
		return 250 // as rename(2) has it
	case !isFile && !m.dirs[from], m.dirs[to], !m.dirs[path.Dir(to)], m.dirs[from] && (onto || strings.HasPrefix(to, from+"/")):
		return 550
	case isFile:
		delete(m.files, from)
		m.files[to] = content
		return 250
	}
	for name := range maps.Clone(m.files) {
		if rest, ok := strings.CutPrefix(name, from+"/"); ok {
			m.files[to+"/"+rest] = m.files[name]
			delete(m.files, name)
		}
	}
	for name := range maps.Clone(m.dirs) {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == '/') {
			delete(m.dirs, name)
			m.dirs[to+rest] = true
		}
	}
	return 250
}

// download is the model of RETR: its first reply, and what it sends.
func (m *machine) download(name string, rest int64) (code int, data string) {
	content, ok := m.files[name]
	switch {
	case !ok:
		return 550, ""
	case rest > int64(len(content)):
		return 554, ""
	case rest > 0 && !m.image:
		return 504, ""
	case m.image:
		return 150, content[rest:]
	}
	return 150, strings.ReplaceAll(content, "\n", "\r\n")
}

// connect asks for a data connection and opens it.
func (m *machine) connect() net.Conn {
	m.send("EPSV\r\n")
	m.expect(229)
	conn, err := m.network.Dial(client, client, 1024)
	if err != nil {
		m.t.Fatal(err)
	}
	m.pending, m.rnfr = 0, ""
	return conn
}

// dropped waits until the server has closed a connection that it has no use for. In the clear, one that it has not looked at yet
// could pass for the next.
func (m *machine) dropped(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// retr downloads.
func (m *machine) retr(t *rapid.T) {
	m.t = t
	if !m.logged {
		t.Skip("not logged in")
	}
	name := rapid.SampledFrom(names).Draw(t, "name")
	code, want := m.download(m.abs(name), m.rest)
	m.rest = 0
	conn := m.connect()
	defer conn.Close()
	m.send("RETR " + name + "\r\n")
	m.expect(code)
	if code != 150 {
		m.dropped(conn)
		return
	}
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != want {
		t.Fatalf("%q, %v, want %q", got, err, want)
	}
	_ = conn.Close()
	m.expect(226)
}

// stor uploads, perhaps only a part, and perhaps gives it up.
func (m *machine) stor(t *rapid.T) {
	m.t = t
	if !m.logged {
		t.Skip("not logged in")
	}
	name := rapid.SampledFrom(names).Draw(t, "name")
	verb := rapid.SampledFrom([]string{"STOR", "APPE"}).Draw(t, "verb")
	data := rapid.StringOfN(rapid.SampledFrom([]rune("ab\n")), 0, 8, -1).Draw(t, "data")
	abort := rapid.Bool().Draw(t, "abort")
	full, rest := m.abs(name), m.rest
	old := m.files[full]
	code := 150
	if verb == "APPE" {
		rest = 0
	}
	switch {
	case full == "/" || strings.HasSuffix(name, "/"):
		code = 553
	case m.dirs[full]:
		code = 550
	case rest > int64(len(old)):
		code = 554
	case !m.dirs[path.Dir(full)]:
		code = 550
	case rest > 0 && !m.image:
		code = 504
	}
	m.rest = 0
	conn := m.connect()
	defer conn.Close()
	m.send(verb + " " + name + "\r\n")
	m.expect(code)
	if code != 150 {
		m.dropped(conn)
		return
	}
	if _, err := io.WriteString(conn, data); err != nil {
		t.Fatal(err)
	}
	if abort {
		m.send("ABOR\r\n")
		m.expect(426)
		m.expect(226)
		m.dropped(conn)
		return
	}
	_ = conn.(*wiretest.Conn).CloseWrite()
	m.expect(226)
	if verb == "APPE" {
		m.files[full] = old + data
	} else {
		m.files[full] = old[:rest] + data
	}
}

// nlst lists the working directory.
func (m *machine) nlst(t *rapid.T) {
	m.t = t
	if !m.logged || !m.dirs[m.cwd] {
		t.Skip("no directory")
	}
	var want []string
	for _, all := range [][]string{slices.Collect(maps.Keys(m.files)), slices.Collect(maps.Keys(m.dirs))} {
		for _, name := range all {
			if name != "/" && path.Dir(name) == m.cwd {
				want = append(want, path.Base(name))
			}
		}
	}
	slices.Sort(want)
	m.rest = 0
	conn := m.connect()
	defer conn.Close()
	m.send("NLST\r\n")
	m.expect(150)
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(strings.ReplaceAll(string(text), "e f", "e_f"))
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], "_", " ")
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	_ = conn.Close()
	m.expect(226)
}

// check holds the session against the model without changing either.
func (m *machine) check(t *rapid.T) {
	m.t = t
	m.send("NOOP\r\n")
	m.expect(200)
}
