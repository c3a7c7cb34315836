package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"sluice/backend"
)

// direct is how many part numbers take bytes from the reader. The rest is kept for joining segments, where the store can.
func direct(caps backend.Caps) int {
	if !caps.CopyPart {
		return caps.MaxParts
	}
	return max(1, caps.MaxParts/5*4)
}

// partSize is how large the next part should become.
func (u *upload) partSize() int64 {
	doublings := u.parts / max(1, min(1000, u.caps.MaxParts/10))
	if u.opts.Size > 0 {
		for doublings < 3 && u.clamp(doublings)*int64(direct(u.caps)) < u.opts.Size {
			doublings++
		}
	}
	return u.clamp(min(doublings, 3))
}

// clamp applies the limits of the store to the part size after some doublings.
func (u *upload) clamp(doublings int) int64 {
	return max(min(u.cfg.PartSize<<doublings, u.caps.MaxPart), u.caps.MinPart, 1)
}

// smallest is the size from which on a part is shipped rather than kept waiting for memory. One mebibyte is asked for even where the
// store would take less, so that a store full of tiny parts is not the result.
func (u *upload) smallest() int64 {
	return max(u.caps.MinPart, min(1<<20, u.partSize()))
}

// stream returns the stream that takes the next part, of n bytes. ErrTooLarge where no part number is left for it.
func (u *upload) stream(n int64) (*stream, error) {
	if u.parts == 0 && u.head == 0 && u.caps.CopyPart && u.opts.Size > u.reach() {
		return u.segment(n) // known to be too large for anything but segments
	}
	if len(u.segments) == 0 {
		if err := u.begin(); err != nil {
			return nil, err
		}
		if u.main.parts < direct(u.caps) {
			return u.main, nil
		}
	}
	return u.segment(n)
}

// reach is the size of a file whose first parts are its own and whose segments fill the remaining part numbers.
func (u *upload) reach() int64 {
	return u.caps.MaxCopyPart * int64(u.caps.MaxParts-direct(u.caps))
}

// begin starts the upload of the file itself, with the head that is copied.
func (u *upload) begin() error {
	if u.main != nil {
		return nil
	}
	up, err := u.store.NewUpload(u.work, u.key, u.opts.PutOptions)
	if err != nil {
		return err
	}
	main := &stream{key: u.key, up: up}
	if u.head > 0 {
		main.parts, main.size = len(u.spans), u.head
		main.written = make([]bool, len(u.spans))
		for _, sp := range u.spans {
			main.sizes = append(main.sizes, sp.length)
		}
	}
	if err := u.enter(main); err != nil {
		return err
	}
	u.main = main
	if u.head == 0 {
		return nil
	}
	return u.launch(main, func() {
		if err := u.copySpans(u.work, u.caps, up, 0, u.spans); err != nil {
			u.cancel(err)
			return
		}
		for i := range u.spans {
			u.wrote(main, i+1)
		}
	})
}

// enter lets the keeper know of a stream that has begun. It is aborted if nothing may begin any more.
func (u *upload) enter(s *stream) error {
	u.mu.Lock()
	closed := u.closed
	if !closed {
		u.streams = append(u.streams, s)
	}
	first := len(u.streams) == 1
	u.mu.Unlock()
	switch {
	case closed:
		return errors.Join(errTaken, retry(u.keep.ctx, s.up.Abort))
	case u.keep == nil:
	case first:
		u.keep.begin()
	default: // a segment must not be forgotten
		if err := u.keep.write(u.work, u.id, nil); errors.Is(err, errTaken) {
			return err
		}
	}
	return nil
}

// segment returns the segment that takes a part of n bytes, and makes sure that it can be joined.
func (u *upload) segment(n int64) (*stream, error) {
	var last *stream
	if len(u.segments) > 0 {
		last = u.segments[len(u.segments)-1]
		if last.parts >= direct(u.caps) && last.object == nil {
			if err := u.seal(); err != nil {
				return nil, err
			}
		}
		if last.object != nil {
			last = nil
		}
	}
	used := 0
	if u.main != nil {
		used = u.main.parts
	}
	for _, s := range u.segments {
		if s != last {
			used += int(pieces(s.size, u.caps.MaxCopyPart))
		}
	}
	var size int64
	if last != nil {
		size = last.size
	}
	if !u.caps.CopyPart || int64(used)+pieces(size+n, u.caps.MaxCopyPart) > int64(u.caps.MaxParts) {
		return nil, fmt.Errorf("%d parts hold no more: %w", u.caps.MaxParts, backend.ErrTooLarge)
	}
	if last != nil {
		return last, nil
	}
	key := u.cfg.Segments + rand.Text()
	up, err := u.store.NewUpload(u.work, key, backend.PutOptions{})
	if err != nil {
		return nil, err
	}
	last = &stream{key: key, up: up}
	u.segments = append(u.segments, last)
	return last, u.enter(last)
}

// seal completes the last segment.
func (u *upload) seal() error {
	s := u.segments[len(u.segments)-1]
	if s.object != nil {
		return nil
	}
	s.wg.Wait()
	if err := context.Cause(u.ctx); err != nil {
		return err
	}
	obj, err := s.up.Commit(u.work, s.parts)
	if err != nil {
		return err
	}
	if obj.Size != s.size {
		return sizeError(obj.Size, s.size)
	}
	u.mu.Lock()
	s.object = &obj
	u.mu.Unlock()
	return nil
}

// join copies segment i, the next in turn, to the end of the file.
func (u *upload) join(i int) error {
	s := u.segments[i]
	free := u.caps.MaxParts - u.main.parts
	for _, later := range u.segments[i+1:] {
		free -= int(pieces(later.size, u.caps.MaxCopyPart))
	}
	// The last segment may be smaller than a part, and its only range with it.
	n := max(cuts(u.caps, s.size, free), int(pieces(s.size, u.caps.MaxCopyPart)))
	err := u.copySpans(u.work, u.caps, u.main.up, u.main.parts, spread(nil, *s.object, s.size, n))
	u.main.parts += n
	return err
}
