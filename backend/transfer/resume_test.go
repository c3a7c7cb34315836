package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

var errQuota = errors.New("quota")

// anns are the options of uploads that ann can resume.
func anns() UploadOptions {
	return UploadOptions{Resume: &Resumption{
		User: "ann", For: 24 * time.Hour, Refuse: func(err error) bool { return errors.Is(err, errQuota) },
	}}
}

// cutOff uploads p to k until err comes.
func cutOff(t *testing.T, e *Engine, s backend.Store, p []byte, err error) {
	t.Helper()
	if _, got := e.Upload(t.Context(), s, "k", &endReader{p: p, err: err}, anns()); !errors.Is(got, err) {
		t.Fatalf("upload: %v, want %v", got, err)
	}
}

// partial returns what ann can resume at k.
func partial(t *testing.T, e *Engine, s backend.Store) *Partial {
	t.Helper()
	p, err := e.Partial(t.Context(), s, "ann", "k")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantSize(t *testing.T, p *Partial, want int) {
	t.Helper()
	if p == nil || p.Size != int64(want) {
		t.Errorf("partial %+v, want %d bytes", p, want)
	}
}

// small returns an engine whose parts have 20 bytes.
func small() *Engine { return New(Config{PartSize: 20}) }

// mute is a store that does not answer to the write of a record, and refuses those that follow.
type mute struct {
	backend.Store
	nth     int // of the writes
	refuses int
	n       *int
}

func (m mute) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	if !strings.HasPrefix(key, ".sluice/uploads/") {
		return m.Store.Put(ctx, key, p, opts)
	}
	if *m.n++; *m.n > m.nth && *m.n <= m.nth+m.refuses {
		return backend.Object{}, backend.ErrUnavailable
	}
	obj, err := m.Store.Put(ctx, key, p, opts)
	if *m.n == m.nth {
		return backend.Object{}, backend.ErrUnavailable
	}
	return obj, err
}

// slow is a client that sends a byte a second.
type slow struct{ r io.Reader }

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return s.r.Read(p[:1])
}

// A record whose answer was lost is known as one's own when it is met, however many were refused since: the upload that runs goes on, and of one
// that is cut off nothing is lost.
func TestRecordAnswerLost(t *testing.T) {
	data := pattern(90)
	for refuses := range 3 {
		for nth, n := 1, 1; n >= nth; nth++ {
			n = 0
			synctest.Test(t, func(t *testing.T) {
				s, e := mem.New(mem.Config{}), small()
				lossy := mute{s, nth, refuses, &n}
				_, err := e.Upload(t.Context(), lossy, "k", slow{bytes.NewReader(data)}, anns())
				if p := partial(t, e, s); errors.Is(err, backend.ErrUnavailable) && refuses > 0 && p != nil && content(t, s, "k") == nil {
					return // nothing begins without a record that is fresh
				}
				if err != nil {
					t.Errorf("answer %d lost, %d refused: %v", nth, refuses, err)
				}
				if got := content(t, s, "k"); !bytes.Equal(got, data) {
					t.Errorf("answer %d lost, %d refused: the file has %d bytes, or others", nth, refuses, len(got))
				}
				if p := partial(t, e, s); p != nil {
					t.Errorf("answer %d lost, %d refused: %+v is left", nth, refuses, p)
				}
			})
		}
		for nth, n := 1, 1; n >= nth; nth++ {
			n = 0
			synctest.Test(t, func(t *testing.T) {
				s, e := mem.New(mem.Config{}), small()
				lossy := mute{s, nth, refuses, &n}
				cutOff(t, e, lossy, data[:50], io.ErrUnexpectedEOF)
				for range 5 { // the client tries again where the store is not available
					p := partial(t, e, s)
					if p == nil || p.Size < 50 {
						t.Fatalf("answer %d lost, %d refused: of 50 bytes there is %+v", nth, refuses, p)
					}
					_, err := e.Resume(t.Context(), lossy, *p, AtEnd, bytes.NewReader(data[p.Size:]), anns())
					if err == nil {
						break
					}
					if !errors.Is(err, backend.ErrUnavailable) {
						t.Errorf("answer %d lost, %d refused: %v", nth, refuses, err)
					}
				}
				if got := content(t, s, "k"); !bytes.Equal(got, data) {
					t.Errorf("answer %d lost, %d refused: the file has %d bytes, or others", nth, refuses, len(got))
				}
			})
		}
	}
}

