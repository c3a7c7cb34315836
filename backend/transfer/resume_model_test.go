package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/mem"
)

// story is an upload that is cut off and resumed until it is whole.
type story struct {
	Size     int
	MinPart  int64
	CopyPart bool
	Budget   int64
	Slow     time.Duration // most that an operation takes
	Old      bool          // there is an older file
	Append   int           // bytes that the older file has and the upload is put behind; -1: none
	Told     bool          // the client says how much it will send
	Chapters []chapter
}

// chapter is one attempt.
type chapter struct {
	Bytes int   // delivered before the cut
	Life  int64 // operations before the process is killed; 0: it lives
	Back  int   // how far in front of what the store has the client begins
	End   bool  // the client does not say where it begins
	Fresh bool  // in another process, even if the old one lives
	Pause time.Duration
	Step  int
	Every time.Duration
}

func drawStory(t *rapid.T) story {
	return story{
		Size:     rapid.IntRange(0, 1400).Draw(t, "size"),
		MinPart:  rapid.SampledFrom([]int64{1, 5, 20}).Draw(t, "min part"),
		CopyPart: rapid.Bool().Draw(t, "copy part"),
		Budget:   rapid.Int64Range(100, 600).Draw(t, "budget"),
		Slow:     rapid.SampledFrom([]time.Duration{0, 20 * time.Millisecond, 3 * time.Second}).Draw(t, "slow"),
		Old:      rapid.Bool().Draw(t, "old"),
		Append:   rapid.SampledFrom([]int{-1, -1, 0, 3, 40, 150}).Draw(t, "append"),
		Told:     rapid.Bool().Draw(t, "told"),
		Chapters: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) chapter {
			return chapter{
				Bytes: rapid.IntRange(0, 1400).Draw(t, "bytes"),
				Life:  rapid.SampledFrom([]int64{0, 0, rapid.Int64Range(1, 40).Draw(t, "life")}).Draw(t, "lives"),
				Back:  rapid.IntRange(0, 100).Draw(t, "back"),
				End:   rapid.Bool().Draw(t, "end"),
				Fresh: rapid.Bool().Draw(t, "fresh"),
				Pause: rapid.SampledFrom([]time.Duration{0, time.Second, 20 * time.Second}).Draw(t, "pause"),
				Step:  rapid.IntRange(1, 50).Draw(t, "step"),
				Every: rapid.SampledFrom([]time.Duration{0, 300 * time.Millisecond}).Draw(t, "every"),
			}
		}), 0, 5).Draw(t, "chapters"),
	}
}

