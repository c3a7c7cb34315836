package vfs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"sluice/backend"
	"sluice/backend/transfer"
)

// journals is the prefix of the keys of journals.
const journals = reserved + "/renames/"

const (
	beat  = 30 * time.Second // between two writes of a journal by a live process
	lease = 4 * beat         // age of a journal whose process is dead
)

// journal is what a move leaves in the store, as JSON.
type journal struct {
	From, To string   // key prefixes
	Parent   string   // prefix of the directory that must outlive From; empty if it does anyway
	Marks    []string // keys by which other tools have marked From
	Deleting bool     // all copies were confirmed
	Items    []item
}

// create writes the journal.
func (m *move) create(ctx context.Context) error {
	return m.write(ctx, journals+rand.Text(), backend.Condition{Absent: true})
}

// save writes the journal again, unless somebody else has.
func (m *move) save(ctx context.Context, deleting bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.Deleting
	m.Deleting = m.Deleting || deleting
	err := m.write(ctx, m.object.Key, backend.Condition{ETag: m.object.ETag})
	if err != nil {
		m.Deleting = before
	}
	return err
}

func (m *move) write(ctx context.Context, key string, cond backend.Condition) error {
	p, err := json.Marshal(m.journal)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	var opts transfer.UploadOptions
	opts.If, opts.ContentType, opts.Size = cond, "application/json", int64(len(p))
	obj, err := m.engine.Upload(ctx, m.store, key, bytes.NewReader(p), opts)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	m.object = obj
	return nil
}

// remove deletes the journal.
func (m *move) remove(ctx context.Context) error {
	return patient(ctx, func() error { return m.store.Delete(ctx, m.object.Key, backend.DeleteOptions{}) })
}

// heartbeat shows that this process lives, by writing the journal now and then until stop is called. If somebody else has taken the journal
// over, it calls lost. stop waits for the end of the last write and may be repeated.
func (m *move) heartbeat(ctx context.Context, lost context.CancelCauseFunc) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(beat)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if err := m.save(ctx, false); errors.Is(err, backend.ErrChanged) {
				lost(err)
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// Recover deals with the renames of directories that dead processes have left unfinished in a store: where all copies had been confirmed, it
// deletes the rest of the source; otherwise it deletes the copies, and the source is what it was. A journal younger than two minutes may
// belong to a living process and is left alone, so Recover is to be called at start and every now and then after. It
// trusts the store's clock and this machine's to differ by less than that.
func Recover(ctx context.Context, store backend.Store, engine *transfer.Engine) error {
	var errs []error
	for row, err := range store.List(ctx, journals, backend.ListOptions{Recursive: true}) {
		if err != nil {
			errs = append(errs, fmt.Errorf("list %s: %w", journals, err))
			break
		}
		if time.Since(row.Updated) < lease {
			continue
		}
		if err := recoverMove(ctx, store, engine, row.Object); err != nil {
			errs = append(errs, fmt.Errorf("recover %s: %w", row.Key, err))
		}
	}
	return errors.Join(errs...)
}

func recoverMove(ctx context.Context, store backend.Store, engine *transfer.Engine, obj backend.Object) error {
	m := &move{store: store, engine: engine, object: obj}
	body, _, err := engine.Open(ctx, store, obj.Key, transfer.OpenOptions{ETag: obj.ETag})
	if errors.Is(err, backend.ErrChanged) || errors.Is(err, backend.ErrNotExist) {
		return nil // somebody else is at it
	}
	if err != nil {
		return err
	}
	p, err := io.ReadAll(body)
	body.Close()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(p, &m.journal); err != nil {
		return err
	}
	if err := m.save(ctx, false); errors.Is(err, backend.ErrChanged) {
		return nil
	} else if err != nil {
		return err
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := m.heartbeat(ctx, cancel)
	defer stop()
	if m.Deleting {
		var there []item
		if there, err = m.copies(work); err == nil {
			err = m.finish(work, there)
		}
		if errors.Is(err, backend.ErrChanged) {
			err = nil // changed after the copy: both stay
		}
	} else {
		err = m.rollback(work, obj.Updated.Add(beat))
	}
	if err != nil {
		return err
	}
	stop()
	return m.remove(ctx)
}
