package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"

	"sluice/backend"
	"sluice/cmd/sluice/internal/config"
)

// probe does with objects of a store what transfers and renames will do.
type probe struct {
	name  string
	s     config.Store
	store backend.Store
	keys  []string // that may be there
	lacks []string
}

// probeStore reaches a store and tries it. It returns what the store lacks, each a sentence that says what follows from it and which
// setting helps. Its error means that the store is not fit, or that the configuration is not.
func probeStore(ctx context.Context, name string, s config.Store, store backend.Store) (lacks []string, err error) {
	if err := reach(ctx, name, s, store); err != nil {
		return nil, err
	}
	p := &probe{name: name, s: s, store: store}
	timed, cancel := context.WithTimeout(ctx, 4*reachTime)
	defer cancel()
	err = p.run(timed)
	return p.lacks, errors.Join(err, p.clear(context.WithoutCancel(ctx)))
}

// clear deletes all that the probe may have left, whatever became of it.
func (p *probe) clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	var errs []error
	for _, key := range p.keys {
		if err := p.store.Delete(ctx, key, backend.DeleteOptions{}); err != nil {
			errs = append(errs, explain(p.name, p.s, "delete", err))
		}
	}
	return errors.Join(errs...)
}

// key is a new one.
func (p *probe) key() string {
	key := ".sluice/probe-" + rand.Text()
	p.keys = append(p.keys, key)
	return key
}

func (p *probe) run(ctx context.Context) error {
	key, content := p.key(), []byte("sluice config check --probe\n")
	o, err := p.store.Put(ctx, key, content, backend.PutOptions{If: backend.Condition{Absent: p.store.Caps().Conditional}})
	if err != nil {
		err = explain(p.name, p.s, "write", err)
		if sum := p.otherChecksum(ctx, func(store backend.Store) error {
			_, err := store.Put(ctx, key, content, backend.PutOptions{})
			return err
		}); sum != "" {
			err = fmt.Errorf("store %s: it takes no checksum %s: set checksum: %s (%w)", p.name, p.checksum(), sum, err)
		}
		return err
	}
	if err := p.read(ctx, key, content); err != nil {
		return err
	}
	if p.store.Caps().Conditional {
		if err := p.conditions(ctx, key, o.ETag); err != nil {
			return err
		}
	}
	return p.parts(ctx, o.ETag)
}

func (p *probe) read(ctx context.Context, key string, content []byte) error {
	body, _, err := p.store.Open(ctx, key, backend.OpenOptions{})
	if err != nil {
		return explain(p.name, p.s, "read", err)
	}
	defer body.Close()
	switch got, err := io.ReadAll(body); {
	case err != nil:
		return explain(p.name, p.s, "read", err)
	case !bytes.Equal(got, content):
		return fmt.Errorf("store %s: what comes back is not what was written; it is not fit for Sluice", p.name)
	}
	return nil
}

// conditions tries whether those that do not hold are heeded, on an object and a version that it had.
func (p *probe) conditions(ctx context.Context, key, etag string) error {
	fresh := p.key()
	put := func(c backend.Condition) error {
		_, err := p.store.Put(ctx, key, []byte("sluice config check --probe, again\n"), backend.PutOptions{If: c})
		return err
	}
	switch err := put(backend.Condition{Absent: true}); {
	case err == nil:
		return fmt.Errorf("store %s: it ignores conditions (If-None-Match), so that two clients who upload one new name would overwrite each other; it is not fit for Sluice", p.name)
	case !errors.Is(err, backend.ErrChanged):
		return explain(p.name, p.s, "write on a condition", err)
	}
	if err := put(backend.Condition{}); err != nil { // etag is that of an old version from now on
		return explain(p.name, p.s, "overwrite", err)
	}
	for _, try := range []struct {
		verb, lack string
		do         func() error
	}{
		{"write on a condition", "it ignores If-Match on writes: where two clients append to a file at once, or one resumes what another replaces, bytes can be lost",
			func() error { return put(backend.Condition{ETag: etag}) }},
		{"copy on a condition", "it ignores conditions on the target of a copy: a file that somebody uploads while another is renamed to its name can be lost",
			func() error {
				_, err := p.store.Copy(ctx, key, key, backend.CopyOptions{If: backend.Condition{ETag: etag}, Replace: &backend.Attributes{ContentType: "text/plain"}})
				return err
			}},
		{"copy to a new name", "it ignores conditions on the target of a copy: a file that somebody uploads while another is renamed to its name can be lost",
			func() error {
				_, err := p.store.Copy(ctx, key, key, backend.CopyOptions{If: backend.Condition{Absent: true}, Replace: &backend.Attributes{ContentType: "text/plain"}})
				return err
			}},
		{"copy a version", "it ignores conditions on the source of a copy: a file that is replaced while it is renamed can be lost",
			func() error {
				_, err := p.store.Copy(ctx, fresh, key, backend.CopyOptions{SrcETag: etag})
				return err
			}},
		{"delete on a condition", "it ignores If-Match on deletes: a file that is replaced while it is renamed, joined to others or moved can be lost",
			func() error { return p.store.Delete(ctx, key, backend.DeleteOptions{ETag: etag}) }},
	} {
		switch err := try.do(); {
		case err == nil:
			if !slices.Contains(p.lacks, try.lack) {
				p.lacks = append(p.lacks, try.lack)
			}
		case !errors.Is(err, backend.ErrChanged):
			return explain(p.name, p.s, try.verb, err)
		}
	}
	return nil
}

