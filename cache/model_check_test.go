package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/backend"
)

// since is how old an answer about key may be that was asked for at start.
func (w *world) since(key string, start time.Time, ttl time.Duration, counts func(floor) bool) time.Time {
	oldest := start.Add(-ttl)
	for _, f := range w.floors[key] {
		if f.doubt && start.Sub(f.asked) < w.cache.cfg.TTL {
			f.new = start.Add(-3 * time.Second) // a Stat that was on its way may be shared
		}
		if !f.asked.After(start) && f.new.After(oldest) && counts(f) {
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
	acked := func(f floor) bool { return !f.doubt }
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
		found := slices.ContainsFunc(keys, func(key string) bool {
			h := w.history[key]
			i := slices.IndexFunc(h, func(s state) bool { return s.at.After(at) })
			if i < 0 {
				i = len(h)
			}
			return h[i-1].etag != ""
		})
		return found == alive
	})
}
