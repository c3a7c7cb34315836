package cache

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/mem"
)

// The model is a plain map from key to the history of what was there. A plan of overlapping operations, our own through the
// cache and foreign ones behind its back, runs in a bubble of fake time on a store that is slow both ways; then every
// answer is held against the history.

var (
	modelKeys     = []string{"a", "b/", "b/x", "b/y", "b/c/", "b/c/z", "d/1", "d/2", "d/3", "d/4", "d/e/f", "g"}
	modelPrefixes = []string{"", "b/", "b/c/", "d/", "d/e/", "none/"}
)

// action is one operation of a plan.
type action struct {
	What     string
	At       time.Duration // since the start
	Key, Src string
	To, Fro  time.Duration // how long the request and the answer of a mutation take
	Rest     int           // for a list: of how many rows each is consumed slowly, and after how many it is left
	Limit    int
	Cancel   time.Duration // 0: never
}

type plan struct {
	Memory  int64
	Seed    uint64
	Actions []action
}

var modelActions = []string{
	"put", "put", "put", "upload", "delete", "delete", "copy", "lost", "late", "foreign put", "foreign put", "foreign delete",
	"told put", "told delete", "told tree", "stat", "stat", "stat", "stat", "list", "list", "list", "list", "open",
}

// drawPlan leaves it to rapid how many actions there are and which of them a failure needs; the rest of an action comes
// evenly spread from dice of its own, since rapid prefers small numbers, and then everything would happen at once.
func drawPlan(t *rapid.T) plan {
	one := rapid.Custom(func(t *rapid.T) action {
		var seed [32]byte
		copy(seed[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "seed"))
		r := rand.New(rand.NewChaCha8(seed))
		us := func(most int) time.Duration { return time.Duration(r.IntN(most*1_000_000)) * time.Microsecond }
		a := action{
			What: pick(r, modelActions), At: us(60), Key: pick(r, modelKeys), Src: pick(r, modelKeys), To: us(2), Fro: us(2),
		}
		if r.IntN(10) == 0 {
			a.Cancel = us(3) + 1
		}
		if a.What == "list" {
			a.Key, a.Rest, a.Limit = pick(r, modelPrefixes), max(0, r.IntN(6)-3), max(0, r.IntN(8)-4)
		}
		return a
	})
	return plan{
		Memory:  rapid.SampledFrom([]int64{0, 0, 96 << 10, 32 << 10}).Draw(t, "memory"),
		Seed:    rapid.Uint64().Draw(t, "seed"),
		Actions: rapid.SliceOfN(one, 50, 250).Draw(t, "actions"),
	}
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// state is what was at a key from then on.
type state struct {
	at   time.Time
	etag string // empty: nothing
}

// floor says that answers to questions asked from then on must be as new as that. until ends it, if set.
type floor struct {
	asked, new, until time.Time
	put               bool
}

// world runs a plan.
type world struct {
	plan
	t     testing.TB
	store *mem.Store
	cache *Cache
	own   *Store

	mu      sync.Mutex
	random  *rand.Rand
	history map[string][]state
	floors  map[string][]floor
	faults  []string
	answers map[string]int
}

func (w *world) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// pause is how long a request or an answer of a read takes.
func (w *world) pause() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.random.IntN(1_500_000)) * time.Microsecond
}

type byModel struct{}

// slow is the store as the cache sees it: each request and each answer takes time.
type slow struct {
	*mem.Store
	w *world
}

func (s slow) Stat(ctx context.Context, key string) (backend.Object, error) {
	if err := wait(ctx, s.w.pause()); err != nil {
		return backend.Object{}, err
	}
	o, err := s.Store.Stat(ctx, key)
	if late := wait(ctx, s.w.pause()); late != nil {
		return backend.Object{}, late
	}
	return o, err
}

