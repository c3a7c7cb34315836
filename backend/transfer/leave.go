package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"sluice/backend"
)

// cut is called when the upload has failed. It reports whether something stays, or is another's: then nothing may be removed.
func (k *keeper) cut(ctx context.Context, err error) bool {
	k.stop()
	switch {
	case errors.Is(err, errTaken) || k.isTaken():
		k.u.close()
		return true
	case !k.worth(ctx, err):
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), linger+Watch+dropTimeout)
	defer cancel()
	return k.leave(ctx)
}

// worth decides whether an upload that failed with err is one that its user may want to resume.
func (k *keeper) worth(ctx context.Context, err error) bool {
	switch {
	case errors.Is(err, ErrShort):
		return false
	case k.opts.Refuse != nil && k.opts.Refuse(err):
		return false
	case ctx.Err() != nil || k.u.failed:
		return true
	case k.u.ended && k.u.parts == 0: // one request takes it again, all of it
		return false
	}
	return !final(err)
}

// leave makes the most of what has come, and writes it down for whoever resumes the upload.
func (k *keeper) leave(ctx context.Context) bool {
	u := k.u
	slow := time.AfterFunc(linger, func() { u.stop(context.DeadlineExceeded) })
	if u.head > 0 && u.main == nil && u.rest != nil && len(u.rest.p) > 0 {
		if err := u.begin(); err != nil { // what the client's bytes stand behind
			slow.Stop()
			return false
		}
	}
	u.wait()
	slow.Stop()
	k.mu.Lock()
	recorded, old := k.etag != "", k.tail
	k.mu.Unlock()
	tail := k.saveRest(ctx, old)
	_, size, _ := u.durable()
	switch {
	case tail != nil:
		size += tail.Size
	case old != nil && old.At == size:
		size += old.Size
	}
	if size <= u.from { // nothing of the client's
		if tail != nil {
			_ = u.store.Delete(ctx, tail.Key, backend.DeleteOptions{}) // the sweeper finds what is left
		}
		return false
	}
	var err error
	for i := 1; ; i++ {
		err = k.write(ctx, "", tail)
		if err == nil || errors.Is(err, ErrBusy) || i == attempts || pause(ctx, i) != nil {
			break
		}
	}
	k.mu.Lock()
	doubt := k.doubt
	k.mu.Unlock()
	switch {
	case err == nil:
		_ = k.drain(ctx)
		return true
	case tail != nil && !doubt:
		_ = u.store.Delete(ctx, tail.Key, backend.DeleteOptions{}) // the sweeper finds what is left
	}
	return recorded // as it was at the last beat
}

// saveRest stores what was read and is in no part: as a part if it can be one, otherwise as an object of its own, which it
// returns. old is the one that there may be already.
func (k *keeper) saveRest(ctx context.Context, old *tailRecord) *tailRecord {
	u := k.u
	_, size, all := u.durable()
	if old != nil && old.At != size {
		old = nil
	}
	if u.rest == nil || !all || len(u.rest.p) == 0 || old != nil && int64(len(u.rest.p)) <= old.Size {
		return nil
	}
	p := u.rest.p
	n := int64(len(p))
	// A line that breaks often must not use up the part numbers.
	if i := len(u.streams) - 1; i >= 0 && n >= max(u.caps.MinPart, u.cfg.PartSize/8) && n <= u.caps.MaxPart {
		if s := u.streams[i]; s.object == nil && len(s.sizes) < direct(u.caps) && u.write(ctx, s, p) == nil {
			return nil
		}
	}
	if n > u.caps.MaxPut {
		return nil
	}
	obj, err := u.store.Put(ctx, u.cfg.Tails+rand.Text(), p, backend.PutOptions{If: backend.Condition{Absent: true}})
	if err != nil || obj.Size != n {
		return nil
	}
	return &tailRecord{Key: obj.Key, ETag: obj.ETag, Size: n, At: size}
}

// forget removes the record of an upload that is complete or was given up.
func (k *keeper) forget(ctx context.Context) error {
	k.stop()
	k.mu.Lock()
	etag, tail, doubt := k.etag, k.tail, k.doubt
	k.mu.Unlock()
	if etag == "" && !doubt || k.isTaken() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	store := k.u.store
	err := retry(ctx, func(ctx context.Context) error {
		if doubt {
			rec, obj, err := k.u.load(ctx, store, k.place.key, "")
			if errors.Is(err, backend.ErrNotExist) || err == nil && !k.wrote(rec) && obj.ETag != etag {
				return nil // there is none, or another's
			}
			if err != nil {
				return err
			}
			etag = obj.ETag
		}
		err := store.Delete(ctx, k.place.key, backend.DeleteOptions{ETag: etag})
		if errors.Is(err, backend.ErrChanged) {
			return nil // another's by now
		}
		return err
	})
	if tail != nil {
		k.mu.Lock()
		k.drained = append(k.drained, tail.Key)
		k.mu.Unlock()
	}
	return errors.Join(err, k.drain(ctx))
}

// close lets nothing more begin and waits for what is under way.
func (u *upload) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.wait()
}

// wait waits for what is under way.
func (u *upload) wait() {
	u.mu.Lock()
	streams := u.streams
	u.mu.Unlock()
	for _, s := range streams {
		s.wg.Wait()
	}
}

// launch runs f as something that is under way for s, unless the upload is closed.
func (u *upload) launch(s *stream, f func()) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return errTaken
	}
	s.wg.Go(f)
	return nil
}

// durable returns the streams as a record has them, the number of bytes from the start that the store has without a gap, and
// whether that is all that was begun. A last part that is too small to be followed by another does not count.
func (u *upload) durable() (streams []streamRecord, size int64, all bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	all = true
	for _, s := range u.streams {
		whole := 0
		for whole < len(s.written) && s.written[whole] && (s.sizes[whole] >= u.caps.MinPart || s.object != nil) {
			whole++
		}
		rec := streamRecord{Key: s.key, ID: s.up.ID(), Parts: runs(s.sizes[:whole]), Given: len(s.sizes)}
		for _, n := range s.stale {
			if n > len(s.written) || !s.written[n-1] {
				rec.Stale = append(rec.Stale, n)
			}
		}
		if s.object != nil {
			rec.ETag, rec.Parts = s.object.ETag, []run{{1, s.object.Size}}
		}
		if all {
			size += sum(s.sizes[:whole])
		}
		all = all && whole == len(s.sizes)
		streams = append(streams, rec)
	}
	return streams, size, all
}
