package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sluice/backend"
)

// pageOf is the answer with these keys, in front of a page that begins at next, if there is one.
func pageOf(next string, keys ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<ListBucketResult><IsTruncated>%t</IsTruncated>", next != "")
	if next != "" {
		fmt.Fprintf(&b, "<NextContinuationToken>%s</NextContinuationToken>", next)
	}
	for _, k := range keys {
		fmt.Fprintf(&b, "<Contents><Key>%s</Key></Contents>", k)
	}
	return b.String() + "</ListBucketResult>"
}

// answers is a transport that answers a request for a page by its token.
type answers func(ctx context.Context, token string) io.Reader

func (a answers) Do(r *http.Request) (*http.Response, error) {
	body := a(r.Context(), r.URL.Query().Get("continuation-token"))
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(body), Request: r}, nil
}

// listed goes through a listing in a synctest bubble, with a minute between the rows, until it has seen the key last, and returns the keys.
func listed(t *testing.T, a answers, opts backend.ListOptions, last string) (keys []string, err error) {
	synctest.Test(t, func(t *testing.T) {
		s := connect(t, Config{Endpoint: "http://store.test"})
		s.client = s3.New(s.client.Options(), func(o *s3.Options) { o.HTTPClient = a })
		var e backend.Entry
		for e, err = range s.List(t.Context(), "", opts) {
			if err != nil {
				break
			}
			if keys = append(keys, e.Key); e.Key == last {
				break
			}
			time.Sleep(time.Minute)
		}
	})
	return keys, err
}

// events are what happened, in order.
type events struct {
	sync.Mutex
	seen []string
}

func (e *events) add(s string) {
	e.Lock()
	defer e.Unlock()
	e.seen = append(e.seen, s)
}

// TestListAhead: behind the second page, a page is asked for as soon as its token has been read: here the rows of the second come only when the
// third has been asked for. Whoever keeps the rows hears of each page before its first row, and when it was asked for.
func TestListAhead(t *testing.T) {
	var log events
	asked, asks := make(chan struct{}), 0
	keys, err := listed(t, func(ctx context.Context, token string) io.Reader {
		log.add("get " + token)
		switch token {
		case "":
			return strings.NewReader(pageOf("2", "a"))
		case "2":
			doc := pageOf("3", "b")
			head := strings.Index(doc, "<Contents>")
			return io.MultiReader(strings.NewReader(doc[:head]), until(ctx, asked), strings.NewReader(doc[head:]))
		}
		close(asked)
		return strings.NewReader(pageOf("", "c"))
	}, backend.ListOptions{Asks: func() func() {
		asks++
		n := asks
		log.add(fmt.Sprint("ask ", n))
		return func() { log.add(fmt.Sprint("page ", n)) }
	}}, "")
	if err != nil || !slices.Equal(keys, []string{"a", "b", "c"}) {
		t.Errorf("%q, %v", keys, err)
	}
	want := []string{"ask 1", "get ", "page 1", "ask 2", "get 2", "ask 3", "get 3", "page 2", "page 3"}
	if !slices.Equal(log.seen, want) {
		t.Errorf("%q\nwant\n%q", log.seen, want)
	}
}

