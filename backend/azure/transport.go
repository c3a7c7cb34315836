package azure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"sluice/backend"
	"sluice/backend/link"
)

const (
	stall    = time.Minute     // how long a body may stand still
	patience = 5 * time.Minute // how long the service may think by default, which copies inside it take
)

// newClient returns the HTTP client of a store. It follows no redirects, which the service does not send: they would carry
// keys elsewhere.
func newClient(patience time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:        http.ProxyFromEnvironment,
		DialContext:  link.Dial(dialer.DialContext, patience, stall),
		MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, // a part must not pay for a new connection
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 30 * time.Second, ExpectContinueTimeout: time.Second,
		DisableCompression: true, // what is stored is what is read
		Protocols:          new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true) // HTTP/2 would send the parts that overlap over one connection
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

var (
	errStalled = fmt.Errorf("%w: it sends nothing", backend.ErrTimeout)
	errClosed  = errors.New("the request has ended")
)

// body is the content of an object on its way. A break in it is worth another try.
type body struct {
	io.ReadCloser
	ctx    context.Context         // of Open, which governs the read
	cancel context.CancelCauseFunc // of the request
	timer  *time.Timer
	stall  time.Duration
	failed func(error) error // says which read it was
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, stall time.Duration, r io.ReadCloser, failed func(error) error) *body {
	b := &body{ReadCloser: r, ctx: ctx, cancel: cancel, stall: stall, failed: failed, timer: time.AfterFunc(stall, func() { cancel(errStalled) })}
	b.timer.Stop()
	return b
}

func (b *body) Read(p []byte) (int, error) {
	if cause := b.ctx.Err(); cause != nil {
		return 0, cause
	}
	b.timer.Reset(b.stall)
	n, err := b.ReadCloser.Read(p)
	if !b.timer.Stop() && err != nil {
		err = errStalled
	}
	if err != nil && err != io.EOF {
		if cause := b.ctx.Err(); cause != nil {
			return n, cause
		}
		err = b.failed(err)
	}
	return n, err
}

// Close ends the request.
func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// content is a request body that lets go of its bytes when it is closed: net/http may still read from one while an early
// answer is on its way to the caller, whose bytes they are again from then on.
type content struct {
	mu     sync.Mutex
	r      *bytes.Reader
	closed bool
}

func newContent(p []byte) *content { return &content{r: bytes.NewReader(p)} }

func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, errClosed
	}
	return c.r.Read(p)
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.Seek(offset, whence)
}

func (c *content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}
