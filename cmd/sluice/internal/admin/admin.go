// Package admin answers health checks and tells metrics over HTTP. It knows nothing of what it reports on: run.go tells it.
package admin

import (
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Server returns an HTTP server for a listener that only operators can reach. /healthz answers 200 for as long as the program
// runs, /readyz 200 once ready returns true and 503 before. Neither changes when the program drains: an orchestrator that took
// the address away then would cut the transfers that are still running. /metrics shows what is gathered, in the formats of Prometheus and OpenMetrics.
func Server(ready func() bool, metrics prometheus.Gatherer) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, true) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, ready()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
}

func answer(w http.ResponseWriter, ok bool) {
	w.Header().Set("Cache-Control", "no-store")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "starting\n")
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}