func TestPartialIsTheUsers(t *testing.T) {
	s, e := mem.New(mem.Config{}), small()
	data := pattern(90)
	cutOff(t, e, s, data[:70], io.ErrUnexpectedEOF)
	if p, err := e.Partial(t.Context(), s, "bob", "k"); p != nil || err != nil {
		t.Errorf("bob sees %+v, %v", p, err)
	}
	if p, err := e.Partial(t.Context(), s, "ann", "k2"); p != nil || err != nil {
		t.Errorf("another name: %+v, %v", p, err)
	}
	if all, err := e.Partials(t.Context(), s, "ann"); err != nil || len(all) != 1 || all[0].Name != "k" || all[0].Size != 70 {
		t.Errorf("ann's: %+v, %v", all, err)
	}
	p := partial(t, e, s)
	wantSize(t, p, 70)
	for _, offset := range []int64{71, -2} {
		if _, err := e.Resume(t.Context(), s, *p, offset, &endReader{err: errBroken}, anns()); !errors.Is(err, backend.ErrRange) {
			t.Errorf("at %d: %v", offset, err)
		}
	}
	wantSize(t, partial(t, e, s), 70)
	if err := e.Drop(t.Context(), s, *p); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Resume(t.Context(), s, *p, 70, &endReader{err: errBroken}, anns()); !errors.Is(err, ErrGone) {
		t.Errorf("after Drop: %v", err)
	}
	wantOnly(t, s)
}

// What is refused by rule, and what is shorter than what was kept is dropped, with what was kept before.
func TestNothingKept(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		rest int
	}{
		"refused":  {errQuota, 5},
		"short":    {io.EOF, -5},
		"finished": {io.EOF, 5},
	} {
		for _, had := range []int{10, 50, 75} {
			s, e := mem.New(mem.Config{}), small()
			data := pattern(100)
			cutOff(t, e, s, data[:had], io.ErrUnexpectedEOF)
			p := partial(t, e, s)
			wantSize(t, p, had)
			_, err := e.Resume(t.Context(), s, *p, 0, &endReader{p: data[:had+c.rest], err: c.err}, anns())
			if name == "finished" {
				if got := content(t, s, "k"); err != nil || !bytes.Equal(got, data[:had+c.rest]) {
					t.Errorf("%s: %v, %d bytes", name, err, len(got))
				}
				wantOnly(t, s, "k")
				continue
			}
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			wantOnly(t, s)
		}
	}
}

// A file that came whole, and that one request takes, leaves nothing if the store refuses it: it is sent again as a whole.
func TestRefusedKeepsNothing(t *testing.T) {
	s := mem.New(mem.Config{Fault: func(op, key string) error {
		if op == "put" && key == "k" {
			return backend.ErrUnavailable
		}
		return nil
	}})
	if _, err := small().Upload(t.Context(), s, "k", bytes.NewReader(pattern(10)), anns()); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("upload: %v", err)
	}
	wantOnly(t, s)
}

// A store that lacks conditional writes gets no records.
func TestNoConditions(t *testing.T) {
	caps := mem.DefaultCaps()
	caps.Conditional = false
	s, e := mem.New(mem.Config{Caps: &caps}), small()
	cutOff(t, e, s, pattern(70), io.ErrUnexpectedEOF)
	wantOnly(t, s)
	if err := e.Sweep(t.Context(), s); err != nil || s.Count("list") > 0 {
		t.Errorf("sweep: %v, %d listings", err, s.Count("list"))
	}
}

