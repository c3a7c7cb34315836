package gcs

import (
	"context"
	"net"
	"net/http"
	"time"

	"sluice/backend/breaker"
	"sluice/backend/link"
)

// usualStall is how long a connection may stand still in the middle of a request, unless the configuration says otherwise.
const usualStall = 2 * time.Minute

// newTransport is what requests travel over. HTTP/2 would send the parts that overlap over one connection.
func newTransport(stall time.Duration, guard *breaker.Breaker) *transport {
	if stall <= 0 {
		stall = usualStall
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:        http.ProxyFromEnvironment,
		DialContext:  link.Dial(dialer.DialContext, stall, stall),
		MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, // a part must not pay for a new connection
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
		DisableCompression: true, Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	return &transport{base: t, breaker: guard}
}

// sameHost follows no redirection to another host: the credentials go along with every request.
func sameHost(req *http.Request, via []*http.Request) error {
	if first := via[0].URL; req.URL.Host != first.Host || req.URL.Scheme != first.Scheme || len(via) > 5 {
		return http.ErrUseLastResponse
	}
	return nil
}

// watch is what one operation wants to know of its requests, or to have in them.
type watch struct {
	tries   int    // sent so far. What the second one meets may be the work of the first, the answer to which was lost
	class   string // storage class that the last answer names
	request string // its id
	kmsKey  string // is put into the requests: the SDK has no place for it in a compose request
}

type watchKey struct{}

// watched returns a context whose requests, which follow each other, w sees.
func watched(ctx context.Context, w *watch) context.Context {
	return context.WithValue(ctx, watchKey{}, w)
}

type transport struct {
	base    http.RoundTripper
	breaker *breaker.Breaker
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	w, ok := req.Context().Value(watchKey{}).(*watch)
	if !ok {
		return t.breaker.Do(req, t.base.RoundTrip)
	}
	w.tries++
	if w.kmsKey != "" {
		req = req.Clone(req.Context())
		q := req.URL.Query()
		q.Set("kmsKeyName", w.kmsKey)
		req.URL.RawQuery = q.Encode()
	}
	resp, err := t.breaker.Do(req, t.base.RoundTrip)
	if err == nil {
		w.class, w.request = resp.Header.Get("X-Goog-Storage-Class"), resp.Header.Get("X-Guploader-Uploadid")
	}
	return resp, err
}

// CloseIdleConnections is what http.Client calls.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
