package azure

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"sluice/backend"
)

// ResumeUpload returns the upload that ID named, with the parts that the store holds. ErrNotExist where it has none: they were
// never written, or committed, or dropped by another write of the key, or are older than a week.
func (s *Store) ResumeUpload(ctx context.Context, key, id string, opts backend.PutOptions) (backend.Upload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	n, ok := parseName(id)
	if !ok {
		return nil, fmt.Errorf("azure resume %s: not the id of an upload: %w", key, backend.ErrNotExist)
	}
	u := newUpload(s, key, n, opts)
	u.tags = s.cfg.Protection.label(key)
	var err error
	if u.parts, err = u.held(ctx); err != nil {
		return nil, err
	}
	if len(u.parts) == 0 {
		return nil, fmt.Errorf("azure resume %s: the store has no part of the upload: %w", key, backend.ErrNotExist)
	}
	return u, nil
}

// ID is all that it takes to find the upload again by its key.
func (u *upload) ID() string { return u.name.String() }

// Parts returns the parts that the store holds, in ascending order. ErrNotExist where the upload is over: committed, aborted, or
// its parts dropped.
func (u *upload) Parts(ctx context.Context) ([]backend.Part, error) {
	held, err := u.held(ctx)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done || u.ended || len(held) == 0 && len(u.parts) > 0 {
		return nil, fmt.Errorf("azure parts of %s: the upload is over: %w", u.key, backend.ErrNotExist)
	}
	list := make([]backend.Part, 0, len(held))
	for n, p := range held {
		list = append(list, backend.Part{Number: n, Size: p.size})
	}
	slices.SortFunc(list, func(a, b backend.Part) int { return a.Number - b.Number })
	return list, nil
}

// held asks for the parts in the pool. Where a part was written again, it is the last one whose bytes have all arrived.
func (u *upload) held(ctx context.Context) (map[int]part, error) {
	blocks, err := u.pool(ctx)
	if err != nil {
		return nil, err
	}
	parts, latest := map[int]part{}, map[int]uint32{}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, b := range blocks {
		seq, n, width, ok := u.name.parse(value(b.Name))
		if !ok {
			continue
		}
		u.width, u.next = width, max(u.next, seq+1)
		if _, ok := parts[n]; !ok || seq > latest[n] {
			parts[n], latest[n] = part{block: *b.Name, size: value(b.Size)}, seq
		}
	}
	for n, p := range u.parts {
		if p.block == "" && parts[n].block == "" { // an empty part is no block
			parts[n] = p
		}
	}
	return parts, nil
}

// pool asks for the uncommitted blocks of the blob, whosever they are. A blob that is not there has none.
func (u *upload) pool(ctx context.Context) ([]*blockblob.Block, error) {
	r, err := u.store.blob(u.key).GetBlockList(ctx, blockblob.BlockListTypeUncommitted, nil)
	if err != nil {
		if err = u.store.wrap(ctx, "parts", u.key, err); errors.Is(err, backend.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	return r.UncommittedBlocks, nil
}
