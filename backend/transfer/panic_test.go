package transfer

import (
	"io"
	"testing"
	"testing/synctest"

	"sluice/backend/mem"
)

// panicReader panics when p was delivered.
type panicReader struct{ io.Reader }

func (r panicReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		panic("on purpose")
	}
	return n, err
}

// A caller that recovers from what its reader did has lost nothing of the budget.
func TestPanicOfReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(8<<20, 160<<10)
		e := New(Config{Budget: b, PartSize: 1 << 20})
		s := mem.New(mem.Config{})
		for _, size := range []int{0, 100_000, 2_500_000} {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was hidden")
					}
				}()
				_, _ = e.Upload(t.Context(), s, "k", panicReader{&endReader{p: pattern(size), err: io.EOF}}, UploadOptions{})
			}()
			synctest.Wait() // for parts under way
			if b.Used() != 0 || len(b.seats) != 0 {
				t.Errorf("%d bytes and %d seats are lost", b.Used(), len(b.seats))
			}
		}
	})
}
