//go:build e2e

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/backend"
	"sluice/cmd/sluice/internal/bench/content"
	ftps "sluice/cmd/sluice/internal/bench/load"
)

// span is some of the content that anyone can make.
type span struct{ off, n int64 }

// spans are what a file holds; nil: there is none.
type spans []span

func (f spans) size() (n int64) {
	for _, s := range f {
		n += s.n
	}
	return n
}

// from is f without its first bytes, to is those.
func (f spans) from(off int64) (rest spans) {
	for _, s := range f {
		skip := min(off, s.n)
		rest, off = append(rest, span{s.off + skip, s.n - skip}), off-skip
	}
	return rest
}

func (f spans) to(end int64) (head spans) {
	head = spans{}
	for _, s := range f {
		n := min(end, s.n)
		head, end = append(head, span{s.off, n}), end-n
	}
	return head
}

func (f spans) write(w io.Writer) error {
	for _, s := range f {
		if err := content.Write(w, s.off, s.n); err != nil {
			return err
		}
	}
	return nil
}

// matches reads r and reports whether it is f and no more.
func (f spans) matches(r io.Reader) (bool, error) {
	for _, s := range f {
		check := content.From(s.off)
		if _, err := io.Copy(check, io.LimitReader(r, s.n)); err != nil || check.Wrong || check.Size != s.n {
			return false, err
		}
	}
	n, err := io.Copy(io.Discard, r)
	return n == 0, err
}

var errCut = errors.New("the client cuts")

// TestE2EFaults lets clients do what they like over a bad network between program and store, and cut some transfers themselves. What is
// acknowledged is right in the store; what is not has left what was there, unless the store has told the program of nothing since it did
// it. Where nothing may be resumed, nothing stays behind. SLUICE_TEST_SEED repeats what the clients of another run chose, as far as the faults
// let them.
func TestE2EFaults(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("SLUICE_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SLUICE_TEST_SEED=%d", seed)
	before := runtime.NumGoroutine()
	t.Run("stores", func(t *testing.T) {
		for _, kind := range []string{"azure", "gcs", "s3"} { // the slowest first
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				weather(t, kind, seed, 20, true)
			})
		}
		t.Run("s3 without resumption", func(t *testing.T) {
			t.Parallel()
			weather(t, "s3", seed, 8, false)
		})
	})
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+2 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
	}
	if n := runtime.NumGoroutine(); n > before+2 {
		buf := make([]byte, 1<<20)
		all := string(buf[:runtime.Stack(buf, true)])
		t.Errorf("%d goroutines, %d at the beginning: %s", n, before, all[:min(len(all), 20_000)])
	}
}

// weather lets clients make 25 transfers each, and more, with one kind of store.
func weather(t *testing.T, kind string, seed uint64, clients int, keep bool) {
	t.Helper()
	const each = 25
	resume := "24h"
	if !keep {
		resume = "0s"
	}
	f := startFlaky(t, kind, "tries: 2, timeout: 2s")
	s := newStorm(f, seed)
	f.storm = s
	for i := range clients {
		if _, err := f.direct.Put(t.Context(), fmt.Sprintf("w%d/", i), nil, backend.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	r := boot(t, fmt.Sprintf(`tls: {certificates: [{cert: server.crt, key: server.key}]}
stores: {store: %s}
users: [{name: ann, password: %q, mounts: [{path: /, store: store}], limits: {sessions: 0, transfers: 0}}]
transfer: {memory: 64MiB, resume: %s}
throttle: {exempt: [127.0.0.0/8]}
`, strings.Replace(f.config, "tries: 2, timeout: 2s", "tries: 5, timeout: 4s", 1), hashed(), resume))
	target := ftps.Target{Address: r.explicit, User: "ann", Password: "secret", TLS: trust(t, r.ca)}
	s.begin()
	actors := make([]*actor, clients)
	var wg sync.WaitGroup
	for i := range actors {
		a := &actor{T: t, storm: s, keep: keep, rnd: rand.New(rand.NewPCG(seed, uint64(i))), dir: fmt.Sprintf("w%d", i), files: map[string]spans{}, kept: map[string][]spans{}, count: map[string]int{}}
		actors[i] = a
		wg.Go(func() {
			var err error
			if a.session, err = ftps.Open(t.Context(), target); err != nil {
				t.Error(err)
				return
			}
			for a.transfers < each && !t.Failed() {
				a.act()
			}
		})
	}
	wg.Wait()
	faults := s.end()
	t.Log(faults)
	if len(faults) < 6 {
		t.Error("there are hardly any faults")
	}
	count, want := map[string]int{}, map[string]bool{}
	for _, a := range actors {
		if a.session == nil {
			continue
		}
		for what, n := range a.count {
			count[what] += n
		}
		want[a.dir+"/"] = true
		for name := range a.files {
			want[name] = true
		}
		if !t.Failed() {
			a.compare()
		}
		_ = a.session.Close()
	}
	t.Log(count)
	var left []string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if left = s.left(t, want, keep); len(left) == 0 {
			break
		}
	}
	if len(left) > 0 {
		t.Errorf("%q are left", left)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Log(r.log)
	}
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "panic") {
			t.Error(line)
		}
	}
}

