package azure

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/backend"
)

// everything does each kind of request once, and returns their headers.
func everything(t *testing.T, cfg Config) map[string]http.Header {
	t.Helper()
	seen := map[string]http.Header{}
	s := wire(t, cfg, func(w http.ResponseWriter, r *http.Request) {
		op := operation(r)
		switch {
		case strings.Contains(r.URL.Path, own):
			op = "own " + op
		case strings.HasSuffix(r.URL.Path, "/"):
			op = "marker " + op
		case strings.HasSuffix(r.URL.Path, "/big") && r.Method == http.MethodHead:
			describe(w, "3", "X-Ms-Meta-A", "b")
			return
		}
		seen[op] = r.Header
		switch {
		case r.URL.Query().Get("comp") == "list":
			_, _ = w.Write([]byte("<EnumerationResults><Blobs></Blobs></EnumerationResults>"))
		case r.URL.Query().Get("comp") == "blocklist" && r.Method == http.MethodGet:
			_, _ = w.Write([]byte("<BlockList></BlockList>"))
		case op == "PUT metadata", op == "PUT properties":
			describe(w, "0")
		case r.Method == http.MethodPut:
			describe(w, "0")
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusAccepted)
		default:
			describe(w, "3", "X-Ms-Meta-A", "b")
		}
	})
	ctx := t.Context()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, key := range []string{"k", "dir/", own + "journal"} {
		_, err := s.Put(ctx, key, nil, backend.PutOptions{})
		check("put", err)
	}
	_, err := s.Stat(ctx, "k")
	check("stat", err)
	r, _, err := s.Open(ctx, "k", backend.OpenOptions{})
	if check("get", err); err == nil {
		_ = r.Close()
	}
	u, err := s.NewUpload(ctx, "k", backend.PutOptions{})
	check("begin", err)
	check("part", u.WritePart(ctx, 1, []byte("ab")))
	check("copy part", u.CopyPart(ctx, 2, "big", 0, 1, backend.CopyPartOptions{}))
	_, err = u.Commit(ctx, 2)
	check("commit", err)
	_, err = s.Copy(ctx, "l", "big", backend.CopyOptions{})
	check("copy", err)
	_, err = s.Copy(ctx, "k", "k", backend.CopyOptions{Replace: &backend.Attributes{ContentType: "image/png"}})
	check("set metadata", err)
	for _, err := range s.List(ctx, "", backend.ListOptions{}) {
		check("list", err)
	}
	check("delete", s.Delete(ctx, "k", backend.DeleteOptions{}))
	return seen
}

// TestProtectionOnWire holds the headers of every request against the settings.
func TestProtectionOnWire(t *testing.T) {
	raw := []byte("0123456789abcdef0123456789abcdef")
	sum := sha256.Sum256(raw)
	key, fingerprint := base64.StdEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString(sum[:])
	const (
		writes  = "PUT|marker PUT|own PUT|PUT block|copy block|PUT blocklist|copy|PUT metadata"
		files   = "PUT|PUT blocklist"
		sources = "copy block|copy"
	)
	type header struct{ name, value, on string }
	for name, tc := range map[string]struct {
		set  func(*Config)
		want []header
	}{
		"nothing": {func(*Config) {}, nil},
		"key": {func(c *Config) { c.EncryptionKey = key }, []header{
			{"X-Ms-Encryption-Key", key, writes + "|HEAD|GET"}, {"X-Ms-Encryption-Algorithm", "AES256", writes + "|HEAD|GET"},
			{"X-Ms-Encryption-Key-Sha256", fingerprint, writes + "|HEAD|GET"},
			{"X-Ms-Source-Encryption-Key", key, sources}, {"X-Ms-Source-Encryption-Key-Sha256", fingerprint, sources},
		}},
		"scope": {func(c *Config) { c.EncryptionScope = "vault" }, []header{{"X-Ms-Encryption-Scope", "vault", writes}}},
		"tier":  {func(c *Config) { c.AccessTier = "Cool" }, []header{{"X-Ms-Access-Tier", "Cool", "PUT|marker PUT|own PUT|PUT blocklist|copy"}}},
		"tags": {func(c *Config) { c.Protection.Tags = map[string]string{"cost centre": "a&b", "x": "1"} }, []header{
			{"X-Ms-Tags", "cost centre=a&b x=1", files + "|marker PUT"},
		}},
		"hold": {func(c *Config) { c.Protection.LegalHold = true }, []header{{"X-Ms-Legal-Hold", "true", files}}},
		"unlocked": {func(c *Config) { c.Protection.LockMode, c.Protection.LockDays = "unlocked", 30 }, []header{
			{"X-Ms-Immutability-Policy-Mode", "Unlocked", files}, {"X-Ms-Immutability-Policy-Until-Date", "in 30 days", files},
		}},
		"locked": {func(c *Config) { c.Protection.LockMode, c.Protection.LockDays = "locked", 30 }, []header{
			{"X-Ms-Immutability-Policy-Mode", "Locked", files}, {"X-Ms-Immutability-Policy-Until-Date", "in 30 days", files},
		}},
	} {
		cfg := account
		tc.set(&cfg)
		seen := everything(t, cfg)
		ops := strings.Split(writes+"|HEAD|GET|DELETE|PUT properties|GET list", "|")
		if cfg.Protection.locks() { // Put Blob From URL would copy without a lock
			if seen["copy"] != nil {
				t.Errorf("%s: a copy was made in a way that locks nothing", name)
			}
			ops = strings.Split(strings.Replace(strings.Join(ops, "|"), "|copy|", "|", 1), "|")
		}
		for _, op := range ops {
			got := seen[op]
			if got == nil {
				t.Errorf("%s: no %s was sent", name, op)
				continue
			}
			want := map[string]string{}
			for _, h := range tc.want {
				for on := range strings.SplitSeq(h.on, "|") {
					if on == op {
						want[h.name] = h.value
					}
				}
			}
			for h, v := range got {
				for _, part := range []string{"Encryption-Key", "Encryption-Scope", "Access-Tier", "Tags", "Legal-Hold", "Immutability"} {
					if strings.HasPrefix(h, "X-Ms-"+part) && want[h] == "" {
						t.Errorf("%s: %s: %s: %s is not asked for", name, op, h, v)
					}
				}
			}
			for h, value := range want {
				switch value {
				case "in 30 days":
					until, err := time.Parse(time.RFC1123, got.Get(h))
					if days := time.Until(until).Hours() / 24; err != nil || days < 29.9 || days > 30.1 {
						t.Errorf("%s: %s: %s: %q, %v", name, op, h, got.Get(h), err)
					}
				case "cost centre=a&b x=1":
					tags, err := url.ParseQuery(got.Get(h))
					if err != nil || len(tags) != 2 || tags.Get("cost centre") != "a&b" || tags.Get("x") != "1" {
						t.Errorf("%s: %s: %s: %q, %v", name, op, h, got.Get(h), err)
					}
				default:
					if got.Get(h) != value {
						t.Errorf("%s: %s: %s: %q, want %q", name, op, h, got.Get(h), value)
					}
				}
			}
		}
	}
}

// TestProtectionRefused: what cannot be meant is refused before anything is sent.
func TestProtectionRefused(t *testing.T) {
	tags := map[string]string{}
	for i := range 11 {
		tags[string(rune('a'+i))] = ""
	}
	for want, p := range map[string]Protection{
		`lock mode "governance"`:     {LockMode: "governance", LockDays: 1},
		"number of days go together": {LockMode: "locked"},
		"at most 10":                 {Tags: tags},
	} {
		cfg := account
		cfg.Protection = p
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
