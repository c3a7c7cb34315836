//go:build e2e

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ftps "sluice/cmd/sluice/internal/bench/load"
	"sluice/cmd/sluice/internal/bench/nulls3"
)

// faulty is an S3 server whose network is bad.
type faulty struct {
	null  *nulls3.Server
	off   atomic.Bool
	busy  atomic.Int64 // until when it answers 503, in nanoseconds
	count sync.Map     // of each fault
}

func (f *faulty) hit(name string, rate int) bool {
	if f.off.Load() || rand.IntN(rate) > 0 {
		return false
	}
	n, _ := f.count.LoadOrStore(name, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	return true
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.hit("burst of 503", 100) {
		f.busy.Store(time.Now().Add(300 * time.Millisecond).UnixNano())
	}
	if !f.off.Load() && time.Now().UnixNano() < f.busy.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<Error><Code>SlowDown</Code></Error>")
		return
	}
	if f.hit("reset", 20) {
		panic(http.ErrAbortHandler)
	}
	if f.hit("stall", 30) {
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
	}
	if r.Method == http.MethodPut && f.hit("damaged on the way up", 30) {
		r.Body = struct {
			io.Reader
			io.Closer
		}{&damager{r: r.Body, at: rand.Int64N(1 + r.ContentLength)}, r.Body}
	}
	switch {
	case r.Method == http.MethodGet && f.hit("damaged on the way down", 10):
		w = &bad{ResponseWriter: w, at: rand.IntN(300_000)}
	case r.Method == http.MethodGet && f.hit("cut on the way down", 10):
		w = &bad{ResponseWriter: w, at: rand.IntN(300_000), cut: true}
	// Of an upload whose very creation is answered into the void, nobody ever knows the name: a rule of the bucket's ends it.
	case r.Method != http.MethodGet && !r.URL.Query().Has("uploads") && f.hit("lost answer", 15):
		f.null.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	f.null.ServeHTTP(w, r)
}

// damager changes a byte of r.
type damager struct {
	r  io.Reader
	at int64
}

func (d *damager) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if d.at >= 0 && d.at < int64(n) {
		p[d.at] ^= 1
	}
	d.at -= int64(n)
	return n, err
}

// bad is an answer with a wrong byte, or none from there on.
type bad struct {
	http.ResponseWriter
	at  int
	cut bool
}

func (b *bad) Write(p []byte) (int, error) {
	i := b.at
	b.at -= len(p)
	if i < 0 || i >= len(p) {
		return b.ResponseWriter.Write(p)
	}
	if b.cut {
		_, _ = b.ResponseWriter.Write(p[:i])
		panic(http.ErrAbortHandler)
	}
	p = slices.Clone(p)
	p[i] ^= 1
	return b.ResponseWriter.Write(p)
}

var errCut = errors.New("the client cuts")

// TestE2EFaults lets clients transfer over a bad network between server and store, and cut some transfers themselves. What is acknowledged is right, what is not has
// left what was there, and nothing stays behind but what may be resumed.
func TestE2EFaults(t *testing.T) {
	for _, resume := range []string{"0s", "24h"} {
		t.Run("resume for "+resume, func(t *testing.T) { badNetwork(t, resume) })
	}
}