// parts tries what APPE, REST, COMB and renames of large files need: an upload with a part that is copied inside the store. stranger is
// the version of another object.
func (p *probe) parts(ctx context.Context, stranger string) error {
	caps := p.store.Caps()
	if !caps.CopyPart || caps.MinPart > 64<<20 {
		return nil
	}
	src, dst, content := p.key(), p.key(), make([]byte, caps.MinPart+1)
	o, err := p.store.Put(ctx, src, content, backend.PutOptions{})
	if err != nil {
		return explain(p.name, p.s, "write", err)
	}
	if err := p.again(ctx, src); err != nil {
		return err
	}
	if err = p.join(ctx, p.store, dst, src, o); err == nil {
		if !caps.Conditional {
			return nil
		}
		o.ETag = stranger
		switch err := p.join(ctx, p.store, dst, src, o); {
		case err == nil:
			p.lacks = append(p.lacks, "it ignores conditions on the source of a copied part: a file that is replaced while it is appended to, joined or renamed can be mixed up of two")
		case !errors.Is(err, backend.ErrChanged):
			return explain(p.name, p.s, "copy a part on a condition", err)
		}
		return nil
	}
	why := core(err)
	var f *backend.Failure
	if errors.As(err, &f) && f.Code != "" {
		why = f.Code
	}
	lack := "it copies no parts (" + why + "): APPE, REST with STOR and COMB fail on larger files"
	if sum := p.otherChecksum(ctx, func(store backend.Store) error { return p.join(ctx, store, dst, src, o) }); sum != "" {
		lack += fmt.Sprintf("; with checksum: %s it does", sum)
	}
	p.lacks = append(p.lacks, lack)
	return nil
}

// again tries whether the end of an upload heeds its condition, where there is an object at key.
func (p *probe) again(ctx context.Context, key string) error {
	if !p.store.Caps().Conditional {
		return nil
	}
	u, err := p.store.NewUpload(ctx, key, backend.PutOptions{If: backend.Condition{Absent: true}})
	if err == nil {
		if err = u.WritePart(ctx, 1, []byte("again")); err == nil {
			_, err = u.Commit(ctx, 1)
		}
		err = errors.Join(err, u.Abort(ctx))
	}
	switch {
	case err == nil:
		return fmt.Errorf("store %s: it ignores conditions on large uploads (If-None-Match), so that two clients who upload one new name would overwrite each other; it is not fit for Sluice", p.name)
	case !errors.Is(err, backend.ErrChanged):
		return explain(p.name, p.s, "write in parts on a condition", err)
	}
	return nil
}

// join makes dst of two parts: a copy of src, and a small one.
func (p *probe) join(ctx context.Context, store backend.Store, dst, src string, o backend.Object) error {
	u, err := store.NewUpload(ctx, dst, backend.PutOptions{})
	if err != nil {
		return err
	}
	err = u.CopyPart(ctx, 1, src, 0, o.Size, backend.CopyPartOptions{SrcETag: o.ETag})
	if err == nil {
		err = u.WritePart(ctx, 2, []byte("end"))
	}
	if err == nil {
		var whole backend.Object
		if whole, err = u.Commit(ctx, 2); err == nil && whole.Size != o.Size+3 {
			err = fmt.Errorf("%d bytes are there, %d were joined", whole.Size, o.Size+3)
		}
	}
	if err != nil {
		return errors.Join(err, u.Abort(ctx))
	}
	return nil
}

// checksum is the algorithm that is configured.
func (p *probe) checksum() string {
	if p.s.Checksum == "" {
		return "crc64nvme"
	}
	return p.s.Checksum
}

// otherChecksum is the first algorithm with which something succeeds, where that of the configuration may be why it fails; empty if
// there is none.
func (p *probe) otherChecksum(ctx context.Context, try func(backend.Store) error) string {
	if p.s.Type != "s3" {
		return ""
	}
	for _, sum := range []string{"crc64nvme", "crc32c", "md5", "none"} {
		if sum == p.checksum() {
			continue
		}
		other := p.s
		other.Checksum = sum
		store, err := openStore(ctx, p.name, other, 0, nil)
		if err != nil {
			continue
		}
		err = try(store)
		if errors.Join(err, closeStore(store)) == nil {
			return sum
		}
	}
	return ""
}