// until is a reader that is empty, once c is closed.
func until(ctx context.Context, c chan struct{}) io.Reader {
	return readFunc(func([]byte) (int, error) {
		select {
		case <-c:
			return 0, io.EOF
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// TestListNotAhead: who only looks at the beginning, or said how much is wanted, costs no more than that.
func TestListNotAhead(t *testing.T) {
	for _, tc := range []struct {
		limit int
		last  string
		want  []string // tokens
	}{
		{0, "a", []string{""}},
		{1, "a", []string{""}},
		{3, "b", []string{"", "b"}},
	} {
		var log events
		keys, err := listed(t, func(_ context.Context, token string) io.Reader {
			log.add(token)
			if token == "" {
				token = "a"
			}
			return strings.NewReader(pageOf(string(token[0]+1), token))
		}, backend.ListOptions{Limit: tc.limit}, tc.last)
		if err != nil || !slices.Contains(keys, tc.last) || !slices.Equal(log.seen, tc.want) {
			t.Errorf("limit %d: %q, %v; asked for %q, want %q", tc.limit, keys, err, log.seen, tc.want)
		}
	}
}

// TestListSecondTry: a page that is read at a second try can end at another key: what was asked for behind the first is not used.
func TestListSecondTry(t *testing.T) {
	tries, dropped := 0, false
	keys, err := listed(t, func(ctx context.Context, token string) io.Reader {
		switch token {
		case "":
			return strings.NewReader(pageOf("2", "a"))
		case "2":
			if tries++; tries == 1 {
				return io.MultiReader(strings.NewReader(pageOf("d", "b", "c")[:120]), iotest.ErrReader(errors.New("reset")))
			}
			return strings.NewReader(pageOf("c", "b", "bb"))
		case "c":
			return strings.NewReader(pageOf("", "c", "d"))
		case "d":
			return readFunc(func([]byte) (int, error) {
				<-ctx.Done()
				dropped = true
				return 0, ctx.Err()
			})
		}
		t.Errorf("asked for %q", token)
		return strings.NewReader("")
	}, backend.ListOptions{}, "")
	if err != nil || !slices.Equal(keys, []string{"a", "b", "bb", "c", "d"}) || !dropped {
		t.Errorf("%q, %v; the page behind the first try was asked for and dropped: %v", keys, err, dropped)
	}
}

// TestListSecondTryAhead: the token that counts is that of the last try, where that is over before anybody asks.
func TestListSecondTryAhead(t *testing.T) {
	tries := 0
	keys, err := listed(t, func(_ context.Context, token string) io.Reader {
		switch token {
		case "":
			return strings.NewReader(pageOf("2", "a"))
		case "2":
			return strings.NewReader(pageOf("3", "b", "bb"))
		case "3": // asked for and read while b is handed on
			if tries++; tries == 1 {
				return io.MultiReader(strings.NewReader(pageOf("wrong", "c", "d")[:120]), iotest.ErrReader(errors.New("reset")))
			}
			return strings.NewReader(pageOf("4", "c"))
		case "4":
			return strings.NewReader(pageOf("", "d"))
		}
		t.Errorf("asked for %q", token)
		return strings.NewReader("")
	}, backend.ListOptions{}, "")
	if err != nil || tries != 2 || !slices.Equal(keys, []string{"a", "b", "bb", "c", "d"}) {
		t.Errorf("%q, %v, after %d tries", keys, err, tries)
	}
}

// TestListLeft: who leaves off ends what was asked for ahead.
func TestListLeft(t *testing.T) {
	ended := false
	keys, err := listed(t, func(ctx context.Context, token string) io.Reader {
		switch token {
		case "":
			return strings.NewReader(pageOf("2", "a"))
		case "2":
			return strings.NewReader(pageOf("3", "b", "bb"))
		}
		return readFunc(func([]byte) (int, error) {
			<-ctx.Done()
			ended = true
			return 0, ctx.Err()
		})
	}, backend.ListOptions{}, "bb")
	if err != nil || !ended || !slices.Equal(keys, []string{"a", "b", "bb"}) {
		t.Errorf("%q, %v; ended: %v", keys, err, ended)
	}
}

// TestListAheadFails: the rows in front of a page that cannot be read are handed on before its error, also where reading it panics.
func TestListAheadFails(t *testing.T) {
	for _, panics := range []bool{false, true} {
		keys, err := listed(t, func(_ context.Context, token string) io.Reader {
			switch {
			case token == "":
				return strings.NewReader(pageOf("2", "a"))
			case token == "2":
				return strings.NewReader(pageOf("3", "b"))
			case panics:
				panic("what nobody thought of")
			}
			return strings.NewReader(pageOf("4", "c")[:120])
		}, backend.ListOptions{}, "")
		if !slices.Equal(keys, []string{"a", "b"}) || !errors.Is(err, backend.ErrUnavailable) || strings.Contains(err.Error(), "what nobody thought of") != panics {
			t.Errorf("%q, %v", keys, err)
		}
	}
}
