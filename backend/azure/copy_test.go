package azure

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sluice/backend"
)

// TestCopyOnWire: each kind of credentials lets the service read the source in its own way, on both ways of copying, and the
// conditions go along.
func TestCopyOnWire(t *testing.T) {
	bySAS := Config{Account: "acct", Container: "cont", SAS: "?" + signed}
	byToken := Config{Account: "acct", Container: "cont"}
	byString := Config{Container: "cont", ConnectionString: "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=" + accountKey + ";EndpointSuffix=core.windows.net"}
	const key = "s/a +%?&é.bin"
	for name, tc := range map[string]struct {
		cfg           Config
		authorization string
		query         []string // of the source
	}{
		"key":               {account, "", []string{"sp=r", "sr=b", "sig=", "se="}},
		"connection string": {byString, "", []string{"sp=r", "sr=b", "sig=", "se="}},
		"SAS":               {bySAS, "", []string{"sp=rwdl", "sig=the+secret"}},
		"token":             {byToken, "Bearer the-token", nil},
	} {
		for _, lacks := range []bool{false, true} {
			var copies []http.Header
			s := wire(t, tc.cfg, func(w http.ResponseWriter, r *http.Request) {
				switch op := operation(r); {
				case op == "HEAD":
					describe(w, "7", "X-Ms-Meta-Mtime", "2020-05-06T07:08:09.500000000Z", "X-Ms-Access-Tier", "Cold", "X-Ms-Tag-Count", "2")
				case op == "GET tags":
					describe(w, "0")
					w.Header().Del("Content-Length")
					_, _ = w.Write([]byte("<Tags><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tags>"))
				case op == "copy" && lacks:
					fail(w, 501, "NotImplemented")
				default:
					copies = append(copies, r.Header)
					describe(w, "0")
					w.WriteHeader(http.StatusCreated)
				}
			})
			o, err := s.Copy(t.Context(), "dst", key, backend.CopyOptions{SrcETag: `"e"`, If: backend.Condition{Absent: true}})
			if err != nil || o.Size != 7 || o.ContentType != "text/plain" || o.ModTime.IsZero() || o.StorageClass != "Cold" {
				t.Errorf("%s: %+v, %v", name, o, err)
				continue
			}
			if want := map[bool]int{false: 1, true: 2}[lacks]; len(copies) != want {
				t.Errorf("%s: %d requests", name, len(copies))
			}
			first, last := copies[0], copies[len(copies)-1]
			source, err := url.Parse(first.Get("X-Ms-Copy-Source"))
			if err != nil || source.Path != "/cont/"+key || source.Host != "acct.blob.core.windows.net" || source.Scheme != "https" {
				t.Errorf("%s: the source is %q, %v", name, first.Get("X-Ms-Copy-Source"), err)
			}
			for _, part := range tc.query {
				if part == "sp=r" && !lacks {
					part = "sp=rt" // its tags are read too
				}
				if !strings.Contains(source.RawQuery, part) {
					t.Errorf("%s: the source is %s, without %s", name, source, part)
				}
			}
			if len(tc.query) == 0 && source.RawQuery != "" {
				t.Errorf("%s: the source is %s", name, source)
			}
			for header, want := range map[string]string{
				"X-Ms-Copy-Source-Authorization": tc.authorization, "X-Ms-Source-If-Match": `"e"`,
			} {
				if got := first.Get(header); got != want {
					t.Errorf("%s, lacks %v: %s is %q, want %q", name, lacks, header, got, want)
				}
			}
			for header, want := range map[string]string{
				"If-None-Match": "*", "X-Ms-Blob-Content-Type": "text/plain", "X-Ms-Meta-Mtime": "2020-05-06T07:08:09.500000000Z", "X-Ms-Access-Tier": "Cold",
			} {
				if got := last.Get(header); got != want {
					t.Errorf("%s, lacks %v: %s is %q, want %q", name, lacks, header, got, want)
				}
			}
			if got := last.Get("X-Ms-Copy-Source-Tag-Option") + last.Get("X-Ms-Tags"); got != map[bool]string{false: "COPY", true: "a=b+c"}[lacks] {
				t.Errorf("%s, lacks %v: tags %q", name, lacks, got)
			}
		}
	}
}

