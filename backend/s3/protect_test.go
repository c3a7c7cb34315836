package s3

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/backend"
)

// recorder is an S3 server that agrees to everything and keeps the headers of each kind of request.
type recorder struct {
	mu   sync.Mutex
	seen map[string]http.Header
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	var op, answer string
	switch copied := req.Header.Get("X-Amz-Copy-Source") != ""; {
	case req.Method == http.MethodHead:
		op = "stat"
	case req.Method == http.MethodDelete && q.Has("uploadId"):
		op = "abort"
	case req.Method == http.MethodDelete:
		op = "delete"
	case q.Has("list-type"):
		op, answer = "list", "<ListBucketResult></ListBucketResult>"
	case req.Method == http.MethodGet && q.Has("uploadId"):
		op, answer = "parts", "<ListPartsResult></ListPartsResult>"
	case req.Method == http.MethodGet:
		op = "get"
	case q.Has("uploads"):
		op, answer = "begin", "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
	case req.Method == http.MethodPost:
		op, answer = "commit", "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>"
	case q.Has("partNumber") && copied:
		op, answer = "copy part", "<CopyPartResult><ETag>\"e\"</ETag></CopyPartResult>"
	case q.Has("partNumber"):
		op = "part"
	case copied:
		op, answer = "copy", "<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>"
	default:
		op = "put"
		if strings.HasPrefix(req.URL.Path, "/bkt/.sluice/") {
			op = "own"
		}
		if strings.HasSuffix(req.URL.Path, "/") {
			op = "marker"
		}
	}
	r.mu.Lock()
	r.seen[op] = req.Header.Clone()
	r.mu.Unlock()
	_, _ = io.Copy(io.Discard, req.Body)
	w.Header().Set("ETag", `"e"`)
	_, _ = io.WriteString(w, answer)
}