// play plays the story and returns what was wrong.
func (s story) play(t *testing.T) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		caps := smallCaps()
		caps.MinPart, caps.CopyPart, caps.MaxPut, caps.MaxCopyPart = s.MinPart, s.CopyPart, 4000, 1000
		if !s.CopyPart || s.MinPart < 20 { // otherwise there are segments
			caps.MaxParts = 100
		}
		var calls atomic.Int64
		store := mem.New(mem.Config{Caps: &caps, Delay: func(string, string) time.Duration {
			return s.Slow * time.Duration(calls.Add(7)%10) / 10 // parts overtake each other
		}})
		data := pattern(s.Size)
		var base backend.Object
		head := 0
		switch {
		case s.Append >= 0:
			head = s.Append
			data = append(pattern(s.Append), data...)
			base = mustPut(t, store, "k", data[:head])
		case s.Old:
			base = mustPut(t, store, "k", []byte("old"))
		}
		old := content(t, store, "k")
		cfg := Config{PartSize: 20, Budget: NewBudget(s.Budget, 0)}
		e, kills := New(cfg), 0
		chapters := append(slices.Clone(s.Chapters), chapter{Bytes: math.MaxInt})
		for i, c := range chapters {
			if c.Fresh {
				e = New(cfg)
			}
			life := c.Life
			if life == 0 {
				life = math.MaxInt64
			}
			m := newMortal(store, life)
			p, err := e.Partial(ctx, store, "ann", "k")
			if err != nil {
				fault("chapter %d: Partial: %v", i, err)
				return
			}
			if p != nil && (p.Size > int64(len(data)) || p.Base != base.ETag || p.Key != "k") {
				fault("chapter %d: partial %+v of %d", i, p, len(data))
				return
			}
			opts := UploadOptions{Resume: &Resumption{User: "ann", Base: base.ETag, For: 24 * time.Hour}}
			at, had := int64(head), int64(0)
			r := &endReader{err: io.ErrUnexpectedEOF, step: c.Step, every: c.Every}
			if p != nil {
				had = p.Size
				at = max(p.Size-int64(c.Back), 0)
				if c.End {
					at = p.Size
				}
			}
			r.p = data[at:]
			if s.Told {
				opts.Size = int64(len(r.p))
			}
			if c.Bytes < len(r.p) {
				r.p = r.p[:c.Bytes]
			} else if i == len(chapters)-1 || c.Life > 0 {
				r.err = io.EOF
			}
			came := at + int64(len(r.p))
			var obj backend.Object
			switch {
			case p != nil:
				offset := at
				if c.End {
					offset = AtEnd
				}
				obj, err = e.Resume(ctx, m, *p, offset, r, opts)
			case s.Append >= 0:
				obj, err = e.Append(ctx, m, base, int64(head), r, opts)
			default:
				obj, err = e.Upload(ctx, m, "k", r, opts)
			}
			if err == nil && r.err == io.EOF {
				if obj.Size != int64(len(data)) {
					fault("%d bytes, want %d", obj.Size, len(data))
				}
				if m.dead() {
					kills++
				}
				break
			}
			if err == nil || i == len(chapters)-1 {
				fault("chapter %d of %d: %v", i, len(chapters), err)
				return
			}
			if got := content(t, store, "k"); !bytes.Equal(got, old) {
				fault("chapter %d: the old file is %d bytes now", i, len(got))
			}
			switch {
			case m.dead():
				kills++
				e = New(cfg)
			case !errors.Is(err, io.ErrUnexpectedEOF):
				fault("chapter %d: %v", i, err)
			default: // every byte that came is kept
				p, err := e.Partial(ctx, store, "ann", "k")
				want := max(came, had)
				if err != nil || p == nil && want > int64(head) || p != nil && p.Size != want {
					fault("chapter %d: partial %+v, %v, want %d bytes", i, p, err, want)
				}
			}
			time.Sleep(c.Pause)
		}
		if got := content(t, store, "k"); !bytes.Equal(got, data) {
			fault("stored %d bytes, want %d", len(got), len(data))
		}
		if p, err := e.Partial(ctx, store, "ann", "k"); err != nil || p != nil && p.Base == "" == (base.ETag == "") && kills == 0 {
			fault("partial %+v, %v, of a file that is whole", p, err)
		}
		if kills > 0 { // what the dead have left is swept
			for range 2 {
				time.Sleep(8 * 24 * time.Hour)
				if err := e.Sweep(ctx, store); err != nil {
					fault("sweep: %v", err)
				}
			}
		}
		if keys := store.Keys(); !slices.Equal(keys, []string{"k"}) {
			fault("keys %q", keys)
		}
		// Between the beginning of an upload and its record nobody can know of it.
		if up := store.Uploads(); len(up) > kills {
			fault("unfinished uploads: %q after %d kills", up, kills)
		}
		if used := cfg.Budget.Used(); used != 0 {
			fault("%d bytes of the budget are lost", used)
		}
	})
	return faults
}

// TestResumeJoining: a process is killed at each of the steps in which it joins segments. What is joined already is not counted twice.
func TestResumeJoining(t *testing.T) {
	for life := range int64(120) {
		for _, appended := range []int{-1, 40} {
			for _, told := range []bool{false, true} {
				s := story{Size: 1170, MinPart: 20, CopyPart: true, Budget: 127, Append: appended, Told: told, Chapters: []chapter{
					{Bytes: math.MaxInt, Life: life + 1, Pause: 20 * time.Second, Step: 50}, {Bytes: 1, Step: 50}, {Bytes: 400, Life: life/2 + 1, Fresh: true, Step: 50},
				}}
				if faults := s.play(t); len(faults) > 0 {
					t.Fatalf("%+v: %q", s, faults)
				}
			}
		}
	}
}

// TestResumeStories: however often an upload is cut off or its process killed, and wherever it is resumed, the file that results is the one that
// was sent, what came is kept to the last byte unless the process died, and nothing stays behind.
func TestResumeStories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt)
		if faults := s.play(t); len(faults) > 0 {
			rt.Fatalf("%+v: %q", s, faults)
		}
	})
}