// Where the store refuses what Sluice keeps for itself, or its conditions, uploads are as if they could not be resumed.
func TestBarred(t *testing.T) {
	for name, refuse := range map[string]func(op, key string, n int) error{
		"no access": func(_, key string, _ int) error {
			if strings.HasPrefix(key, ".sluice/") {
				return backend.ErrPermission
			}
			return nil
		},
		"only new records": func(op, key string, n int) error {
			if op == "put" && strings.HasPrefix(key, ".sluice/") && n > 1 {
				return backend.ErrUnsupported
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var puts atomic.Int32
				s := mem.New(mem.Config{Fault: func(op, key string) error {
					n := 0
					if op == "put" {
						n = int(puts.Add(1))
					}
					return refuse(op, key, n)
				}})
				e := small()
				if p := partial(t, e, s); p != nil {
					t.Errorf("partial %+v", p)
				}
				if all, err := e.Partials(t.Context(), s, "ann"); err != nil || all != nil {
					t.Errorf("partials %+v, %v", all, err)
				}
				data := pattern(200)
				for i, end := range []error{io.ErrUnexpectedEOF, io.EOF, io.EOF} {
					puts.Store(0)
					r := &endReader{p: data, err: end, step: 10, every: 2 * time.Second}
					if i == 2 { // a part comes before a beat
						r.step, r.every = 65, 14*time.Second
					}
					if _, err := e.Upload(t.Context(), s, "k", r, anns()); end == io.EOF && err != nil || end != io.EOF && !errors.Is(err, end) {
						t.Errorf("upload: %v, want %v", err, end)
					}
				}
				if got := content(t, s, "k"); !bytes.Equal(got, data) {
					t.Errorf("stored %d bytes", len(got))
				}
				wantOnly(t, s, "k")
			})
		})
	}
}

// gate delivers p, then waits until it is opened, and then delivers more.
type gate struct {
	p, more []byte
	open    chan struct{}
	err     error
}

func (g *gate) Read(p []byte) (int, error) {
	if len(g.p) == 0 {
		<-g.open
		g.p, g.more = g.more, nil
	}
	if len(g.p) == 0 {
		return 0, g.err
	}
	n := copy(p, g.p)
	g.p = g.p[n:]
	return n, nil
}

// Whoever sends bytes keeps an upload; who has sent none for a while loses it to whoever resumes it, in this process and in others, and
// then touches nothing any more.
func TestTakenOver(t *testing.T) {
	for _, same := range []bool{true, false} {
		for _, last := range []error{io.EOF, io.ErrUnexpectedEOF} {
			t.Run(fmt.Sprintf("same process %v, %v", same, last), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, a := mem.New(mem.Config{}), small()
					b := a
					if !same {
						b = small()
					}
					data := pattern(200)
					g := &gate{p: data[:90], more: pattern(77), open: make(chan struct{}), err: last}
					var lost error
					var wg sync.WaitGroup
					wg.Go(func() { _, lost = a.Upload(t.Context(), s, "k", g, anns()) })
					time.Sleep(time.Second)
					if p := partial(t, a, s); p != nil {
						t.Errorf("it is receiving bytes, and looks cut off: %+v", p)
					}
					p := partial(t, b, s)
					if same && p != nil || !same && (p == nil || p.Size < 60) {
						t.Errorf("from there: %+v", p)
					}
					time.Sleep(20 * time.Second)
					p = partial(t, b, s)
					if p == nil || p.Size < 60 || p.Size > 90 {
						t.Fatalf("partial %+v", p)
					}
					r := &endReader{p: data[p.Size:], err: io.EOF, step: 10, every: time.Second}
					wg.Go(func() { // the one that has lost comes back in the middle
						back := 4 * time.Second
						if !same { // until then it is waited to see whether that one is dead
							back += Watch
						}
						time.Sleep(back)
						close(g.open)
					})
					if _, err := b.Resume(t.Context(), s, *p, p.Size, r, anns()); err != nil {
						t.Fatal(err)
					}
					wg.Wait()
					if !errors.Is(lost, ErrBusy) {
						t.Errorf("the one that has lost: %v", lost)
					}
					if got := content(t, s, "k"); !bytes.Equal(got, data) {
						t.Errorf("stored %d bytes", len(got))
					}
					wantOnly(t, s, "k")
				})
			})
		}
	}
}