// List holds each page back, request and answer.
func (s slow) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		n := 0
		for e, err := range s.Store.List(ctx, prefix, opts) {
			if n%3 == 0 { // mem made a new page for this row
				if late := wait(ctx, s.w.pause()); late != nil {
					yield(backend.Entry{}, late)
					return
				}
			}
			if n++; !yield(e, err) {
				return
			}
		}
	}
}

func (s slow) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (o backend.Object, err error) {
	return s.w.slowly(ctx, key, func(ctx context.Context) (backend.Object, error) { return s.Store.Put(ctx, key, p, opts) })
}

func (s slow) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	return s.w.slowly(ctx, dst, func(ctx context.Context) (backend.Object, error) { return s.Store.Copy(ctx, dst, src, opts) })
}

func (s slow) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	_, err := s.w.slowly(ctx, key, func(ctx context.Context) (backend.Object, error) {
		return backend.Object{}, s.Store.Delete(ctx, key, opts)
	})
	return err
}

func (s slow) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	u, err := s.Store.NewUpload(ctx, key, opts)
	return slowUpload{u, s.w, key}, err
}

type slowUpload struct {
	backend.Upload
	w   *world
	key string
}

func (u slowUpload) Commit(ctx context.Context, parts int) (backend.Object, error) {
	return u.w.slowly(ctx, u.key, func(ctx context.Context) (backend.Object, error) { return u.Upload.Commit(ctx, parts) })
}

// slowly does a mutation as the action in ctx says, and writes the history.
func (w *world) slowly(ctx context.Context, key string, do func(context.Context) (backend.Object, error)) (backend.Object, error) {
	a := ctx.Value(byModel{}).(*doing)
	if err := wait(ctx, a.To); err != nil {
		return backend.Object{}, err
	}
	land := func() (backend.Object, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		o, err := do(context.WithoutCancel(ctx))
		if err == nil {
			a.landed = time.Now()
			w.history[key] = append(w.history[key], state{a.landed, o.ETag})
		}
		return o, err
	}
	if a.What == "late" {
		a.late.Go(func() {
			time.Sleep(a.Fro * 5)
			_, _ = land()
		})
		return backend.Object{}, errOdd
	}
	o, err := land()
	if late := wait(ctx, a.Fro); late != nil {
		return backend.Object{}, late
	}
	if a.What == "lost" {
		return backend.Object{}, errOdd
	}
	return o, err
}

// doing is an action while it is done.
type doing struct {
	action
	landed time.Time
	late   *sync.WaitGroup
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run plays the plan and returns what was wrong.
func (p plan) run(t *testing.T) (faults []string, answers map[string]int) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			plan: p, t: t, cache: rows(2, Config{Memory: p.Memory}), store: mem.New(mem.Config{Page: 3}),
			random: rand.New(rand.NewPCG(p.Seed, 0)), history: map[string][]state{}, floors: map[string][]floor{}, answers: map[string]int{},
		}
		w.own = w.cache.Wrap("s", slow{w.store, w})
		for _, key := range modelKeys {
			w.history[key] = []state{{at: time.Now().Add(-time.Hour)}}
		}
		var wg, late sync.WaitGroup
		for _, a := range p.Actions {
			wg.Go(func() {
				time.Sleep(a.At)
				w.do(&doing{action: a, late: &late})
				if b := w.cache.Stats().Bytes; b > w.cache.cfg.Memory {
					w.fault("%d bytes of %d", b, w.cache.cfg.Memory)
				}
			})
		}
		wg.Wait()
		late.Wait()
		for _, err := range audit(w.cache) {
			w.fault("audit: %v", err)
		}
		faults, answers = w.faults, w.answers
	})
	return faults, answers
}

