// Package transfer moves bytes between a reader or writer and a backend.Store: uploads of unknown length, appends,
// downloads with read-ahead, and server-side copies of any size. backend/vfs calls it. It knows no names, no users and
// no protocol; keys and versions are all it is told.
//
// # Memory
//
// A Store takes a part as one slice, so that it can send it again. A part buffer begins with 64 KiB and grows by a quarter, up to the size
// of the part, as bytes arrive: a thousand slow uploads cost little more than what they have sent. An upload that has brought its last part at a mebibyte
// a second gets the next buffer whole, and waits for one: then they go from hand to hand as they are. On Linux a buffer grows where it lies, since its pages
// come into being when they are written; elsewhere it is copied to a Go slice twice as long.
//
// Every buffer is counted by one Budget, those that wait to be used again too. When it is used up, readers are simply not read, which slows their senders down. See Budget for
// why that cannot end in a deadlock.
//
// # Large files
//
// The size of the parts is PartSize for the first thousand, twice that for the next, then four and at last eight times, which bounds
// memory. When four fifths of the part numbers are used, what follows goes into hidden objects, the segments, which are
// joined to the file inside the store at the end.
//
// # Uploads that are cut off
//
// An upload whose UploadOptions say so leaves what the store has of it, and a record of that; see Engine.Resume.
package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"sluice/backend"
)

// Config of an Engine. The zero value of every field is a usable default.
type Config struct {
	Budget   *Budget       // memory for buffers, shared by every Engine that is given it; nil: one of DefaultMemory
	PartSize int64         // of the first parts of an upload, in bytes; default 8 MiB
	Parallel int           // parts or ranges of one transfer that are under way at once; default 8
	Patience time.Duration // how long a new transfer waits for its first buffer; default 10 s
	Segments string        // key prefix of the segments; default ".sluice/segments/"
	Uploads  string        // key prefix of the records of uploads that can be resumed; default ".sluice/uploads/"
	Tails    string        // key prefix of what such uploads have left that is no part; default ".sluice/tails/"
}

// Engine moves bytes. Its methods may be called concurrently.
type Engine struct {
	cfg       Config
	budget    *Budget
	uploads   atomic.Int64
	downloads atomic.Int64

	id      string // in the records of what this Engine works on
	records *lru.Cache[string, known]

	mu      sync.Mutex
	running map[place][]*keeper
	seen    map[place]sight
}

// place is a record in a store.
type place struct {
	store any
	key   string
}

// known records, and sights, are kept of so many.
const maxKnown = 10_000

// New returns an Engine.
func New(cfg Config) *Engine {
	if cfg.Budget == nil {
		cfg.Budget = NewBudget(0, 0)
	}
	if cfg.PartSize <= 0 {
		cfg.PartSize = 8 << 20
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = 8
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 10 * time.Second
	}
	if cfg.Segments == "" {
		cfg.Segments = ".sluice/segments/"
	}
	if cfg.Uploads == "" {
		cfg.Uploads = ".sluice/uploads/"
	}
	if cfg.Tails == "" {
		cfg.Tails = ".sluice/tails/"
	}
	records, err := lru.New[string, known](maxKnown)
	if err != nil {
		panic(err) // it wants a size above 0
	}
	id := rand.Text()
	if name := process().name; name != "" {
		id = name + "." + id
	}
	return &Engine{
		cfg: cfg, budget: cfg.Budget, id: id, records: records, running: map[place][]*keeper{}, seen: map[place]sight{},
	}
}

// Stats are gauges of an Engine.
type Stats struct {
	Uploads     int64 // running now
	Downloads   int64 // open now
	BufferBytes int64 // handed out by the Budget now
	BufferLimit int64 // size of the Budget
}

// Stats returns the present values.
func (e *Engine) Stats() Stats {
	return Stats{
		Uploads: e.uploads.Load(), Downloads: e.downloads.Load(),
		BufferBytes: e.budget.Used(), BufferLimit: e.budget.Size(),
	}
}

const (
	commitTimeout = 10 * time.Minute // joining ten thousand parts takes a store minutes
	dropTimeout   = 30 * time.Second
	attempts      = 5 // of a clean-up, and of a read that makes no progress
)

// settle returns a context for a step whose outcome must be known: it does not end with ctx. It refuses to begin where ctx
// has ended already.
func settle(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	c, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	return c, cancel, nil
}

// retry calls f until it returns nil, at most attempts times with growing pauses.
func retry(ctx context.Context, f func(context.Context) error) error {
	for i := 1; ; i++ {
		err := f(ctx)
		if err == nil || i == attempts || pause(ctx, i) != nil {
			return err
		}
	}
}

// pause waits 100 ms, twice that after the second failure, and so on.
func pause(ctx context.Context, failures int) error {
	t := time.NewTimer(100 * time.Millisecond << (failures - 1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// final reports errors that asking again does not mend.
func final(err error) bool {
	for _, e := range []error{
		backend.ErrNotExist, backend.ErrPermission, backend.ErrUnsupported, backend.ErrChanged, backend.ErrTooLarge,
		backend.ErrArchived, backend.ErrBadKey, backend.ErrRange, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func sizeError(got, want int64) error {
	return fmt.Errorf("the store holds %d bytes, %d were sent: %w", got, want, backend.ErrUnavailable)
}