// An upload that receives bytes is not taken away: who resumes it elsewhere hears so when that is clear, and who begins anew
// beside it succeeds.
func TestBusy(t *testing.T) {
	for _, same := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s, a := mem.New(mem.Config{}), small()
			b := a
			if !same {
				b = small()
			}
			data := pattern(300)
			r := &endReader{p: data, err: io.EOF, step: 10, every: time.Second}
			var wg sync.WaitGroup
			var err error
			wg.Go(func() { _, err = a.Upload(t.Context(), s, "k", r, anns()) })
			time.Sleep(5 * time.Second)
			p := Partial{Key: "k", Name: "k", record: b.recordKey("ann", "k")}
			if _, err := b.Resume(t.Context(), s, p, AtEnd, &endReader{err: errBroken}, anns()); !errors.Is(err, ErrBusy) {
				t.Errorf("resume beside it: %v", err)
			}
			if err := b.Drop(t.Context(), s, p); !errors.Is(err, ErrBusy) {
				t.Errorf("drop beside it: %v", err)
			}
			if p := partial(t, b, s); p != nil {
				t.Errorf("it looks cut off: %+v", p)
			}
			if _, err := b.Upload(t.Context(), s, "k", bytes.NewReader(data[:130]), anns()); err != nil {
				t.Errorf("another upload beside it: %v", err)
			}
			if got := content(t, s, "k"); !bytes.Equal(got, data[:130]) {
				t.Errorf("stored %d bytes", len(got))
			}
			wg.Wait()
			if got := content(t, s, "k"); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%v, %d bytes", err, len(got))
			}
			wantOnly(t, s, "k")
		})
	}
}

// Of several who resume an upload at once one goes on; the others hear that it is busy, or gone, and have done nothing.
func TestResumeRace(t *testing.T) {
	for round := range 40 {
		synctest.Test(t, func(t *testing.T) {
			slow := func(op, key string) time.Duration {
				return time.Duration(len(op)*(round+3)+len(key)*(round%7)) % 97 * time.Millisecond
			}
			s := mem.New(mem.Config{Delay: slow})
			data := pattern(150)
			first := newMortal(s, int64(5+round))
			e := small()
			_, err := e.Upload(t.Context(), first, "k", &endReader{p: data[:100], err: io.ErrUnexpectedEOF, step: 7, every: time.Duration(round%3) * time.Second}, anns())
			if err == nil {
				t.Fatal("no error")
			}
			var wg sync.WaitGroup
			var mu sync.Mutex
			won := 0
			for i := range 4 {
				e := small()
				wg.Go(func() {
					time.Sleep(time.Duration(i*round%5) * 10 * time.Millisecond)
					p, err := e.Partial(t.Context(), s, "ann", "k")
					if err != nil || p == nil {
						return
					}
					_, err = e.Resume(t.Context(), s, *p, p.Size, &endReader{p: data[p.Size:], err: io.EOF, step: 9, every: time.Second}, anns())
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						won++
					case !errors.Is(err, ErrBusy) && !errors.Is(err, ErrGone):
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			wg.Wait()
			if won > 1 {
				t.Errorf("round %d: %d have won", round, won)
			}
			if got := content(t, s, "k"); won == 1 && !bytes.Equal(got, data) || won == 0 && got != nil {
				t.Errorf("round %d: %d won, %d bytes", round, won, len(got))
			}
		})
	}
}

// The sweeper ends what nobody has resumed in time, whoever began it, and what no record names any more; not what is under way.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, e := mem.New(mem.Config{}), small()
		for _, key := range []string{".sluice/tails/lost", ".sluice/segments/lost", ".sluice/uploads/x/garbage", ".sluice/renames/other", "file"} {
			mustPut(t, s, key, []byte("{}"))
		}
		cutOff(t, e, s, pattern(75), io.ErrUnexpectedEOF)
		opts := anns()
		opts.Resume.User = "bob"
		dying := newMortal(s, 6)
		if _, err := small().Upload(t.Context(), dying, "k", &endReader{p: pattern(500), err: io.EOF, step: 5, every: time.Second}, opts); err == nil {
			t.Fatal("no error")
		}
		sweep := func(after time.Duration, uploads int, keys ...string) {
			t.Helper()
			time.Sleep(after)
			var wg sync.WaitGroup
			for range 3 {
				replica := small()
				wg.Go(func() {
					for range 2 {
						if err := replica.Sweep(t.Context(), s); err != nil {
							t.Error(err)
						}
						time.Sleep(20 * time.Second)
					}
				})
			}
			wg.Wait()
			if got := s.Uploads(); len(got) != uploads {
				t.Errorf("uploads %q, want %d", got, uploads)
			}
			for _, key := range []string{".sluice/tails/lost", ".sluice/segments/lost", ".sluice/uploads/x/garbage", ".sluice/renames/other", "file"} {
				if slices.Contains(s.Keys(), key) != slices.Contains(keys, key) {
					t.Errorf("%s: keys %q", key, s.Keys())
				}
			}
		}
		sweep(30*time.Minute, 2, ".sluice/tails/lost", ".sluice/segments/lost", ".sluice/uploads/x/garbage", ".sluice/renames/other", "file")
		sweep(time.Hour, 2, ".sluice/segments/lost", ".sluice/uploads/x/garbage", ".sluice/renames/other", "file")
		wantSize(t, partial(t, e, s), 75)

		var wg sync.WaitGroup
		slow := &endReader{p: pattern(4000), err: io.EOF, step: 1, every: 40 * time.Second} // takes 44 hours
		opts = anns()
		opts.Resume.User = "carol"
		wg.Go(func() {
			if _, err := e.Upload(t.Context(), s, "slow", slow, opts); err != nil {
				t.Error(err)
			}
		})
		sweep(23*time.Hour, 1, ".sluice/segments/lost", ".sluice/uploads/x/garbage", ".sluice/renames/other", "file")
		if p := partial(t, e, s); p != nil {
			t.Errorf("expired: %+v", p)
		}
		sweep(7*24*time.Hour, 0, ".sluice/renames/other", "file")
		wg.Wait()
		wantOnly(t, s, ".sluice/renames/other", "file", "slow")
	})
}

