package file

import (
	"fmt"
	"testing"

	"sluice/backend"
)

func benchStore(b *testing.B) *Store {
	s, err := Open(b.Context(), Config{Path: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func BenchmarkPut(b *testing.B) {
	for name, a := range map[string]backend.Attributes{"plain": {}, "attributes": {ContentType: "text/plain"}} {
		b.Run(name, func(b *testing.B) {
			s := benchStore(b)
			p := make([]byte, 4096)
			for i := 0; b.Loop(); i++ {
				if _, err := s.Put(b.Context(), fmt.Sprintf("d/%d", i), p, backend.PutOptions{Attributes: a}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUpload(b *testing.B) {
	s := benchStore(b)
	p := make([]byte, 8<<20)
	const parts = 8
	b.SetBytes(parts * int64(len(p)))
	for b.Loop() {
		u, err := s.NewUpload(b.Context(), "o", backend.PutOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for n := 1; n <= parts; n++ {
			if err := u.WritePart(b.Context(), n, p); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := u.Commit(b.Context(), parts); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList gives the time of one row.
func BenchmarkList(b *testing.B) {
	s := benchStore(b)
	const rows = 1000
	for i := range rows {
		if err := s.root.WriteFile(fmt.Sprintf("%05d", i), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		for _, err := range s.List(b.Context(), "", backend.ListOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}
