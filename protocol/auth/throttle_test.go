package auth

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var addr = netip.MustParseAddr

// guess fails n times and returns the ban that the last guess led to.
func guess(t *Throttle, n int, a netip.Addr, user string) (ban time.Duration) {
	for range n {
		ban = t.Fail(a, user)
	}
	return ban
}

func TestThrottleGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th Throttle
		a := addr("192.0.2.1")
		want := firstBan
		for round := range 13 {
			for i := range addressLimit - 1 {
				if ban := th.Fail(a, fmt.Sprint("user", i)); ban != 0 {
					t.Fatalf("round %d: banned after %d guesses", round, i+1)
				}
			}
			if ban := th.Fail(a, "user"); ban != want {
				t.Fatalf("round %d: ban of %v, want %v", round, ban, want)
			}
			if d := th.Banned(a, "ann"); d != want {
				t.Fatalf("round %d: Banned = %v, want %v", round, d, want)
			}
			if d := th.Banned(addr("192.0.2.2"), "ann"); d != 0 {
				t.Fatalf("round %d: the neighbour is banned for %v", round, d)
			}
			time.Sleep(want)
			if d := th.Banned(a, "ann"); d != 0 {
				t.Fatalf("round %d: still banned for %v", round, d)
			}
			want = min(2*want, longestBan)
		}
		time.Sleep(forget + time.Second)
		if ban := guess(&th, addressLimit, a, "user"); ban != firstBan {
			t.Errorf("after a quiet day: ban of %v, want %v", ban, firstBan)
		}
	})
}

// Clients choose how long a name is, but not how much of it is kept.
func TestThrottleLongNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th Throttle
		long := strings.Repeat("x", 1<<20)
		for i := range userLimit {
			th.Fail(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), long)
		}
		if th.Banned(addr("203.0.113.1"), long) == 0 {
			t.Error("a long name is never banned")
		}
		for _, s := range th.scores.Keys() {
			if len(s.user) > maxName {
				t.Errorf("%d bytes of a name are kept", len(s.user))
			}
		}
	})
}

// Guesses that come slower than points go away never lead to a ban.
func TestThrottleDecays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th Throttle
		for i := range 100 {
			if ban := th.Fail(addr("192.0.2.1"), "ann"); ban != 0 {
				t.Fatalf("banned at guess %d", i+1)
			}
			time.Sleep(decay)
		}
	})
}

func TestThrottleUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th Throttle
		home := addr("198.51.100.7")
		th.Succeed(home, "ann")
		var ban time.Duration
		for i := range userLimit {
			ban = th.Fail(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), "ann")
		}
		if ban != firstBan {
			t.Errorf("%d guesses from as many addresses: ban of %v, want %v", userLimit, ban, firstBan)
		}
		if th.Banned(addr("203.0.113.1"), "ann") == 0 {
			t.Error("the user is not banned elsewhere")
		}
		if th.Banned(addr("203.0.113.1"), "bob") != 0 {
			t.Error("another user is banned")
		}
		if th.Banned(home, "ann") != 0 {
			t.Error("the user is locked out where he logged in before")
		}
		for i := range 10 * userLimit {
			if b := th.Fail(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), "ann"); b > ban {
				ban = b
			}
			if i%userLimit == userLimit-1 {
				time.Sleep(userBan)
			}
		}
		if ban != userBan {
			t.Errorf("the longest ban of a user was %v, want %v", ban, userBan)
		}
		if guess(&th, addressLimit, home, "ann") != firstBan {
			t.Error("guesses from where the user logged in before go unpunished")
		}
	})
}

func TestThrottleExempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th Throttle
		th.Exempt([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::7/128")})
		for _, a := range []string{"10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"} {
			if guess(&th, 2*addressLimit, addr(a), "") != 0 || th.Banned(addr(a), "") != 0 {
				t.Errorf("%s is banned", a)
			}
		}
		if guess(&th, addressLimit, addr("2001:db8::8"), "") == 0 {
			t.Error("the neighbour of an exempt address is never banned")
		}
	})
}

func TestThrottleBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th Throttle
		guess(&th, addressLimit, addr("2001:db8:0:1::1"), "")
		if th.Banned(addr("2001:db8:0:1:ffff::2"), "") == 0 {
			t.Error("another address of the /64 is not banned")
		}
		if th.Banned(addr("2001:db8:0:2::1"), "") != 0 {
			t.Error("an address of another /64 is banned")
		}
		guess(&th, addressLimit, addr("::ffff:192.0.2.1"), "")
		if th.Banned(addr("192.0.2.1"), "") == 0 {
			t.Error("an IPv4 address in IPv6 form counts as another one")
		}
	})
}

func TestThrottleIsBounded(t *testing.T) {
	var th Throttle
	for i := range 3 * remember / 2 {
		th.Fail(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), fmt.Sprint("user", i))
	}
	if n := th.scores.Len(); n > remember {
		t.Errorf("%d scores are kept, want at most %d", n, remember)
	}
}
