package vfs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"sluice/backend"
	"sluice/backend/transfer"
)

// journals is the prefix of the keys of journals. What is too long for a journal lies beside it, under its key with listSuffix.
const (
	journals   = reserved + "/renames/"
	listSuffix = ".items"
)

// inlined is how many items are part of the journal itself, which is written again and again.
const inlined = 1000

// phase is how far a move has come. It only goes forward.
type phase string

const (
	copying  phase = "copying"
	deleting phase = "deleting" // all copies were confirmed: the source goes
	undoing  phase = "undoing"  // something went wrong: the copies go
)

// journal is what a move leaves in the store, as JSON. It is both a note and a lock: each writing of it is conditional on what it
// replaces, and only who wrote it last may change anything.
type journal struct {
	From, To string   // key prefixes
	Parent   string   // prefix of the directory that must outlive From; empty if it does anyway
	Marks    []string // keys by which other tools have marked From
	Class    string   // storage class of the copies; empty: that of each source
	Phase    phase
	Items    []item `json:",omitempty"`
	Listed   bool   // the items are in an object of their own, which is written before the first copy and removed behind the last delete
	Owner    string // who works on it, see transfer.Engine.Owner
	Serial   string // another one each time, so that versions differ even where they are told apart by content
}

// overlaps reports whether two renames have to do with the same keys.
func (j journal) overlaps(other journal) bool {
	for _, a := range []string{j.From, j.To} {
		for _, b := range []string{other.From, other.To} {
			if strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
				return true
			}
		}
	}
	return false
}

// alone makes sure that no other rename overlaps this one, nor what a dead process has left of one: ErrBusy. The journal is written before:
// of two that begin at the same time at least one sees the other.
func (m *move) alone(ctx context.Context) error {
	for row, err := range m.store.List(ctx, journals, backend.ListOptions{Recursive: true}) {
		if err != nil {
			return err
		}
		if row.Key == m.key || strings.HasSuffix(row.Key, listSuffix) {
			continue
		}
		other, _, err := load(ctx, m.store, m.engine, row.Key, "")
		switch {
		case errors.Is(err, backend.ErrNotExist), errors.Is(err, errNoJournal):
		case err != nil:
			return err
		case m.overlaps(other):
			return fmt.Errorf("%s is being renamed to %s: %w", other.From, other.To, ErrBusy)
		}
	}
	return nil
}

// errNoJournal says that an object is none.
var errNoJournal = errors.New("not the journal of a rename")

// errLost says that the move is somebody else's by now. Nothing more may be changed.
var errLost = fmt.Errorf("another process has taken the rename over: %w", ErrBusy)

// running has the owners of moves that this process is at.
var running sync.Map

// begin notes that this process is at the move until end is called: so long it is not taken for given up, even if its journal cannot be written.
func (m *move) begin() (end func()) {
	running.Store(m.Owner, true)
	return func() { running.Delete(m.Owner) }
}

// create writes the journal.
func (m *move) create(ctx context.Context) error {
	m.key, m.Phase = journals+rand.Text(), copying
	if len(m.items) <= inlined {
		m.Items = m.items
		return m.write(ctx, backend.Condition{Absent: true})
	}
	m.Listed = true
	if err := m.write(ctx, backend.Condition{Absent: true}); err != nil {
		return err
	}
	p, err := json.Marshal(m.items)
	if err == nil {
		opts := transfer.UploadOptions{Size: int64(len(p))}
		opts.If, opts.ContentType = backend.Condition{Absent: true}, jsonType
		_, err = m.engine.Upload(ctx, m.store, m.key+listSuffix, bytes.NewReader(p), opts)
	}
	if err != nil {
		return fmt.Errorf("items of the journal: %w", err)
	}
	return nil
}

const jsonType = "application/json"

