package cache

import (
	"context"
	"fmt"
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
	Spread  int // few keys and little time make for much that happens at once
	Lists   bool
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
		Spread:  rapid.IntRange(1, 4).Draw(t, "spread"),
		Lists:   rapid.Bool().Draw(t, "lists"),
		Seed:    rapid.Uint64().Draw(t, "seed"),
		Actions: rapid.SliceOfN(one, 50, 250).Draw(t, "actions"),
	}
}

// fit makes an action of what the plan wants.
func (a *action) fit(p plan) {
	a.At = a.At * time.Duration(p.Spread) / 4
	if a.What == "list" && p.Lists {
		return
	}
	keys := modelKeys[:p.Spread*len(modelKeys)/4]
	for _, key := range []*string{&a.Key, &a.Src} {
		if i := slices.Index(modelKeys, *key); i >= 0 {
			*key = keys[i%len(keys)]
		}
	}
	if a.What == "list" {
		a.What, a.Key = "stat", a.Src
	}
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// state is what was at a key from then on.
type state struct {
	at   time.Time
	etag string // empty: nothing
}

// floor says that answers to questions asked from then on must be as new as that. In doubt, they must come from the store,
// for as long as the doubt lasts.
type floor struct {
	asked, new time.Time
	put, doubt bool
}

// world runs a plan.
type world struct {
	plan
	store *mem.Store
	cache *Cache
	own   *Store

	mu      sync.Mutex
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

// run plays the plan and returns what was wrong.
func (p plan) run(t *testing.T) (faults []string, answers map[string]int) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			plan: p, cache: chunked(2, Config{Memory: p.Memory}), store: mem.New(mem.Config{Page: 3}),
			history: map[string][]state{}, floors: map[string][]floor{}, answers: map[string]int{},
		}
		w.own = w.cache.Wrap("s", slow{w.store, w})
		for _, key := range modelKeys {
			w.history[key] = []state{{at: time.Now().Add(-time.Hour)}}
		}
		var wg, late sync.WaitGroup
		for _, a := range p.Actions {
			a.fit(p)
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
		f = floor{asked: now, doubt: true}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.floors[a.Key] = append(w.floors[a.Key], f)
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
