package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"sluice/backend"
)

// write writes the record with what the store has by now. tail replaces the one before; nil leaves it, as long as it is needed.
// errTaken where the record is somebody else's; then the upload ends.
func (k *keeper) write(ctx context.Context, owner string, tail *tailRecord) error {
	select {
	case k.saving <- struct{}{}:
		defer func() { <-k.saving }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	u := k.u
	rec := k.record(owner)
	k.mu.Lock()
	etag, old, taken, barred := k.etag, k.tail, k.taken, k.barred
	k.mu.Unlock()
	switch {
	case taken:
		return errTaken
	case barred:
		return backend.ErrUnsupported
	}
	streams, size, _ := u.durable()
	if tail == nil && old != nil && old.At == size {
		tail = old
	}
	rec.Streams, rec.Size, rec.Tail = streams, size, tail
	if tail != nil {
		rec.Size += tail.Size
	}
	rec.Serial = k.nonce + rand.Text()
	k.mu.Lock()
	k.doubt = true
	k.mu.Unlock()
	began := time.Now()
	obj, err := save(ctx, u.store, k.place.key, etag, rec)
	if errors.Is(err, backend.ErrChanged) {
		obj, err = k.contend(ctx, etag, rec)
	}
	if err != nil {
		switch {
		case errors.Is(err, errTaken):
			k.lose()
		case errors.Is(err, backend.ErrUnsupported), errors.Is(err, backend.ErrPermission):
			k.bar(ctx, etag)
		}
		if final(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrBusy) {
			k.mu.Lock()
			k.doubt = false
			k.mu.Unlock()
		}
		return err
	}
	k.mu.Lock()
	k.etag, k.saved, k.tail, k.doubt = obj.ETag, began, tail, false
	k.mu.Unlock()
	if old != nil && (tail == nil || tail.Key != old.Key) {
		k.mu.Lock()
		k.drained = append(k.drained, old.Key)
		k.mu.Unlock()
	}
	return nil
}

// bar gives the record up where the store does not let it be written: the upload goes on as one that cannot be resumed.
func (k *keeper) bar(ctx context.Context, etag string) {
	k.mu.Lock()
	k.barred, k.etag = true, ""
	k.mu.Unlock()
	if etag != "" {
		_ = k.u.store.Delete(ctx, k.place.key, backend.DeleteOptions{}) // void once the upload is over
	}
}

// drain removes the tails that no record names any more. The sweeper finds what is left.
func (k *keeper) drain(ctx context.Context) error {
	k.mu.Lock()
	keys := k.drained
	k.drained = nil
	k.mu.Unlock()
	var errs []error
	for _, key := range keys {
		errs = append(errs, retry(ctx, func(ctx context.Context) error {
			return k.u.store.Delete(ctx, key, backend.DeleteOptions{})
		}))
	}
	return errors.Join(errs...)
}

// contend is asked when the record was not what it should have been.
func (k *keeper) contend(ctx context.Context, etag string, rec record) (backend.Object, error) {
	u := k.u
	now, obj, err := u.load(ctx, u.store, k.place.key, "")
	switch {
	case errors.Is(err, backend.ErrNotExist) && etag == "":
		return save(ctx, u.store, k.place.key, "", rec)
	case errors.Is(err, backend.ErrNotExist):
		return obj, errTaken
	case err != nil && !errors.Is(err, errNoRecord):
		return obj, err
	case err == nil && now.Serial == rec.Serial: // written, but the answer was lost
		return obj, nil
	case err == nil && k.wrote(now): // so it was with one before
		return save(ctx, u.store, k.place.key, obj.ETag, rec)
	case etag != "":
		return obj, errTaken
	}
	// Another upload of this user to this name: if it has ended, its record makes room. The last write waits until that is clear.
	if err := u.discard(ctx, u.store, k.place.key, rec.Owner == ""); err != nil {
		return obj, err
	}
	return save(ctx, u.store, k.place.key, "", rec)
}

// record is what does not change, and what says until when.
func (k *keeper) record(owner string) record {
	u := k.u
	return record{
		User: k.opts.User, Name: k.opts.Name, Key: u.key, Base: k.opts.Base, Attributes: u.opts.Attributes, If: u.opts.If,
		Announced: u.opts.Size, Head: u.from, Owner: owner, Expires: time.Now().Add(k.opts.For),
	}
}
