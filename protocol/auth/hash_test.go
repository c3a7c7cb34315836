package auth

import (
	"errors"
	"strings"
	"testing"
)

// Vectors: argon2id from the reference implementation's tests (test.c, version 19), bcrypt from Openwall's crypt_blowfish
// (wrapper.c), SHA-crypt from Ulrich Drepper's specification (glibc's crypt and OpenSSL give the same).
var vectors = []struct{ hash, password string }{
	{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"},
	{"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password"},
	{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	{"$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	{"$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"},
	{"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"},
	{"$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA", "Hello world!"},
	{"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!"},
	{"$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.", "Hello world!"},
}

func TestMatch(t *testing.T) {
	for _, v := range vectors {
		d, err := Parse(v.hash)
		if err != nil {
			t.Errorf("Parse(%s): %v", v.hash, err)
			continue
		}
		if !d.Match([]byte(v.password)) {
			t.Errorf("%s does not match %q", v.hash, v.password)
		}
		for _, wrong := range []string{"", v.password + "x", strings.ToLower(v.password) + " ", strings.Repeat("x", MaxPassword+1)} {
			if d.Match([]byte(wrong)) {
				t.Errorf("%s matches %q", v.hash, wrong)
			}
		}
		if d.String() != v.hash {
			t.Errorf("String() = %s, want %s", d, v.hash)
		}
	}
}

func TestHash(t *testing.T) {
	h := Hash([]byte("correct horse"))
	if !strings.HasPrefix(h, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("Hash = %s, want the documented parameters", h)
	}
	d, err := Parse(h)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Match([]byte("correct horse")) || d.Match([]byte("correct horsf")) {
		t.Error("the hash does not tell the right password from a wrong one")
	}
	if h == Hash([]byte("correct horse")) {
		t.Error("two hashes of one password are equal: no fresh salt")
	}
}

func TestZeroDigest(t *testing.T) {
	for _, p := range []string{"", "x"} {
		if (Digest{}).Match([]byte(p)) {
			t.Errorf("the zero Digest matches %q", p)
		}
	}
}

// A password beyond MaxPassword must not match by its beginning.
func TestLongPassword(t *testing.T) {
	long := []byte(strings.Repeat("a", MaxPassword+1))
	d, err := Parse(Hash(long[:MaxPassword]))
	if err != nil {
		t.Fatal(err)
	}
	if !d.Match(long[:MaxPassword]) || d.Match(long) {
		t.Error("the limit is not where MaxPassword says")
	}
}

func TestParseRefuses(t *testing.T) {
	const salt, key = "c29tZXNhbHQ", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	for _, tt := range []struct{ hash, want string }{
		{"", "must begin with"},
		{"secret", "must begin with"},
		{"$1$abc$xyz", "must begin with"},
		{"$argon2i$v=19$m=256,t=2,p=1$" + salt + "$" + key, "must begin with"},
		{"$argon2id$v=19$m=256,t=2,p=1$" + salt, "5 parts"},
		{"$argon2id$v=16$m=256,t=2,p=1$" + salt + "$" + key, "version"},
		{"$argon2id$v=19$m=256,t=2$" + salt + "$" + key, "parameters"},
		{"$argon2id$v=19$m=256,p=1,t=2$" + salt + "$" + key, "parameter t="},
		{"$argon2id$v=19$m=2000000,t=2,p=1$" + salt + "$" + key, "parameter m="},
		{"$argon2id$v=19$m=256,t=0,p=1$" + salt + "$" + key, "parameter t="},
		{"$argon2id$v=19$m=256,t=99,p=1$" + salt + "$" + key, "parameter t="},
		{"$argon2id$v=19$m=256,t=2,p=256$" + salt + "$" + key, "parameter p="},
		{"$argon2id$v=19$m=8,t=2,p=2$" + salt + "$" + key, "8 times p"},
		{"$argon2id$v=19$m=256,t=2,p=1$YQ$" + key, "salt"},
		{"$argon2id$v=19$m=256,t=2,p=1$" + salt + "$YQ", "key"},
		{"$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + key + "=", "key"},
		{"$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4", "60 characters"},
		{"$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4!", "60 characters"},
		{"$2b$31$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "cost"},
		{"$2b$xx$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "cost"},
		{"$5$saltstring$5B8vYYiY", "43 characters"},
		{"$5$$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8", "salt"},
		{"$5$saltstringsaltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8", "salt"},
		{"$5$rounds=10$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8", "rounds"},
		{"$6$rounds=999999999$saltstring$", "rounds"},
	} {
		d, err := Parse(tt.hash)
		if !errors.Is(err, ErrHash) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %v, want ErrHash with %q", tt.hash, err, tt.want)
			continue
		}
		if d.kind != none {
			t.Errorf("Parse(%q) returned a digest besides its error", tt.hash)
		}
	}
}

// What Parse accepts is bounded in cost, keeps its text, and its error never shows the hash.
func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.hash)
	}
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s)
		if err != nil {
			if !errors.Is(err, ErrHash) || d.kind != none {
				t.Fatalf("Parse(%q) = %v, %v", s, d, err)
			}
			if len(s) > 40 && strings.Contains(err.Error(), s) {
				t.Fatalf("the error shows the hash: %v", err)
			}
			return
		}
		if d.String() != s {
			t.Fatalf("String() = %q, want %q", d, s)
		}
		if d.memory > maxMemory || d.passes > maxPasses || d.rounds > maxRounds {
			t.Fatalf("Parse(%q) accepts parameters beyond the limits", s)
		}
	})
}