// TestCopyVerified: the source may be deleted behind a copy, so its digest or else its length is looked at.
func TestCopyVerified(t *testing.T) {
	const digest, other = "AAAAAAAAAAAAAAAAAAAAAA==", "AQAAAAAAAAAAAAAAAAAAAA=="
	for name, tc := range map[string]struct {
		source, copied string // Content-MD5
		etag, size     string // of what is at the destination
		heads          int
		want           error
	}{
		"by the digest":     {digest, digest, `"c"`, "9", 1, nil},
		"without a digest":  {"", digest, `"c"`, "9", 2, nil},
		"another digest":    {digest, other, `"c"`, "9", 2, nil}, // that of the source is what somebody has told the service
		"too short":         {"", "", `"c"`, "8", 2, backend.ErrDamaged},
		"overwritten since": {"", "", `"d"`, "8", 2, nil},
	} {
		heads := 0
		s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/src"):
				heads++
				describe(w, "9", "Content-MD5", tc.source)
			case r.Method == http.MethodHead:
				heads++
				describe(w, tc.size, "Etag", tc.etag)
			default:
				describe(w, "0", "Etag", `"c"`, "Content-MD5", tc.copied)
				w.WriteHeader(http.StatusCreated)
			}
		})
		o, err := s.Copy(t.Context(), "dst", "src", backend.CopyOptions{})
		if !errors.Is(err, tc.want) || tc.want == nil && (err != nil || o.Size != 9 || o.ETag != `"c"`) || heads != tc.heads {
			t.Errorf("%s: %+v, %v, asked %d times", name, o, err, heads)
		}
	}
}

// TestCopyPartOnWire: the range, the version and the customer's key for both ends go with a copied block.
func TestCopyPartOnWire(t *testing.T) {
	cfg := account
	cfg.EncryptionKey = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
	var copies []http.Header
	heads := 0
	s := wire(t, cfg, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			heads++
			describe(w, "100")
			return
		}
		copies = append(copies, r.Header)
		describe(w, "0")
		w.WriteHeader(http.StatusCreated)
	})
	u, err := s.NewUpload(t.Context(), "dst", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if err := u.CopyPart(t.Context(), n+1, "src", 10, 20, backend.CopyPartOptions{SrcETag: `"e"`}); err != nil {
			t.Fatal(err)
		}
	}
	if heads != 1 || len(copies) != 2 {
		t.Errorf("%d questions for the size of one version, %d copies", heads, len(copies))
	}
	for name, want := range map[string]string{
		"x-ms-source-range": "bytes=10-29", "x-ms-source-if-match": `"e"`, "x-ms-source-encryption-key": cfg.EncryptionKey, "x-ms-encryption-key": cfg.EncryptionKey,
	} {
		if got := copies[0].Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, tc := range []struct {
		off, length int64
		etag        string
		want        error
	}{
		{100, 1, "", backend.ErrRange}, {99, 2, "", backend.ErrRange}, {-1, 2, "", backend.ErrRange},
		{0, 0, "", backend.ErrTooLarge}, {0, caps.MaxCopyPart + 1, "", backend.ErrTooLarge}, {0, 1, `"f"`, backend.ErrChanged},
	} {
		if err := u.CopyPart(t.Context(), 3, "src", tc.off, tc.length, backend.CopyPartOptions{SrcETag: tc.etag}); !errors.Is(err, tc.want) {
			t.Errorf("CopyPart %+v: %v", tc, err)
		}
	}
	if len(copies) != 2 {
		t.Errorf("%d copies that cannot be were asked for", len(copies)-2)
	}
}

// TestCopyErrors: what is wrong with the source is told apart, and what cannot be copied is not tried.
func TestCopyErrors(t *testing.T) {
	copied := func(s *Store) error {
		_, err := s.Copy(t.Context(), "dst", "src", backend.CopyOptions{})
		return err
	}
	part := func(s *Store) error {
		u, err := s.NewUpload(t.Context(), "dst", backend.PutOptions{})
		return errors.Join(err, u.CopyPart(t.Context(), 1, "src", 0, 1, backend.CopyPartOptions{}))
	}
	for _, tc := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "CannotVerifyCopySource", backend.ErrNotExist},
		{403, "CannotVerifyCopySource", backend.ErrPermission},
		{401, "CannotVerifyCopySource", backend.ErrPermission},
		{412, "SourceConditionNotMet", backend.ErrChanged},
		{412, "CannotVerifyCopySource", backend.ErrChanged},
		{409, "BlobArchived", backend.ErrArchived},
		{416, "InvalidRange", backend.ErrRange},
	} {
		for name, call := range map[string]func(*Store) error{"Copy": copied, "CopyPart": part} {
			s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					describe(w, "7", "X-Ms-Meta-A", "b")
					return
				}
				fail(w, tc.status, tc.code)
			})
			err := call(s)
			if !errors.Is(err, tc.want) {
				t.Errorf("%s: %d %s: %v, want %v", name, tc.status, tc.code, err, tc.want)
			}
			safe(t, err)
		}
	}
	for _, tc := range []struct {
		size, tier string
		want       error
	}{{"7", "Archive", backend.ErrArchived}, {fmt.Sprint(caps.MaxCopy + 1), "Hot", backend.ErrTooLarge}} {
		s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead {
				t.Errorf("sent %s %s", r.Method, r.URL)
			}
			describe(w, tc.size, "X-Ms-Access-Tier", tc.tier)
		})
		if err := copied(s); !errors.Is(err, tc.want) {
			t.Errorf("Copy of %s bytes in tier %s: %v", tc.size, tc.tier, err)
		}
	}
}

