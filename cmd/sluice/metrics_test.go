package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/transfer"
	"sluice/cmd/sluice/internal/admin"
	"sluice/cmd/sluice/internal/config"
)

// TestMetrics asks /metrics what the cache and the engine have done.
func TestMetrics(t *testing.T) {
	meta := newCache(config.Default().Cache)
	engine := transfer.New(transfer.Config{Budget: transfer.NewBudget(1<<30, 0)})
	registry := newRegistry()
	registry.MustRegister(metrics{meta, engine})
	show := func() map[string]float64 {
		w := httptest.NewRecorder()
		admin.Server(func() bool { return true }, registry).Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		values := map[string]float64{}
		for line := range strings.Lines(w.Body.String()) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
				var v float64
				if _, err := fmt.Sscan(value, &v); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				values[name] = v
			}
		}
		return values
	}

	store := meta.Wrap("s", mem.New(mem.Config{}))
	for i := range 3 {
		if _, err := store.Put(t.Context(), fmt.Sprintf("d/%d", i), nil, backend.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for _, err := range store.List(t.Context(), "d/", backend.ListOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := store.Stat(t.Context(), "d/none"); err == nil {
			t.Fatal("there is d/none")
		}
	}
	if _, err := store.Stat(t.Context(), "d/1"); err != nil {
		t.Fatal(err)
	}
	body, _, err := engine.Open(t.Context(), store, "d/1", transfer.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := show()
	for name, want := range map[string]float64{
		`sluice_cache_requests_total{kind="stat",result="hit"}`: 1, `sluice_cache_requests_total{kind="stat",result="absent"}`: 2,
		`sluice_cache_requests_total{kind="stat",result="miss"}`: 0, `sluice_cache_requests_total{kind="list",result="hit"}`: 1,
		`sluice_cache_requests_total{kind="list",result="miss"}`: 1, `sluice_cache_limit_bytes`: 64 << 20, `sluice_buffer_limit_bytes`: 1 << 30,
		`sluice_transfers_active{direction="upload"}`: 0, `sluice_transfers_active{direction="download"}`: 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	if held := got["sluice_cache_bytes"]; held <= 0 || held > 64<<20 {
		t.Errorf("the cache holds %v bytes", held)
	}
	if got["process_resident_memory_bytes"] == 0 {
		t.Error("nothing is said of the process")
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	if got := show(); got[`sluice_transfers_active{direction="download"}`] != 0 {
		t.Error("a closed download is still active")
	}
}
