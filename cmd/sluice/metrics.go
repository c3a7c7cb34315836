package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"sluice/backend/transfer"
	"sluice/cache"
)

// newRegistry returns what /metrics shows of the process itself.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// metrics shows the state of the cache and of the transfer engine, both of which keep it themselves.
type metrics struct {
	cache  *cache.Cache
	engine *transfer.Engine
}

var _ prometheus.Collector = metrics{}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}

var (
	cacheRequests = describe("cache_requests_total", "Questions to the metadata cache, for an object (stat) or for up to 1000 rows of a listing (list), by how they were "+
		"answered: hit, absent (known not to exist), miss (asked the store), shared (waited for the request of another session).", "kind", "result")
	cacheDiscarded     = describe("cache_discarded_total", "Answers of stores that were not kept, since a write had overtaken them.")
	cacheEvictions     = describe("cache_evictions_total", "Objects and chunks of listings that had to make room.")
	cacheInvalidations = describe("cache_invalidations_total", "Keys and prefixes that were dropped on request.")
	cacheBytes         = describe("cache_bytes", "Memory that the cache holds.")
	cacheLimit         = describe("cache_limit_bytes", "Memory that the cache may hold.")
	bufferBytes        = describe("buffer_bytes", "Memory counted for transfers: their buffers, and what else an upload costs; at times more than the limit by a part.")
	bufferLimit        = describe("buffer_limit_bytes", "Memory for transfers.")
	transfersActive    = describe("transfers_active", "Uploads to and downloads from stores that are running.", "direction")
)

// Describe implements prometheus.Collector.
func (m metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m metrics) Collect(ch chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	c := m.cache.Stats()
	count(cacheRequests, c.Hits, "stat", "hit")
	count(cacheRequests, c.NegativeHits, "stat", "absent")
	count(cacheRequests, c.Misses, "stat", "miss")
	count(cacheRequests, c.Shared, "stat", "shared")
	count(cacheRequests, c.ListHits, "list", "hit")
	count(cacheRequests, c.ListMisses, "list", "miss")
	count(cacheRequests, c.ListShared, "list", "shared")
	count(cacheDiscarded, c.Discarded)
	count(cacheEvictions, c.Evictions)
	count(cacheInvalidations, c.Invalidations)
	gauge(cacheBytes, c.Bytes)
	gauge(cacheLimit, c.Limit)
	e := m.engine.Stats()
	gauge(bufferBytes, e.BufferBytes)
	gauge(bufferLimit, e.BufferLimit)
	gauge(transfersActive, e.Uploads, "upload")
	gauge(transfersActive, e.Downloads, "download")
}