// What the store fails to do while an upload is cut off or resumed costs at most the chance to resume it.
func TestResumeFaults(t *testing.T) {
	whole, again := 0, 0
	for seed := range uint64(400) {
		synctest.Test(t, func(t *testing.T) {
			c := &chaos{rnd: rand.New(rand.NewPCG(seed, 0))}
			caps := mem.DefaultCaps()
			caps.MinPart = int64(1 + 19*c.roll(2))
			s := mem.New(mem.Config{
				Caps:  &caps,
				Delay: func(string, string) time.Duration { return time.Duration(c.roll(20)) * time.Millisecond },
				Fault: func(op, _ string) error {
					if c.rate > 0 && c.roll(c.rate) == 0 {
						return fmt.Errorf("%s: %w", op, backend.ErrUnavailable)
					}
					return nil
				},
				Lost: func(op, key string) error { // the answers of records too
					if c.rate > 0 && (op == "writepart" || op == "put" && strings.HasPrefix(key, ".sluice/uploads/")) && c.roll(c.rate) == 0 {
						return fmt.Errorf("%s: %w", op, backend.ErrUnavailable)
					}
					return nil
				},
			})
			data := pattern(30 + c.roll(300))
			e := small()
			c.rate = 6 + c.roll(20)
			var err error
			for attempt := 0; ; attempt++ {
				if attempt == 12 {
					c.rate = 0
				}
				time.Sleep(20 * time.Second)
				var p *Partial
				if p, err = e.Partial(t.Context(), s, "ann", "k"); err != nil {
					continue
				}
				r := &endReader{p: data, err: io.EOF, step: 1 + c.roll(30)}
				if n := c.roll(2 * len(data)); attempt < 12 && n < len(data) {
					r.p, r.err = data[:n], io.ErrUnexpectedEOF
				}
				if p != nil {
					again++
					at := min(int(p.Size), len(r.p))
					if p.Size > int64(len(data)) {
						t.Fatalf("seed %d: partial %+v of %d", seed, p, len(data))
					}
					r.p = r.p[at:]
					_, err = e.Resume(t.Context(), s, *p, int64(at), r, anns())
				} else {
					_, err = e.Upload(t.Context(), s, "k", r, anns())
				}
				if err == nil {
					break
				}
				if attempt > 13 || attempt == 13 && !errors.Is(err, backend.ErrRange) { // a tail may have been lost
					t.Fatalf("seed %d: %v", seed, err)
				}
				if got := content(t, s, "k"); got != nil {
					t.Fatalf("seed %d: %v, but %d bytes are stored", seed, err, len(got))
				}
			}
			c.rate = 0
			if got := content(t, s, "k"); !bytes.Equal(got, data) {
				t.Fatalf("seed %d: stored %d bytes, want %d", seed, len(got), len(data))
			}
			whole++
			for range 2 {
				time.Sleep(8 * 24 * time.Hour)
				if err := e.Sweep(t.Context(), s); err != nil {
					t.Error(err)
				}
			}
			if keys := s.Keys(); !slices.Equal(keys, []string{"k"}) {
				t.Errorf("seed %d: keys %q", seed, keys)
			}
		})
	}
	if again < whole {
		t.Errorf("%d uploads were resumed %d times: the test is too kind", whole, again)
	}
}
