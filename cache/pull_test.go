package cache

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// gate holds back the answers, or before the requests, of one operation on one key until it is opened.
type gate struct {
	mu   sync.Mutex
	shut map[string]chan struct{}
}

// close shuts the gate for the next call of op on key, and returns what opens it.
func (g *gate) close(op, key string) (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = map[string]chan struct{}{}
	}
	c := make(chan struct{})
	g.shut[op+" "+key] = c
	return sync.OnceFunc(func() { close(c) })
}

func (g *gate) pass(op, key string) error {
	g.mu.Lock()
	c := g.shut[op+" "+key]
	delete(g.shut, op+" "+key)
	g.mu.Unlock()
	if c != nil {
		<-c
	}
	return nil
}

// A page that is on its way while its listing changes is neither shared with newcomers nor kept as it was.
func TestSlowList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers gate
		c := chunked(2, Config{})
		m, s := fixture(c, mem.Config{Lost: answers.pass, Page: 5})
		put(t, m.Store, "d/1", "d/2", "d/4", "d/5")
		open := answers.close("list", "d/")
		go lists(t, s, "d/", "d/1", "d/2", "d/4", "d/5")
		synctest.Wait()
		put(t, s, "d/3", "d/sub/x", "e")
		if err := s.Delete(ctx, "d/4", backend.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		lists(t, s, "d/", "d/1", "d/2", "d/3", "d/5", "d/sub/")
		c.lists.forgetPrefix(id{0, "d/"})
		open()
		synctest.Wait()
		before := m.Count("list")
		lists(t, s, "d/", "d/1", "d/2", "d/3", "d/5", "d/sub/")
		if m.Count("list") == before {
			t.Error("the late page was kept although everything was forgotten")
		}
		settled(t, c)
	})
	// A listing is patched with what happens to it while it is read: a busy directory stays cached.
	synctest.Test(t, func(t *testing.T) {
		c := chunked(2, Config{})
		m, s := fixture(c, mem.Config{Page: 10})
		put(t, m.Store, "d/1", "d/2", "d/4", "d/5", "d/6")
		m.are(t, "setup", none{"put": 5})
		for e, err := range s.List(ctx, "d/", backend.ListOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Key == "d/1" { // the store's page is in hand by now
				put(t, s, "d/3")
				if err := s.Delete(ctx, "d/6", backend.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		m.are(t, "one page", none{"list": 1, "put": 1, "delete": 1})
		lists(t, s, "d/", "d/1", "d/2", "d/3", "d/4", "d/5")
		m.are(t, "and none more", none{})
		settled(t, c)
	})
}

// A page may be newer than what a mutation, begun before it was asked for, says about a row. Then it is only as good.
func TestOldNews(t *testing.T) {
	for _, first := range []string{"page", "mutation"} {
		t.Run(first+" first", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var answers gate
				m, s := fixture(New(Config{}), mem.Config{Lost: answers.pass})
				acknowledge, send := answers.close("put", "k"), answers.close("list", "")
				go put(t, s, "k")
				time.Sleep(4 * time.Second)
				drop(t, m.Store, "k") // by somebody else
				go lists(t, s, "")
				synctest.Wait()
				order := []func(){send, acknowledge}
				if first == "mutation" {
					slices.Reverse(order)
				}
				for _, open := range order {
					open()
					synctest.Wait()
				}
				lists(t, s, "", "k")
				time.Sleep(time.Second)
				lists(t, s, "") // 5 s after the mutation, not after the page
			})
		})
	}
}

// What the store's listing has in hand after a pause is not passed on to newcomers as if it were new.
func TestOldPull(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(m *mem.Store, s *Store)
	}{
		{"own writes", func(_ *mem.Store, s *Store) { put(t, s, "k4") }},
		{"time", func(m *mem.Store, _ *Store) { put(t, m, "k4"); time.Sleep(5 * time.Second) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var answers gate
				c := chunked(2, Config{})
				m, s := fixture(c, mem.Config{Page: 5, Lost: answers.pass})
				put(t, m.Store, "k0", "k1", "k2", "k3", "k5", "k6")
				n := 0
				for e, err := range s.List(ctx, "", backend.ListOptions{}) { // k0 to k5 are in hand
					if err != nil {
						t.Fatal(err)
					}
					switch n++; e.Key {
					case "k1":
						tt.change(m.Store, s)
					case "k3":
						// The next chunk, k5 and k6, waits for a page.
						open := answers.close("list", "")
						var wg sync.WaitGroup
						wg.Go(func() {
							time.Sleep(time.Second)
							var got []string
							for e, err := range s.List(ctx, "", backend.ListOptions{After: "k3"}) {
								if err != nil {
									t.Error(err)
								}
								got = append(got, e.Key)
							}
							if !slices.Equal(got, []string{"k4", "k5", "k6"}) {
								t.Errorf("a newcomer is told %q", got)
							}
						})
						defer wg.Wait()
						time.AfterFunc(2*time.Second, open)
					}
				}
				if n < 6 {
					t.Errorf("%d rows", n)
				}
			})
		})
	}
}
