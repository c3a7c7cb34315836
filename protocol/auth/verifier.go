package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"sync"
	"time"
)

// Verifier checks passwords for many clients at once: so many hashes are computed at a time and no more, and a password that
// was right a moment ago is not computed again. Make one with NewVerifier.
type Verifier struct {
	slots chan struct{}
	key   [32]byte // of the cache's HMAC; lives as long as the process

	mu    sync.Mutex
	until map[[32]byte]time.Time // successes
	sweep time.Time              // when expired ones are dropped next
}

// remembered is how long a success is remembered: jobs log in for each file.
const remembered = time.Minute

// NewVerifier returns a Verifier that computes parallel hashes at once; 0 means one per processor. With argon2id's default
// parameters each holds 19 MiB.
func NewVerifier(parallel int) *Verifier {
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	v := &Verifier{slots: make(chan struct{}, parallel), until: map[[32]byte]time.Time{}}
	rand.Read(v.key[:]) // never fails
	return v
}

// Verify reports whether password is the one that d was made of. Its only error is that of ctx.
func (v *Verifier) Verify(ctx context.Context, user string, d Digest, password []byte) (bool, error) {
	id := v.id(user, d, password)
	if v.known(id) {
		return true, nil
	}
	ok, err := v.Compute(ctx, d, password)
	if ok {
		v.remember(id)
	}
	return ok, err
}

// Compute is Verify without the memory: it takes as long for a right password as for a wrong one, every time. It is for logins
// that will be refused whatever the password: of a user who does not exist, d should be the hash of one who does.
func (v *Verifier) Compute(ctx context.Context, d Digest, password []byte) (bool, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
		return d.Match(password), nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// id names a success without being of any use to who reads it: it is keyed.
func (v *Verifier) id(user string, d Digest, password []byte) [32]byte {
	mac := hmac.New(sha256.New, v.key[:])
	for _, part := range [][]byte{[]byte(user), []byte(d.text), password} {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write(part)
	}
	return [32]byte(mac.Sum(nil))
}

func (v *Verifier) known(id [32]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Now().Before(v.until[id])
}

// remember keeps a success. There is at most one per user and hash: the map needs no other bound.
func (v *Verifier) remember(id [32]byte) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.After(v.sweep) {
		for k, t := range v.until {
			if now.After(t) {
				delete(v.until, k)
			}
		}
		v.sweep = now.Add(remembered)
	}
	v.until[id] = now.Add(remembered)
}