func badNetwork(t *testing.T, resume string) {
	t.Helper()
	before := runtime.NumGoroutine()
	f := &faulty{null: &nulls3.Server{}}
	srv := httptest.NewServer(f)
	defer srv.Close()
	f.off.Store(true)
	r := boot(t, fmt.Sprintf(`tls: {certificates: [{cert: server.crt, key: server.key}]}
stores: {s3: {type: s3, bucket: b, endpoint: %q, pathStyle: true, accessKey: k, secretKey: s}}
users: [{name: ann, password: %q, mounts: [{path: /, store: s3}], limits: {sessions: 0, transfers: 0}}]
transfer: {memory: 64MiB, resume: %s}
throttle: {exempt: [127.0.0.0/8]}
`, srv.URL, hashed(), resume))
	target := ftps.Target{Address: r.explicit, User: "ann", Password: "secret", TLS: trust(t, r.ca)}
	f.off.Store(false)
	const workers, each = 12, 21
	var good, refused, cut atomic.Int64
	var mu sync.Mutex
	want := map[string]int64{} // sizes of what must be there
	var wg sync.WaitGroup
	seed := rand.Uint64()
	t.Log("seed of what the clients do:", seed)
	for w := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			var s *ftps.Session
			defer func() {
				if s != nil {
					_ = s.Close()
				}
			}()
			names, sizes := []string{}, map[string]int64{}
			for i := range each {
				var err error
				if s == nil {
					if s, err = ftps.Open(t.Context(), target); err != nil {
						t.Error(err)
						return
					}
				}
				name := fmt.Sprintf("w%d-%d", w, i)
				if len(names) > 0 && rnd.IntN(3) > 0 {
					name = names[rnd.IntN(len(names))]
				}
				old, exists := sizes[name]
				n := rnd.Int64N(300_000)
				if rnd.IntN(6) == 0 {
					n = 5<<20 + rnd.Int64N(12<<20)
				}
				size, rest := n, n/2
				var wait func() error
				kind := rnd.IntN(10)
				switch {
				case kind == 0: // it is not known when the server is through with it, so it is a name of its own
					name, exists = fmt.Sprintf("cut%d-%d", w, i), false
					wait = func() error { return errCut }
					err = s.Send(t.Context(), "STOR "+name, 0, n, rest, wait)
				case kind < 4 && exists:
					size, err = old, s.Fetch(t.Context(), name, old)
				case kind < 6 && exists:
					size, err = old+n, s.Send(t.Context(), "APPE "+name, old, n, 0, nil)
				case kind < 7 && exists:
					off := rnd.Int64N(old + 1)
					if _, err = s.Do(350, "REST %d", off); err == nil {
						size, err = off+n, s.Send(t.Context(), "STOR "+name, off, n, 0, nil)
					}
				default:
					err = s.Store(t.Context(), name, n)
				}
				if errors.Is(err, errCut) {
					cut.Add(1)
					_ = s.Close()
					s = nil
					continue
				}
				o, there := f.null.Object(name)
				if err == nil {
					good.Add(1)
					if !there || o.Size != size || !o.Expected {
						t.Errorf("%s (%d) was acknowledged with %d bytes; the store has %+v, %v", name, kind, size, o.Size, o.Expected)
					}
					if !exists {
						names = append(names, name)
					}
					sizes[name] = size
					continue
				}
				refused.Add(1)
				if there != exists || there && (o.Size != old || !o.Expected) {
					t.Errorf("%s (%d) failed (%v) and was %v with %d bytes; the store has %v with %d, want was %d", name, kind, err, exists, old, there, o.Size, size)
				}
				_ = s.Close() // the client may have lost the thread
				s = nil
				if resume != "0s" { // what comes next to this name might go on with what is kept
					names = slices.DeleteFunc(names, func(other string) bool { return other == name })
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for name, size := range sizes {
				want[name] = size
			}
		})
	}
	wg.Wait()
	f.off.Store(true)
	f.count.Range(func(name, n any) bool {
		t.Logf("%s: %d", name, n.(*atomic.Int64).Load())
		return true
	})
	t.Logf("%d right, %d refused, %d cut by the client", good.Load(), refused.Load(), cut.Load())
	if good.Load() < workers*each/2 || cut.Load() == 0 {
		t.Error("the faults are set wrongly")
	}
	var keys []string
	uploads := -1
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		records, _ := f.null.Left(".sluice/uploads/")
		tails, _ := f.null.Left(".sluice/tails/")
		keys, uploads = f.null.Left("")
		if resume != "0s" {
			keys = slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(records, key) || slices.Contains(tails, key) })
			uploads = max(0, uploads-len(records))
		}
		if uploads == 0 && len(keys) == len(want) {
			break
		}
	}
	for _, key := range keys {
		if _, ok := want[key]; !ok {
			t.Errorf("%s is left", key)
		}
	}
	if uploads != 0 || len(keys) != len(want) {
		t.Errorf("%d uploads in parts are left; %d objects, want %d", uploads, len(keys), len(want))
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	srv.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+2 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
	}
	if n := runtime.NumGoroutine(); n > before+2 {
		buf := make([]byte, 1<<20)
		all := string(buf[:runtime.Stack(buf, true)])
		t.Errorf("%d goroutines, %d at the beginning: %s", n, before, all[:min(len(all), 20_000)])
	}
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "panic") {
			t.Error(line)
		}
	}
}
