package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Resumption makes an upload one that can be resumed. The store must be Conditional; in others nothing is kept.
type Resumption struct {
	User   string           // whose it is: nobody else's Partial finds it
	Name   string           // key that the user asked for, where the file gets another; empty: that of the file
	Base   string           // version of the object at Name before the upload; empty: there was none
	For    time.Duration    // how long it is kept after the last byte
	Refuse func(error) bool // says of an error that ended the upload that nothing is to be kept; nil: of none
}

// Errors of uploads that can be resumed.
var (
	ErrBusy = errors.New("busy")              // somebody else works on it
	ErrGone = errors.New("nothing to resume") // the store does not have it any more
)

// What owners of records keep to, and who would like to be the next.
const (
	Beat   = 5 * time.Second // between two writes of a record while its owner lives
	Tenure = 2 * Beat        // so long after the last write something may be begun
	Watch  = Tenure + Beat/2 // a record that has not changed for so long has no owner who begins anything
)

const (
	skew   = 2 * time.Minute  // the most that the clocks of store and machine may differ
	linger = 15 * time.Second // for parts that are under way when an upload is cut off
)

// keeper writes the record of one upload.
type keeper struct {
	u      *upload
	opts   Resumption
	place  place
	ctx    context.Context // of the beats; outlives that of the upload
	cancel context.CancelFunc
	done   chan struct{} // closed when the upload has ended and the record says so

	heardAt   atomic.Int64 // when the client's last bytes came, since start
	waitingAt atomic.Int64 // since when it is waited for more; -1: it is not
	start     time.Time

	nonce  string        // begins the serials of this upload's records, and no others
	saving chan struct{} // has room while the record is not written

	mu      sync.Mutex
	etag    string    // of the record; empty: there is none of this upload
	saved   time.Time // when it was last written
	doubt   bool      // whether the last try has failed is not known
	tail    *tailRecord
	drained []string // keys of tails that were needed before
	ending  bool     // no more bytes are read
	always  bool     // beat without bytes: the file is being completed
	taken   bool     // somebody else has the record
	barred  bool     // the store does not let the record be written
	halt    func()
}

// attach makes the keeper of an upload.
func (u *upload) attach() {
	opts := *u.opts.Resume
	if opts.Name == "" {
		opts.Name = u.key
	}
	k := &keeper{u: u, opts: opts, place: placeOf(u.store, u.recordKey(opts.User, opts.Name)), done: make(chan struct{}), nonce: rand.Text(), saving: make(chan struct{}, 1), start: time.Now()}
	k.waitingAt.Store(-1)
	u.keep = k
	u.Engine.mu.Lock()
	u.running[k.place] = append(u.running[k.place], k)
	u.Engine.mu.Unlock()
}

// end is called last.
func (k *keeper) end() {
	k.stop()
	e := k.u.Engine
	e.mu.Lock()
	others := e.running[k.place][:0:0]
	for _, other := range e.running[k.place] {
		if other != k {
			others = append(others, other)
		}
	}
	if e.running[k.place] = others; len(others) == 0 {
		delete(e.running, k.place)
	}
	e.mu.Unlock()
	close(k.done)
}

// wrote reports whether a record was written for this upload, and by nobody since.
func (k *keeper) wrote(rec record) bool { return strings.HasPrefix(rec.Serial, k.nonce) }

// waits and heard are called before and after bytes are read.
func (k *keeper) waits() { k.waitingAt.Store(int64(time.Since(k.start))) }

func (k *keeper) heard(n int) {
	if n > 0 {
		k.heardAt.Store(int64(time.Since(k.start)))
	}
	k.waitingAt.Store(-1)
}

// idle reports whether the client has sent nothing for so long that another session may take the upload over.
func (k *keeper) idle() bool {
	at := k.waitingAt.Load()
	return at >= 0 && time.Since(k.start)-time.Duration(at) >= Tenure
}

// begin starts to write the record, at the first call.
func (k *keeper) begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.halt != nil || k.ending {
		return
	}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	k.halt = sync.OnceFunc(func() {
		close(quit)
		hurry := time.AfterFunc(Beat, k.cancel) // a write that is under way had better be known to have been done
		wg.Wait()
		hurry.Stop()
		k.cancel()
	})
	wg.Go(func() {
		t := time.NewTicker(Beat)
		defer t.Stop()
		for {
			if err := guard(func() error { k.beat(k.ctx); return nil }); err != nil {
				k.u.cancel(err)
			}
			select {
			case <-quit:
				return
			case <-t.C:
			}
		}
	})
}

// stop ends what begin has started, and waits for it.
func (k *keeper) stop() {
	k.mu.Lock()
	k.ending = true
	halt := k.halt
	k.mu.Unlock()
	if halt != nil {
		halt()
	}
}

// beat writes the record if bytes have come since it was last written. What fails is tried again at the next beat, or when the
// record is needed.
func (k *keeper) beat(ctx context.Context) {
	k.mu.Lock()
	quiet := k.etag != "" && !k.always && k.waitingAt.Load() >= 0 && k.start.Add(time.Duration(k.heardAt.Load())).Before(k.saved)
	k.mu.Unlock()
	if !quiet {
		_ = k.write(ctx, k.u.id, nil)
	}
}

// hold makes sure that the record is this upload's for long enough to begin something.
func (k *keeper) hold() error {
	k.mu.Lock()
	taken, fresh := k.taken, k.etag == "" || time.Since(k.saved) < Tenure
	k.mu.Unlock()
	switch {
	case taken:
		return errTaken
	case fresh:
		return nil
	}
	err := k.write(k.u.work, k.u.id, nil)
	if k.isBarred() {
		return nil // nobody else knows of the upload either
	}
	return err
}

func (k *keeper) isBarred() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.barred
}

// completing is hold for the end of the file, during which no bytes come.
func (k *keeper) completing() error {
	k.mu.Lock()
	k.always = true
	k.mu.Unlock()
	return k.hold()
}

var errTaken = fmt.Errorf("another session has taken the upload over: %w", ErrBusy)

// lose ends the upload without touching what is another's by now.
func (k *keeper) lose() {
	k.mu.Lock()
	k.taken = true
	k.mu.Unlock()
	k.u.cancel(errTaken)
	k.u.stop(errTaken)
}

// take is lose for another session in this process. It returns when nothing is under way any more.
func (k *keeper) take() {
	k.lose()
	k.u.close()
	k.saving <- struct{}{} // behind the last write, if one is under way
	<-k.saving
}

func (k *keeper) isTaken() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.taken
}
