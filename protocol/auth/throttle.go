package auth

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Throttle keeps a score of wrong guesses for every address and every user, and bans who has too many. Each wrong guess is
// one point; a point goes away every minute. A first ban lasts a minute, each further one twice as long, a day at most; after
// a day without a ban all is forgotten. IPv6 addresses count by their /64.
//
// A ban of a user slows down guessing from many addresses. It lasts a quarter of an hour at most and does not touch an
// address from which that user has logged in properly within a day: nobody can lock a user out by guessing.
//
// The zero Throttle is ready for use and exempts nobody.
type Throttle struct {
	mu     sync.Mutex
	exempt []netip.Prefix
	scores *simplelru.LRU[subject, *score]
	proven *simplelru.LRU[login, time.Time] // when a user last logged in from an address
}

// How many wrong guesses lead to a ban, and how it grows.
const (
	addressLimit = 10
	userLimit    = 30 // more: guesses of many clients add up here
	decay        = time.Minute
	firstBan     = time.Minute
	longestBan   = 24 * time.Hour   // of an address
	userBan      = 15 * time.Minute // longest of a user
	forget       = 24 * time.Hour
	remember     = 1 << 16 // subjects; the least recently used is forgotten
	maxName      = 256     // bytes of a user's name that are remembered
)

type subject struct {
	addr netip.Addr
	user string
}

type login subject

type score struct {
	points float64
	at     time.Time // when points was true
	bans   int
	until  time.Time // end of the last ban
}

// Exempt replaces the networks whose addresses are never banned: proxies, health checkers. Users are banned from there too.
func (t *Throttle) Exempt(networks []netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.exempt = networks
}

// Banned returns how long the address, or the user from this address, must still wait; 0 if neither is banned.
func (t *Throttle) Banned(addr netip.Addr, user string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init()
	var until time.Time
	for _, s := range t.subjects(addr, user) {
		if sc, ok := t.scores.Peek(s); ok && sc.until.After(until) {
			until = sc.until
		}
	}
	return max(0, time.Until(until))
}

// Fail counts a wrong guess. It returns how long the ban lasts that this guess led to; 0 for none.
func (t *Throttle) Fail(addr netip.Addr, user string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init()
	var ban time.Duration
	for _, s := range t.subjects(addr, user) {
		sc, ok := t.scores.Get(s)
		if !ok {
			sc = &score{}
			t.scores.Add(s, sc)
		}
		if s.user == "" {
			ban = max(ban, sc.fail(time.Now(), addressLimit, longestBan))
		} else {
			ban = max(ban, sc.fail(time.Now(), userLimit, userBan))
		}
	}
	return ban
}

// Succeed notes that the user has logged in from the address: bans of the user no longer apply there. It does not lower any
// score, or who has one account could guess at others between two of his own logins.
func (t *Throttle) Succeed(addr netip.Addr, user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init()
	t.proven.Add(login{block(addr), short(user)}, time.Now())
}

func (t *Throttle) init() {
	if t.scores == nil {
		t.scores, _ = simplelru.NewLRU[subject, *score](remember, nil) // fails for a size below 1 alone
		t.proven, _ = simplelru.NewLRU[login, time.Time](remember, nil)
	}
}

// subjects returns what a guess counts for.
func (t *Throttle) subjects(addr netip.Addr, user string) []subject {
	var s []subject
	if !contains(t.exempt, addr.Unmap()) {
		s = append(s, subject{addr: block(addr)})
	}
	user = short(user)
	if at, ok := t.proven.Get(login{block(addr), user}); user != "" && (!ok || time.Since(at) > forget) {
		s = append(s, subject{user: user})
	}
	return s
}

// short returns what is remembered of a name: clients choose how long it is.
func short(user string) string { return strings.Clone(user[:min(len(user), maxName)]) }

// fail adds a point and returns the ban that follows, if that makes limit points.
func (s *score) fail(now time.Time, limit float64, longest time.Duration) time.Duration {
	if now.Sub(s.until) > forget {
		s.bans = 0
	}
	s.points = max(0, s.points-float64(now.Sub(s.at))/float64(decay)) + 1
	s.at = now
	if s.points < limit || now.Before(s.until) {
		return 0
	}
	ban := longest
	if s.bans < 11 { // firstBan << 11 is beyond longestBan
		ban = min(longest, firstBan<<s.bans)
	}
	s.bans++
	s.points = 0
	s.until = now.Add(ban)
	return ban
}

// block is what one owner is likely to hold: the address, or the /64 of an IPv6 address.
func block(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		p, _ := addr.Prefix(64) // fails for more bits than an address has alone
		return p.Addr()
	}
	return addr
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