func (w *world) do(a *doing) {
	ctx := context.WithValue(ctx, byModel{}, a)
	if a.Cancel > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.Cancel)
		defer cancel()
	}
	start, put := time.Now(), true
	var err error
	switch who, what, told := strings.Cut(a.What, " "); {
	case a.What == "stat":
		w.stat(ctx, a)
		return
	case a.What == "list":
		w.list(ctx, a)
		return
	case a.What == "open": // forgets at most
		_, _, _ = w.own.Open(ctx, a.Key, backend.OpenOptions{})
		return
	case told: // foreign: at once
		a.To, a.Fro = 0, 0
		if behind := (slow{w.store, w}); what == "delete" {
			put, err = false, behind.Delete(ctx, a.Key, backend.DeleteOptions{})
		} else {
			_, err = behind.Put(ctx, a.Key, nil, backend.PutOptions{})
		}
		switch {
		case who == "foreign" || err != nil:
			return
		case what == "tree":
			w.cache.InvalidatePrefix("s", a.Key[:1])
		default:
			w.cache.Invalidate("s", a.Key)
		}
	case a.What == "put" || a.What == "lost" || a.What == "late":
		_, err = w.own.Put(ctx, a.Key, nil, backend.PutOptions{})
	case a.What == "delete":
		put, err = false, w.own.Delete(ctx, a.Key, backend.DeleteOptions{})
	case a.What == "copy":
		_, err = w.own.Copy(ctx, a.Key, a.Src, backend.CopyOptions{})
	case a.What == "upload":
		var u backend.Upload
		if u, err = w.own.NewUpload(ctx, a.Key, backend.PutOptions{}); err == nil {
			err = u.WritePart(ctx, 1, nil)
		}
		if err == nil {
			_, err = u.Commit(ctx, 1)
		}
	}
	now := time.Now()
	if now.Sub(start) > a.To+a.Fro+time.Microsecond {
		w.fault("%s %q took %v", a.What, a.Key, now.Sub(start))
	}
	f := floor{asked: now, new: a.landed, put: put}
	if err != nil {
		if final(err) || w.Memory != 0 { // with little memory even a doubt may be evicted
			return
		}
		f = floor{asked: now, new: now, until: now.Add(30 * time.Second)}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.floors[a.Key] = append(w.floors[a.Key], f)
}

// since is how old an answer about key may be that was asked for at start.
func (w *world) since(key string, start time.Time, ttl time.Duration, counts func(floor) bool) time.Time {
	oldest := start.Add(-ttl)
	for _, f := range w.floors[key] {
		if !f.asked.After(start) && (f.until.IsZero() || start.Before(f.until)) && f.new.After(oldest) && counts(f) {
			oldest = f.new
		}
	}
	return oldest
}

// was reports whether etag was at key at some time between from and to.
func (w *world) was(key, etag string, from, to time.Time) bool {
	h := w.history[key]
	for i, s := range h {
		if s.etag == etag && !s.at.After(to) && (i == len(h)-1 || !h[i+1].at.Before(from)) {
			return true
		}
	}
	return false
}

func (w *world) stat(ctx context.Context, a *doing) {
	start := time.Now()
	o, err := w.own.Stat(ctx, a.Key)
	end := time.Now()
	w.mu.Lock()
	ttl := w.cache.cfg.TTL
	if errors.Is(err, backend.ErrNotExist) {
		ttl = w.cache.cfg.NegativeTTL
	}
	all := func(floor) bool { return true }
	good := w.was(a.Key, o.ETag, w.since(a.Key, start, ttl, all), end)
	if end.Equal(start) && err == nil {
		w.answers["cached stat"]++
	}
	w.mu.Unlock()
	switch {
	case err != nil && ctx.Err() != nil:
	case err != nil && !errors.Is(err, backend.ErrNotExist):
		w.fault("stat %q: %v", a.Key, err)
	case !good:
		w.fault("stat %q from %v to %v: %q; history %v, floors %v", a.Key, start, end, o.ETag, w.history[a.Key], w.floors[a.Key])
	}
}