// actor is a client with a directory and a session of its own, who knows what must be there.
type actor struct {
	*testing.T
	*storm
	rnd     *rand.Rand
	session *ftps.Session
	dir     string
	keep    bool               // uploads that end early can be resumed
	files   map[string]spans   // by key
	kept    map[string][]spans // what would be there now if uploads had not ended early, the last one first; the server may have kept some of one of them
	count   map[string]int

	transfers int
	unsure    bool // the server cannot know what has become of the last command
}

// act does one thing and looks what has become of it.
func (a *actor) act() {
	name := fmt.Sprintf("%s/%d", a.dir, a.rnd.IntN(3))
	old, exists := a.files[name]
	_, kept := a.kept[name]
	n := a.rnd.Int64N(300_000)
	if a.rnd.IntN(12) == 0 {
		n = 5<<20 + a.rnd.Int64N(8<<20)
	}
	fresh := spans{{a.rnd.Int64N(1 << 40), n}}
	off := a.rnd.Int64N(old.size() + 1)
	switch what := a.rnd.IntN(20); {
	case kept && what < 10:
		a.resume(name)
	case what < 2 && exists:
		err := a.do(250, "DELE", name)
		if a.after("DELE", err, []state{{name: nil}}, state{name: old}, state{name: nil}); err == nil {
			delete(a.kept, name)
		}
	case what < 4 && exists && !kept:
		a.rename(name, fmt.Sprintf("%s/%d", a.dir, a.rnd.IntN(3)))
	case what < 6 && exists:
		a.fetch(name, 0)
	case what < 8 && exists:
		a.fetch(name, off)
	case what < 10 && exists && !kept:
		a.upload("APPE", name, old.size(), slices.Concat(old, fresh), n)
	case what < 12 && exists && !kept:
		a.upload("REST STOR", name, off, slices.Concat(old.to(off), fresh), n)
	case what < 14:
		a.upload("cut STOR", name, 0, fresh, a.rnd.Int64N(n+1))
	default:
		a.upload("STOR", name, 0, fresh, n)
	}
	a.size(name)
}

// upload sends what follows behind off of the file that a name shall have, n bytes at most. Instead of what is in front of off there may be that of others.
func (a *actor) upload(what, name string, off int64, whole spans, n int64, others ...spans) {
	rest, verb := whole.from(off), what[strings.LastIndex(what, " ")+1:]
	old := a.files[name]
	a.transfers++
	a.trust(a.dir, off <= 16<<20 || off >= old.size())
	err := error(nil)
	if what == "REST STOR" {
		err = a.do(350, "REST", off)
	}
	if err == nil {
		err = a.session.SendBy(a.Context(), verb+" "+name, func(w io.Writer) error {
			if what == "cut STOR" {
				return cmp.Or(rest.to(n).write(w), errCut)
			}
			return rest.write(w)
		})
	}
	if what == "cut STOR" && err == nil {
		a.Errorf("%s of %s was acknowledged", what, name)
	}
	sent, done := []spans{whole}, []state{{name: whole}}
	for _, other := range others {
		f := slices.Concat(other.to(off), rest)
		sent, done = append(sent, f), append(done, state{name: f})
	}
	a.after(what, err, done, state{name: old})
	switch {
	case err == nil:
		delete(a.kept, name)
	case a.keep:
		a.kept[name] = append(sent, a.kept[name]...)
	}
}

// resume asks how much of an upload the server has kept and sends the rest.
func (a *actor) resume(name string) {
	whole, old := a.kept[name][0], a.files[name]
	have, err := a.session.Size(name)
	a.note("SIZE", err)
	switch {
	case err != nil && code(err) != 550:
	case have == 0 || have > whole.size(): // then it is of another one
		a.upload("STOR", name, 0, whole, whole.size())
	default:
		others := slices.DeleteFunc(append(slices.Clone(a.kept[name][1:]), old), func(f spans) bool { return f.size() < have })
		a.upload("REST STOR", name, have, whole, whole.size(), others...)
	}
}

