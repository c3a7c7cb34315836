package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-crypt/x/crypt"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// ErrHash is what Parse returns for text that is no password hash it accepts.
var ErrHash = errors.New("not a password hash")

// MaxPassword is the longest password in bytes. No longer one matches, so that nobody can make a hash slow by its length.
const MaxPassword = 1024

// The parameters of Hash: the first choice of OWASP's password storage cheat sheet for argon2id.
const (
	memory   = 19456 // KiB
	passes   = 2
	lanes    = 1
	saltSize = 16 // bytes
	keySize  = 32 // bytes
)

// The largest parameters that Parse accepts. A hash beyond them would let one login hold the machine.
const (
	maxMemory = 1 << 20 // KiB
	maxPasses = 32
	maxCost   = 16      // bcrypt: 2^16 rounds
	maxRounds = 1000000 // SHA-crypt
)

// Digest is a password hash that Parse has understood. The zero Digest matches no password and costs as much as what Hash
// returns.
type Digest struct {
	kind kind
	text string // what Parse was given

	salt, key []byte // argon2id, SHA-crypt
	memory    uint32 // argon2id: KiB
	passes    uint32 // argon2id
	lanes     uint8  // argon2id
	rounds    int    // SHA-crypt
}

type kind int

const (
	none kind = iota
	argon
	blowfish
	sha256crypt
	sha512crypt
)

// Hash returns the argon2id hash of a password in PHC string format, with a fresh salt.
func Hash(password []byte) string {
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	key := argon2.IDKey(password, salt, passes, memory, lanes, keySize)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// Parse reads a hash: argon2id in PHC format, bcrypt ($2a$, $2b$, $2y$), or SHA-crypt ($5$, $6$). Its error wraps ErrHash
// and never holds the hash.
func Parse(s string) (Digest, error) {
	d := Digest{text: s}
	var err error
	switch {
	case strings.HasPrefix(s, "$argon2id$"):
		err = d.parseArgon(s)
	case strings.HasPrefix(s, "$2a$"), strings.HasPrefix(s, "$2b$"), strings.HasPrefix(s, "$2y$"):
		err = d.parseBcrypt(s)
	case strings.HasPrefix(s, "$5$"):
		d.kind = sha256crypt
		err = d.parseSHA(s[3:], 43)
	case strings.HasPrefix(s, "$6$"):
		d.kind = sha512crypt
		err = d.parseSHA(s[3:], 86)
	default:
		err = errors.New("it must begin with $argon2id$, $2b$, $6$ or $5$")
	}
	if err != nil {
		return Digest{}, fmt.Errorf("%w: %w", ErrHash, err)
	}
	return d, nil
}

// String returns the hash as Parse was given it; empty for the zero Digest.
func (d Digest) String() string { return d.text }

// Match reports whether the hash is that of password. It takes tens of milliseconds and, for argon2id, its memory: callers
// that serve clients go through a Verifier.
func (d Digest) Match(password []byte) bool {
	short := len(password) <= MaxPassword
	if !short {
		password = password[:MaxPassword]
	}
	switch d.kind {
	case argon:
		key := argon2.IDKey(password, d.salt, d.passes, d.memory, d.lanes, uint32(len(d.key)))
		return subtle.ConstantTimeCompare(key, d.key) == 1 && short
	case blowfish:
		return bcrypt.CompareHashAndPassword([]byte(d.text), password) == nil && short
	case sha256crypt:
		return subtle.ConstantTimeCompare(crypt.KeySHACrypt(sha256.New, password, d.salt, d.rounds), d.key) == 1 && short
	case sha512crypt:
		return subtle.ConstantTimeCompare(crypt.KeySHACrypt(sha512.New, password, d.salt, d.rounds), d.key) == 1 && short
	default:
		argon2.IDKey(password, make([]byte, saltSize), passes, memory, lanes, keySize)
		return false
	}
}

// parseArgon reads $argon2id$v=19$m=KiB,t=passes,p=lanes$salt$key, both parts in base64 without padding.
func (d *Digest) parseArgon(s string) error {
	d.kind = argon
	part := strings.Split(s, "$")
	if len(part) != 6 {
		return fmt.Errorf("argon2id has 5 parts, this has %d", len(part)-1)
	}
	if part[2] != "v="+strconv.Itoa(argon2.Version) {
		return fmt.Errorf("argon2id version must be v=%d", argon2.Version)
	}
	param := strings.Split(part[3], ",")
	if len(param) != 3 {
		return errors.New("argon2id parameters must be m=,t=,p=")
	}
	var n [3]uint32
	for i, p := range []struct {
		prefix string
		most   uint32
	}{{"m=", maxMemory}, {"t=", maxPasses}, {"p=", math.MaxUint8}} {
		text, ok := strings.CutPrefix(param[i], p.prefix)
		v, err := strconv.ParseUint(text, 10, 32)
		if !ok || err != nil || v < 1 || v > uint64(p.most) {
			return fmt.Errorf("argon2id parameter %s must be 1 to %d", p.prefix, p.most)
		}
		n[i] = uint32(v)
	}
	d.memory, d.passes, d.lanes = n[0], n[1], uint8(n[2])
	if d.memory < 8*uint32(d.lanes) {
		return errors.New("argon2id needs m of at least 8 times p") // RFC 9106, section 3.1
	}
	var err error
	if d.salt, err = base64.RawStdEncoding.Strict().DecodeString(part[4]); err != nil || len(d.salt) < 8 || len(d.salt) > 64 {
		return errors.New("argon2id salt must be 8 to 64 bytes in base64")
	}
	if d.key, err = base64.RawStdEncoding.Strict().DecodeString(part[5]); err != nil || len(d.key) < 16 || len(d.key) > 64 {
		return errors.New("argon2id key must be 16 to 64 bytes in base64")
	}
	return nil
}

// The alphabets of bcrypt and SHA-crypt hold the same characters.
const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func clean(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(alphabet, r) })
}

// parseBcrypt checks $2b$NN$ and 53 characters of salt and key.
func (d *Digest) parseBcrypt(s string) error {
	d.kind = blowfish
	if len(s) != 60 || s[6] != '$' || !clean(s[7:]) {
		return errors.New("bcrypt has 60 characters: $2b$, a cost of two digits, $, salt and key")
	}
	cost, err := bcrypt.Cost([]byte(s))
	if err != nil || cost > maxCost {
		return fmt.Errorf("bcrypt cost must be %d to %d", bcrypt.MinCost, maxCost)
	}
	return nil
}

// parseSHA reads [rounds=n$]salt$key, the format of Ulrich Drepper's specification "Unix crypt using SHA-256 and SHA-512".
func (d *Digest) parseSHA(s string, size int) error {
	d.rounds = 5000
	if rest, ok := strings.CutPrefix(s, "rounds="); ok {
		text, rest, _ := strings.Cut(rest, "$")
		n, err := strconv.Atoi(text)
		if err != nil || n < 1000 || n > maxRounds {
			return fmt.Errorf("SHA-crypt rounds must be 1000 to %d", maxRounds)
		}
		d.rounds, s = n, rest
	}
	salt, key, ok := strings.Cut(s, "$")
	if !ok || salt == "" || len(salt) > 16 {
		return errors.New("SHA-crypt salt must be 1 to 16 characters, followed by $")
	}
	if len(key) != size || !clean(key) {
		return fmt.Errorf("SHA-crypt key must be %d characters of ./0-9A-Za-z", size)
	}
	d.salt, d.key = []byte(salt), []byte(key)
	return nil
}