// everything does each kind of request once.
func everything(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, key := range []string{"k", "dir/", ".sluice/journal"} {
		_, err := s.Put(ctx, key, nil, backend.PutOptions{})
		check("put", err)
	}
	_, err := s.Stat(ctx, "k")
	check("stat", err)
	r, _, err := s.Open(ctx, "k", backend.OpenOptions{})
	if check("get", err); err == nil {
		check("close", r.Close())
	}
	_, err = s.Copy(ctx, "l", "k", backend.CopyOptions{})
	check("copy", err)
	check("delete", s.Delete(ctx, "k", backend.DeleteOptions{}))
	for _, err := range s.List(ctx, "", backend.ListOptions{}) {
		check("list", err)
	}
	u, err := s.NewUpload(ctx, "k", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	check("part", u.WritePart(ctx, 1, nil))
	check("copy part", u.CopyPart(ctx, 2, "k", 0, 1, backend.CopyPartOptions{}))
	check("abort", u.Abort(ctx))
	if u, err = s.NewUpload(ctx, "k", backend.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	check("part", u.WritePart(ctx, 1, nil))
	_, err = u.Commit(ctx, 1)
	check("commit", err)
}

// TestProtectionOnWire holds the headers of every request against the settings.
func TestProtectionOnWire(t *testing.T) {
	raw := []byte("0123456789abcdef0123456789abcdef")
	sum := md5.Sum(raw)
	key := base64.StdEncoding.EncodeToString(raw)
	const (
		all    = "put marker own stat get copy delete list begin part|copy part|parts abort commit"
		writes = "put marker own copy begin"
		files  = "put copy begin"
		keyed  = "put marker own stat get copy begin part|copy part|parts commit"
		copies = "copy|copy part"
	)
	ops := func(s string) []string {
		var out []string
		for group := range strings.SplitSeq(s, "|") {
			if group == "copy part" {
				out = append(out, group)
				continue
			}
			out = append(out, strings.Fields(group)...)
		}
		return out
	}
	type header struct{ name, value, on string }
	for name, tc := range map[string]struct {
		p    Protection
		want []header
	}{
		"nothing": {Protection{}, nil},
		"SSE-S3":  {Protection{Encryption: "aes256"}, []header{{"X-Amz-Server-Side-Encryption", "AES256", writes}}},
		"SSE-KMS": {Protection{Encryption: "kms", KMSKey: "alias/k", BucketKey: true}, []header{
			{"X-Amz-Server-Side-Encryption", "aws:kms", writes}, {"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "alias/k", writes},
			{"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled", "true", writes},
		}},
		"DSSE-KMS": {Protection{Encryption: "kms-dsse"}, []header{{"X-Amz-Server-Side-Encryption", "aws:kms:dsse", writes}}},
		"SSE-C": {Protection{CustomerKey: key}, []header{
			{"X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256", keyed}, {"X-Amz-Server-Side-Encryption-Customer-Key", key, keyed},
			{"X-Amz-Server-Side-Encryption-Customer-Key-Md5", base64.StdEncoding.EncodeToString(sum[:]), keyed},
			{"X-Amz-Copy-Source-Server-Side-Encryption-Customer-Algorithm", "AES256", copies}, {"X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key", key, copies},
			{"X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key-Md5", base64.StdEncoding.EncodeToString(sum[:]), copies},
		}},
		"hold": {Protection{LegalHold: true}, []header{{"X-Amz-Object-Lock-Legal-Hold", "ON", files}}},
		"lock": {Protection{LockMode: "compliance", LockDays: 30}, []header{{"X-Amz-Object-Lock-Mode", "COMPLIANCE", files}, {"X-Amz-Object-Lock-Retain-Until-Date", "in 30 days", files}}},
		"tags": {Protection{Tags: map[string]string{"cost centre": "a&b", "x": "1"}}, []header{{"X-Amz-Tagging", "cost%20centre=a%26b&x=1", "put marker begin"}}},
		"ACL":  {Protection{ACL: "bucket-owner-full-control"}, []header{{"X-Amz-Acl", "bucket-owner-full-control", writes}}},
		"owner": {Protection{BucketOwner: "123456789012"}, []header{
			{"X-Amz-Expected-Bucket-Owner", "123456789012", all}, {"X-Amz-Source-Expected-Bucket-Owner", "123456789012", copies},
		}},
		"payer": {Protection{RequesterPays: true}, []header{{"X-Amz-Request-Payer", "requester", all}}},
	} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{seen: map[string]http.Header{}}
			srv := httptest.NewTLSServer(rec)
			defer srv.Close()
			s := connect(t, Config{Endpoint: srv.URL, CAFile: caFile(t, srv), Protection: tc.p})
			everything(t, s)
			for _, op := range ops(all) {
				got := rec.seen[op]
				if got == nil {
					t.Fatalf("no %s was sent", op)
				}
				want := map[string]string{}
				for _, h := range tc.want {
					for _, on := range ops(h.on) {
						if on == op {
							want[h.name] = h.value
						}
					}
				}
				for _, h := range []string{"Server-Side-Encryption", "Object-Lock", "Tagging", "Acl", "Request-Payer", "Bucket-Owner"} {
					for name, v := range got {
						if strings.Contains(name, h) && want[name] == "" {
							t.Errorf("%s: %s: %s is not asked for", op, name, v)
						}
					}
				}
				for name, value := range want {
					if value == "in 30 days" {
						until, err := time.Parse(time.RFC3339, got.Get(name))
						if days := time.Until(until).Hours() / 24; err != nil || days < 29.9 || days > 30.1 {
							t.Errorf("%s: %s: %q, %v", op, name, got.Get(name), err)
						}
					} else if got.Get(name) != value {
						t.Errorf("%s: %s: %q, want %q", op, name, got.Get(name), value)
					}
				}
			}
		})
	}
}

// caFile writes the certificate of a test server to a file.
func caFile(t *testing.T, srv *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestProtectionRefused: what cannot be meant is refused before anything is sent, and no secret is told.
func TestProtectionRefused(t *testing.T) {
	key := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	tags := map[string]string{}
	for i := range 11 {
		tags[fmt.Sprint(i)] = ""
	}
	for want, cfg := range map[string]Config{
		`encryption "des"`:           {Protection: Protection{Encryption: "des"}},
		"belong to the encryption":   {Protection: Protection{Encryption: "aes256", KMSKey: "k"}},
		"give no other":              {Protection: Protection{Encryption: "kms", CustomerKey: key}},
		"base64 of 32 bytes":         {Protection: Protection{CustomerKey: "aHVzaA=="}},
		"travel in clear":            {Endpoint: "http://127.0.0.1:1", Protection: Protection{CustomerKey: key}},
		`lock mode "forever"`:        {Protection: Protection{LockMode: "forever", LockDays: 1}},
		"number of days go together": {Protection: Protection{LockMode: "governance"}},
		"at most 10":                 {Protection: Protection{Tags: tags}},
		"demands a checksum":         {Checksum: "none", Protection: Protection{LegalHold: true}},
		"no such file":               {CAFile: "/nowhere/ca.pem"},
		"proxy: give a URL":          {Proxy: "user:aHVzaA@proxy:1"},
		"role: give its ARN":         {Role: Role{ExternalID: "x"}},
		"give an ARN such as":        {Role: Role{ARN: "admin"}},
		"from 15m to 12h":            {Role: Role{ARN: "arn:aws:iam::1:role/r", Duration: time.Minute}},
	} {
		cfg.Bucket = "b"
		_, err := Open(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "aHVzaA") || strings.Contains(err.Error(), key) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
