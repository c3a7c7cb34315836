package admin

import (
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestServer(t *testing.T) {
	ready := false
	h := Server(func() bool { return ready }, prometheus.NewRegistry()).Handler
	check := func(method, path string, code int, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != code || body != "" && w.Body.String() != body {
			t.Errorf("%s %s: %d %q, want %d %q", method, path, w.Code, w.Body, code, body)
		}
	}
	check("GET", "/healthz", 200, "ok\n")
	check("GET", "/readyz", 503, "starting\n")
	ready = true
	check("GET", "/readyz", 200, "ok\n")
	check("HEAD", "/readyz", 200, "")
	check("POST", "/readyz", 405, "")
	check("GET", "/metrics", 200, "")
	check("GET", "/", 404, "")
}
