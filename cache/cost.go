package cache

import "sluice/backend"

// Estimates of heap bytes on 64-bit machines, map slots, list links and size classes included. BenchmarkMemory
// measures how good they are.
const (
	entryCost  = 348 // an entry of a shard without its strings
	chunkCost  = 400 // a chunk without its rows
	stringCost = 8   // lost on average by each string to its size class
	pairCost   = 48
)

// cost estimates the strings that o refers to.
func cost(o *backend.Object) int64 {
	n := len(o.Key) + len(o.ETag) + len(o.ContentType) + len(o.StorageClass) + 2*stringCost
	if len(o.Metadata) > 0 {
		n += pairCost
		for k, v := range o.Metadata {
			n += len(k) + len(v) + pairCost
		}
	}
	if len(o.Checksums) > 0 {
		n += pairCost
		for k, v := range o.Checksums {
			n += len(k) + len(v) + pairCost
		}
	}
	return int64(n)
}
