package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sluice/backend"
)

// List implements backend.Store with ListObjectsV2. Names travel URL-encoded, since XML cannot hold every one.
//
// The token of a next page stands in front of the rows. For whoever wants all and has come back for a second page, the next one is
// asked for as soon as its token is there, so that the store makes it while this one is read and handed on.
func (s *Store) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		in := s3.ListObjectsV2Input{
			Bucket: &s.cfg.Bucket, Prefix: optional(prefix), StartAfter: optional(opts.After), EncodingType: types.EncodingTypeUrl, MaxKeys: s.page(opts.Limit),
		}
		if !opts.Recursive {
			in.Delimiter = aws.String("/")
		}
		var p, next *asked
		defer func() { p.drop(); next.drop() }()
		p = s.ask(ctx, in, "", opts, false)
		for last, ahead := opts.After, false; ; ahead = opts.Limit == 0 {
			if ahead {
				if token := p.following(); token != "" && token != p.token {
					next = s.ask(ctx, in, token, opts, true)
				}
			}
			if <-p.done; p.err != nil {
				yield(backend.Entry{}, s.wrap(ctx, "list", prefix, p.err))
				return
			}
			p.begins()
			for _, e := range p.entries() {
				if err := ctx.Err(); err != nil {
					yield(backend.Entry{}, s.wrap(ctx, "list", prefix, err))
					return
				}
				if e.Key <= last { // a folder around After, or one that goes on from page to page
					continue
				}
				last = e.Key
				if !yield(e, nil) {
					return
				}
			}
			switch p.next {
			case "":
				return
			case p.token:
				yield(backend.Entry{}, s.failure("list", prefix, backend.ErrUnavailable, errors.New("the same NextContinuationToken again")))
				return
			}
			if next == nil || next.token != p.next { // none, or p was read at a second try, and had another end
				next.drop()
				next = s.ask(ctx, in, p.next, opts, opts.Limit == 0)
			}
			p, next = next, nil
		}
	}
}

// asked is a page that was asked for.
type asked struct {
	page
	token  string      // it begins at; empty: the first one
	begins func()      // of ListOptions.Ask
	told   chan string // gets the next page's token while this one is read; closed at the end
	done   chan struct{}
	err    error // when it is done
	cancel context.CancelFunc
}

// ask asks for a page. It comes back when that has been read or, with ahead, at once.
func (s *Store) ask(ctx context.Context, in s3.ListObjectsV2Input, token string, opts backend.ListOptions, ahead bool) *asked {
	a := &asked{token: token, begins: opts.Ask(), told: make(chan string, 1), done: make(chan struct{})}
	a.follow = func(token string) {
		select {
		case a.told <- token:
		default: // at a second try, while nobody has asked for more
		}
	}
	in.ContinuationToken = optional(token)
	ctx, a.cancel = context.WithCancel(ctx)
	read := func() {
		defer close(a.told)
		defer a.cancel()
		_, a.err = s.client.ListObjectsV2(ctx, &in, a.read)
	}
	if !ahead {
		defer close(a.done)
		read()
		return a
	}
	go func() {
		defer close(a.done)
		defer func() { // one bad answer is not to end the process
			if v := recover(); v != nil {
				a.err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			}
		}()
		read()
	}()
	return a
}

// following is the token of the next page, as soon as it is known; empty: there is none.
func (a *asked) following() string {
	token := <-a.told
	select {
	case <-a.done:
		return a.next // of the last try
	default:
		return token
	}
}

// drop ends what is still on its way.
func (a *asked) drop() {
	if a != nil {
		a.cancel()
		<-a.done
	}
}

func (s *Store) page(limit int) *int32 {
	n := s.cfg.PageSize
	if n <= 0 {
		n = 1000
	}
	if limit > 0 {
		n = min(n, max(limit, 2)) // pages of one row end early on MinIO, at a marker with something below it
	}
	return aws.Int32(int32(min(n, 1000))) // the server's own limit
}