func (w *world) list(ctx context.Context, a *doing) {
	start, n := time.Now(), 0
	rows := map[string]string{} // to ETags
	last, to := "", "\xff"      // how far it got
	for e, err := range w.own.List(ctx, a.Key, backend.ListOptions{Limit: a.Limit}) {
		if err != nil {
			if ctx.Err() == nil {
				w.fault("list %q: %v", a.Key, err)
			}
			return
		}
		if e.Key <= last {
			w.fault("list %q: %q behind %q", a.Key, e.Key, last)
		}
		last = e.Key
		rows[e.Key] = e.ETag
		if e.Prefix {
			rows[e.Key] = "prefix"
		}
		time.Sleep(time.Duration(a.Rest) * 300 * time.Millisecond)
		if n++; n == a.Limit {
			to = last
			break
		}
	}
	end := time.Now()
	w.mu.Lock()
	if end.Equal(start) {
		w.answers["cached list"]++
	}
	wrong := w.compare(a.Key, rows, to, start, end)
	w.mu.Unlock()
	if wrong != "" {
		w.fault("list %q from %v to %v: %v up to %q: %s", a.Key, start, end, rows, to, wrong)
	}
}

// compare holds a listing up to a row against the history.
func (w *world) compare(prefix string, rows map[string]string, to string, start, end time.Time) string {
	ttl := w.cache.cfg.ListTTL
	acked := func(f floor) bool { return f.until.IsZero() }
	below := map[string][]string{}
	for _, key := range modelKeys {
		rest, ok := strings.CutPrefix(key, prefix)
		if i := strings.IndexByte(rest, '/'); ok && i >= 0 {
			dir := prefix + rest[:i+1]
			below[dir] = append(below[dir], key)
			continue
		}
		if !ok || key > to {
			continue
		}
		if oldest := w.since(key, start, ttl, acked); !w.was(key, rows[key], oldest, end) {
			return fmt.Sprintf("%q is %q, not so since %v; history %v", key, rows[key], oldest, w.history[key])
		}
		delete(rows, key)
	}
	for dir, keys := range below {
		if dir > to {
			continue
		}
		oldest := start.Add(-ttl)
		if rows[dir] == "" { // our own new file makes a directory; our own removal of the last one we know of need not end it
			for _, key := range keys {
				if t := w.since(key, start, ttl, func(f floor) bool { return acked(f) && f.put }); t.After(oldest) {
					oldest = t
				}
			}
		}
		if !w.lived(keys, rows[dir] != "", oldest, end) {
			return fmt.Sprintf("%q is %q, not so since %v", dir, rows[dir], oldest)
		}
		delete(rows, dir)
	}
	if len(rows) > 0 {
		return fmt.Sprintf("%v never were", rows)
	}
	return ""
}

// lived reports whether at some time between from and to there was one of the keys, or none of them.
func (w *world) lived(keys []string, alive bool, from, to time.Time) bool {
	times := []time.Time{from, to}
	for _, key := range keys {
		for _, s := range w.history[key] {
			if s.at.After(from) && !s.at.After(to) {
				times = append(times, s.at, s.at.Add(-1))
			}
		}
	}
	return slices.ContainsFunc(times, func(at time.Time) bool {
		any := slices.ContainsFunc(keys, func(key string) bool {
			h := w.history[key]
			i := slices.IndexFunc(h, func(s state) bool { return s.at.After(at) })
			if i < 0 {
				i = len(h)
			}
			return h[i-1].etag != ""
		})
		return any == alive
	})
}

func TestModel(t *testing.T) {
	answers := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		faults, got := p.run(t)
		for what, n := range got {
			answers[what] += n
		}
		if len(faults) > 0 {
			rt.Fatalf("%s", strings.Join(faults, "\n"))
		}
	})
	t.Log(answers)
	if answers["cached stat"] < 100 || answers["cached list"] < 100 {
		t.Errorf("the cache answered so little that the test says nothing: %v", answers)
	}
}