// rename gives a file another name, which may be taken.
func (a *actor) rename(from, to string) {
	if _, kept := a.kept[to]; kept || from == to {
		return
	}
	x, y := a.files[from], a.files[to]
	err := a.do(350, "RNFR", from)
	if err == nil {
		err = a.do(250, "RNTO", to)
	}
	done := state{from: nil, to: x}
	a.after("RNTO", err, []state{done}, state{from: x, to: y}, state{from: x, to: x}, done)
}

// fetch downloads a file from off on.
func (a *actor) fetch(name string, off int64) {
	a.transfers++
	a.trust(a.dir, off == 0)
	want, what, right := a.files[name].from(off), "RETR", false
	err := error(nil)
	if off > 0 {
		what = "REST RETR"
		err = a.do(350, "REST", off)
	}
	if err == nil {
		err = a.session.Transfer(a.Context(), "RETR "+name, func(data net.Conn) (err error) {
			right, err = want.matches(data)
			return err
		})
	}
	a.note(what, err)
	if code(err) == 0 && !right || code(err) == 550 {
		a.Errorf("%s of %s from %d on: %v, right: %t", what, name, off, err, right)
	}
}

// size asks for the size of a file that is known, or of none.
func (a *actor) size(name string) {
	if _, kept := a.kept[name]; kept || a.unsure {
		return
	}
	f, exists := a.files[name]
	n, err := a.session.Size(name)
	a.note("SIZE", err)
	if err == nil && (!exists || n != f.size()) || code(err) == 550 && exists {
		a.Errorf("SIZE of %s: %d, %v; want %d, there: %t", name, n, err, f.size(), exists)
	}
}

func (a *actor) do(code int, verb string, arg any) error {
	_, err := a.session.Do(code, "%s %v", verb, arg)
	return err
}

// code is what the server said; 0: that all is well.
func code(err error) int {
	var said *textproto.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &said):
		return said.Code
	}
	return -1
}

// note counts what came of a command; the server has to have said something.
func (a *actor) note(what string, err error) {
	if a.count[what]++; err == nil {
		return
	}
	a.count[fmt.Sprintf("%s %d", what, code(err))]++
	if code(err) < 0 {
		a.Errorf("%s in %s: %v", what, a.dir, err)
	}
}

// state is what some names hold; nil: there is no such file.
type state map[string]spans

// after looks into the bucket behind a command: what was acknowledged is there, or else one of the other states.
func (a *actor) after(what string, err error, done []state, other ...state) {
	a.note(what, err)
	allowed := other
	a.unsure = a.settle(a.dir)
	if err == nil {
		allowed = done
	} else if a.unsure && what != "cut STOR" {
		allowed = slices.Concat(allowed, done)
	}
	if is := a.find(allowed); is != nil {
		for name, f := range is {
			if f == nil {
				delete(a.files, name)
			} else {
				a.files[name] = f
			}
		}
		return
	}
	a.Errorf("%s (unsure: %t): %v, and the bucket is in none of the states %v", what, a.unsure, err, allowed)
}

// find returns the state that the bucket is in.
func (a *actor) find(states []state) state {
	for _, is := range states {
		right := true
		for name, f := range is {
			right = right && a.holds(name, f)
		}
		if right {
			return is
		}
	}
	return nil
}

// holds reports whether an object has this content, or there is none.
func (a *actor) holds(key string, f spans) bool {
	body, obj, err := a.direct.Open(a.Context(), key, backend.OpenOptions{})
	if errors.Is(err, backend.ErrNotExist) {
		return f == nil
	}
	if err != nil {
		a.Error(err)
		return false
	}
	defer body.Close()
	if f == nil || obj.Size != f.size() {
		return false
	}
	right, err := f.matches(body)
	if err != nil {
		a.Error(err)
	}
	return right
}

// compare compares what the server lists with what must be there. Of an upload that was cut off there may be a part.
func (a *actor) compare() {
	var list []byte
	err := a.session.Transfer(a.Context(), "MLSD "+a.dir, func(data net.Conn) (err error) {
		list, err = io.ReadAll(data)
		return err
	})
	got, want := map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(list)) {
		facts, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, size, ok := strings.Cut(strings.ToLower(facts), "size=")
		if size, _, _ = strings.Cut(size, ";"); ok && strings.Contains(strings.ToLower(facts), "type=file") {
			got[a.dir+"/"+name] = size
		}
	}
	for name, f := range a.files {
		want[name] = fmt.Sprint(f.size())
	}
	for name := range a.kept {
		delete(got, name)
		delete(want, name)
	}
	if err != nil || !maps.Equal(got, want) {
		a.Errorf("MLSD: %v lists %v, want %v", err, got, want)
	}
}
