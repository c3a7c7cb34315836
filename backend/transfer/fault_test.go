package transfer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// chaos fails one operation in rate, and delays each a little.
type chaos struct {
	mu   sync.Mutex
	rnd  *rand.Rand
	rate int
}

func (c *chaos) roll(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.IntN(n)
}

func (c *chaos) store(caps backend.Caps) *mem.Store {
	fail := func(op, _ string) error {
		if c.rate > 0 && c.roll(c.rate) == 0 {
			return fmt.Errorf("%w: %w", errBroken, backend.ErrUnavailable)
		}
		return nil
	}
	return mem.New(mem.Config{
		Caps: &caps, Fault: fail,
		Delay: func(string, string) time.Duration { return time.Duration(c.roll(20)) * time.Millisecond },
		Lost: func(op, key string) error { // what has no effect that can be seen may fail afterwards too
			if slices.Contains([]string{"writepart", "copypart", "open", "stat"}, op) {
				return fail(op, key)
			}
			return nil
		},
		Cut: func(string) (int64, error) {
			if c.rate > 0 && c.roll(c.rate) == 0 {
				return int64(c.roll(200)), errBroken
			}
			return 0, nil
		},
	})
}

// Whatever fails and whenever: success is the right object, failure is the old one, and nothing else stays behind.
func TestRandomTransfers(t *testing.T) {
	succeeded := 0
	for seed := range uint64(500) {
		synctest.Test(t, func(t *testing.T) {
			c := &chaos{rnd: rand.New(rand.NewPCG(seed, 0))}
			caps := smallCaps()
			caps.CopyPart = c.roll(4) > 0
			s := c.store(caps)
			e := New(Config{PartSize: 10, Budget: NewBudget(int64(50+c.roll(500)), 0)})
			old := pattern(c.roll(450))
			base := mustPut(t, s, "k", old)

			data := pattern(c.roll(700))
			r := &endReader{p: data, err: io.EOF, step: 1 + c.roll(100), every: time.Duration(c.roll(5)) * time.Millisecond}
			if c.roll(10) == 0 {
				r.err = io.ErrUnexpectedEOF
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+c.roll(2000))*time.Millisecond)
			defer cancel()
			c.rate = 10 + c.roll(100)
			var err error
			want, keys := data, []string{"k"}
			switch c.roll(4) {
			case 0:
				_, err = e.Upload(ctx, s, "k", r, UploadOptions{Size: int64(c.roll(1000))})
			case 1:
				offset := c.roll(len(old) + 1)
				want = append(bytes.Clone(old[:offset]), data...)
				_, err = e.Append(ctx, s, base, int64(offset), r, UploadOptions{})
			case 2:
				want = old
				if _, err = e.Copy(ctx, s, "l", base, backend.CopyOptions{}); err == nil {
					keys = append(keys, "l")
				}
			case 3:
				want = slices.Concat(old, old, old)
				_, err = e.Concat(ctx, s, "k", []Source{{Object: base}, {Object: base}, {Object: base}}, backend.PutOptions{If: backend.Condition{ETag: base.ETag}})
			}
			c.rate = 0
			if err == nil {
				succeeded++
			} else {
				want = old
			}
			if got := content(t, s, keys[len(keys)-1]); !bytes.Equal(got, want) || r.late {
				t.Errorf("seed %d: %d bytes, want %d; late %v; %v", seed, len(got), len(want), r.late, err)
			}
			wantOnly(t, s, keys...)
			if e.Stats() != (Stats{BufferLimit: e.budget.size}) {
				t.Errorf("seed %d: left over: %+v", seed, e.Stats())
			}
		})
	}
	if succeeded < 100 || succeeded > 400 {
		t.Errorf("%d of 500 succeeded: the faults are set wrongly", succeeded)
	}
}