// write writes the journal on a condition, past the engine: it must not wait for a buffer while others transfer files. One write at a time.
func (m *move) write(ctx context.Context, cond backend.Condition) error {
	m.Serial = rand.Text()
	p, err := json.Marshal(m.journal)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	began := time.Now()
	c, cancel := context.WithTimeout(context.WithoutCancel(ctx), transfer.Tenure) // what has been begun had better be known to have been done
	defer cancel()
	obj, err := m.store.Put(c, m.key, p, backend.PutOptions{Attributes: backend.Attributes{ContentType: jsonType}, If: cond})
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.etag, m.saved = obj.ETag, began
	return nil
}

// save writes the journal again with the phase to, or the one it has where that is empty. errLost where it is somebody else's.
func (m *move) save(ctx context.Context, to phase) error {
	select {
	case m.saving <- struct{}{}:
		defer func() { <-m.saving }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if to == "" && m.fresh(transfer.Beat/2) {
		return nil // somebody was quicker
	}
	before := m.Phase
	if to != "" {
		m.Phase = to
	}
	err := m.write(ctx, backend.Condition{ETag: m.etag})
	if errors.Is(err, backend.ErrChanged) {
		err = m.contend(ctx)
	}
	if err != nil {
		m.Phase = before
	}
	return err
}

// contend is asked when the journal was not what it should have been: the answer to an earlier write may have been lost.
func (m *move) contend(ctx context.Context) error {
	now, obj, err := load(ctx, m.store, m.engine, m.key, "")
	switch {
	case errors.Is(err, backend.ErrNotExist), err == nil && now.Owner != m.Owner:
		return errLost
	case err != nil:
		return err
	}
	err = m.write(ctx, backend.Condition{ETag: obj.ETag})
	if errors.Is(err, backend.ErrChanged) {
		return errLost
	}
	return err
}

// fresh reports whether the journal was written since.
func (m *move) fresh(since time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.saved) < since
}

// hold makes sure that the move is this one's for long enough to begin something.
func (m *move) hold(ctx context.Context) error {
	if m.fresh(transfer.Tenure) {
		return nil
	}
	return m.save(ctx, "")
}

// remove deletes the journal. Somebody else's is left alone.
func (m *move) remove(ctx context.Context) error {
	if m.Listed {
		if err := patient(ctx, func() error { return m.store.Delete(ctx, m.key+listSuffix, backend.DeleteOptions{}) }); err != nil {
			return err
		}
	}
	return patient(ctx, func() error {
		if m.etag == "" { // nobody knows whether it was written
			return m.store.Delete(ctx, m.key, backend.DeleteOptions{})
		}
		err := deleteVersion(ctx, m.store, backend.Object{Key: m.key, ETag: m.etag})
		if !errors.Is(err, backend.ErrChanged) {
			return err
		}
		now, obj, err := load(ctx, m.store, m.engine, m.key, "")
		if errors.Is(err, backend.ErrNotExist) || err == nil && now.Owner != m.Owner {
			return nil
		} else if err != nil {
			return err
		}
		return deleteVersion(ctx, m.store, obj) // written, but the answer was lost
	})
}

// heartbeat shows that this process lives, by writing the journal now and then until stop is called. If somebody else has taken the journal
// over, it calls lost. stop waits for the end of the last write and may be repeated.
func (m *move) heartbeat(ctx context.Context, lost context.CancelCauseFunc) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(transfer.Beat)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if err := m.save(ctx, ""); errors.Is(err, errLost) {
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

// load reads a journal: the version etag, or the present one where that is empty.
func load(ctx context.Context, store backend.Store, engine *transfer.Engine, key, etag string) (journal, backend.Object, error) {
	var j journal
	obj, err := fetch(ctx, store, engine, key, etag, &j)
	return j, obj, err
}

// fetch reads an object of JSON.
func fetch(ctx context.Context, store backend.Store, engine *transfer.Engine, key, etag string, into any) (backend.Object, error) {
	body, obj, err := engine.Open(ctx, store, key, transfer.OpenOptions{ETag: etag})
	if err != nil {
		return obj, err
	}
	p, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return obj, err
	}
	if err := json.Unmarshal(p, into); err != nil {
		return obj, fmt.Errorf("%s: %w: %s", key, errNoJournal, err.Error())
	}
	return obj, nil
}
