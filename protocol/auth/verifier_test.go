package auth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// weak is a hash that costs next to nothing.
func weak(t *testing.T) Digest {
	t.Helper()
	d, err := Parse(vectors[0].hash)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestVerify(t *testing.T) {
	v, d := NewVerifier(0), weak(t)
	for _, tt := range []struct {
		password string
		want     bool
	}{{"password", true}, {"password", true}, {"Password", false}, {"", false}} {
		ok, err := v.Verify(t.Context(), "ann", d, []byte(tt.password))
		if ok != tt.want || err != nil {
			t.Errorf("Verify(%q) = %v, %v; want %v", tt.password, ok, err, tt.want)
		}
	}
	if ok, err := v.Verify(t.Context(), "ann", Digest{}, []byte("password")); ok || err != nil {
		t.Errorf("the zero Digest: %v, %v", ok, err)
	}
}

// A success is remembered for a minute: it is answered even while no hash can be computed. Nothing else is.
func TestVerifyRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, d := NewVerifier(1), weak(t)
		if ok, err := v.Verify(t.Context(), "ann", d, []byte("password")); !ok || err != nil {
			t.Fatal(ok, err)
		}
		v.slots <- struct{}{} // all taken
		verify := func(user string, d Digest, password string) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ok, err := v.Verify(ctx, user, d, []byte(password))
			if ok != (err == nil) {
				t.Errorf("Verify = %v, %v", ok, err)
			}
			return err
		}
		if err := verify("ann", d, "password"); err != nil {
			t.Errorf("the success was not remembered: %v", err)
		}
		other, err := Parse(vectors[1].hash)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{verify("bob", d, "password"), verify("ann", d, "passwore"), verify("ann", other, "password")} {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("another login was answered from memory: %v", err)
			}
		}
		time.Sleep(remembered)
		if err := verify("ann", d, "password"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the success was remembered for more than %v: %v", remembered, err)
		}
		<-v.slots
		if ok, err := v.Verify(t.Context(), "cat", d, []byte("password")); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if n := len(v.until); n != 1 {
			t.Errorf("%d successes are kept, want the fresh one alone", n)
		}
	})
}

func TestComputeWaitsForSlot(t *testing.T) {
	v := NewVerifier(1)
	v.slots <- struct{}{}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("gone")
	cancel(cause)
	if ok, err := v.Compute(ctx, weak(t), []byte("password")); ok || !errors.Is(err, cause) {
		t.Errorf("Compute = %v, %v; want %v", ok, err, cause)
	}
}

// The cost of one login, for the documentation.
func BenchmarkVerify(b *testing.B) {
	d, err := Parse(Hash([]byte("password")))
	if err != nil {
		b.Fatal(err)
	}
	v := NewVerifier(0)
	b.Run("wrong", func(b *testing.B) {
		for b.Loop() {
			_, _ = v.Verify(b.Context(), "ann", d, []byte("passwore"))
		}
	})
	b.Run("unknown", func(b *testing.B) {
		for b.Loop() {
			_, _ = v.Compute(b.Context(), Digest{}, []byte("passwore"))
		}
	})
	b.Run("remembered", func(b *testing.B) {
		for b.Loop() {
			_, _ = v.Verify(b.Context(), "ann", d, []byte("password"))
		}
	})
}