// TestCopyWithoutMetadata: Put Blob From URL takes the source's metadata where none is given; then a block is copied.
func TestCopyWithoutMetadata(t *testing.T) {
	var ops []string
	s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			describe(w, "7", "X-Ms-Meta-A", "b")
			return
		}
		ops = append(ops, operation(r))
		describe(w, "0")
		w.WriteHeader(http.StatusCreated)
	})
	if _, err := s.Copy(t.Context(), "dst", "src", backend.CopyOptions{Replace: &backend.Attributes{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Copy(t.Context(), "dst", "src", backend.CopyOptions{Replace: &backend.Attributes{Metadata: map[string]string{"c": "d"}}}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ops, ","); got != "copy block,PUT blocklist,copy" {
		t.Errorf("asked for %s", got)
	}
}

// TestCopyLearns: a server is asked once for what it does not have.
func TestCopyLearns(t *testing.T) {
	var ops []string
	s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			describe(w, "7")
			return
		}
		op := operation(r)
		if ops = append(ops, op); op == "copy" {
			fail(w, 501, "NotImplemented")
			return
		}
		describe(w, "0")
		w.WriteHeader(http.StatusCreated)
	})
	for _, dst := range []string{"dst", "dst2"} {
		if _, err := s.Copy(t.Context(), dst, "src", backend.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(ops, ","); got != "copy,copy block,PUT blocklist,copy block,PUT blocklist" {
		t.Errorf("asked for %s", got)
	}
}

// TestRewrite: new attributes cost no copy, and only what is another is sent.
func TestRewrite(t *testing.T) {
	var ops []string
	var last http.Header
	s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
		describe(w, "7", "Cache-Control", "max-age=1", "X-Ms-Meta-A", "b", "X-Ms-Access-Tier", "Hot")
		if r.Method != http.MethodHead {
			if op := operation(r); op == "PUT properties" {
				last = r.Header
				w.Header().Set("Etag", `"e2"`)
				ops = append(ops, op+" "+r.Header.Get("If-Match"))
			} else {
				ops = append(ops, op+" "+r.Header.Get("If-Match")+r.Header.Get("X-Ms-Access-Tier"))
			}
			w.Header().Set("Content-Length", "0")
		}
	})
	for want, a := range map[string]backend.Attributes{
		`PUT metadata "e"`:                     {ContentType: "text/plain", StorageClass: "Hot"},
		`PUT properties "e",PUT metadata "e2"`: {ContentType: "image/png"},
		`PUT metadata "e",PUT tier Archive`:    {ContentType: "text/plain", StorageClass: "Archive"},
	} {
		ops = nil
		o, err := s.Copy(t.Context(), "k", "k", backend.CopyOptions{Replace: &a})
		if got := strings.Join(ops, ","); err != nil || got != want || o.ContentType != a.ContentType || o.ETag != `"e"` {
			t.Errorf("%+v: asked for %s, %+v, %v; want %s", a, got, o, err, want)
		}
	}
	if got := last.Get("X-Ms-Blob-Cache-Control"); got != "max-age=1" {
		t.Errorf("Cache-Control was lost: %q", got)
	}
	ops = nil
	for _, c := range []backend.Condition{{Absent: true}, {ETag: `"f"`}} {
		if _, err := s.Copy(t.Context(), "k", "k", backend.CopyOptions{If: c, Replace: &backend.Attributes{}}); !errors.Is(err, backend.ErrChanged) || len(ops) > 0 {
			t.Errorf("with %+v: %v, asked for %v", c, err, ops)
		}
	}
}

// TestRewriteOfAnother: a blob that somebody else has changed is not taken for rewritten, even if it looks as wanted.
func TestRewriteOfAnother(t *testing.T) {
	s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			fail(w, 412, "ConditionNotMet")
			return
		}
		describe(w, "7", "X-Ms-Meta-A", "b")
	})
	a := backend.Attributes{ContentType: "text/plain", Metadata: map[string]string{"a": "b"}}
	if o, err := s.Copy(t.Context(), "k", "k", backend.CopyOptions{Replace: &a}); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("%+v, %v", o, err)
	}
}
