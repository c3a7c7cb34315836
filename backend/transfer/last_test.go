package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"sluice/backend"
	"sluice/backend/mem"
)

// brittle is a store whose bodies fail together with their last bytes.
type brittle struct{ backend.Store }

func (d brittle) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	body, obj, err := d.Store.Open(ctx, key, opts)
	if err != nil {
		return nil, obj, err
	}
	defer body.Close()
	p, err := io.ReadAll(body)
	return io.NopCloser(iotest.DataErrReader(io.MultiReader(bytes.NewReader(p), iotest.ErrReader(errBroken)))), obj, err
}

// An error that comes with the last bytes is none that could be overlooked.
func TestErrorWithLastBytes(t *testing.T) {
	m := mem.New(mem.Config{})
	mustPut(t, m, "k", pattern(100_000))
	body, _, err := New(Config{}).Open(t.Context(), brittle{m}, "k", OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if n, err := io.Copy(io.Discard, body); !errors.Is(err, errBroken) || n == 100_000 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
