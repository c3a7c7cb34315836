package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/cmd/sluice/internal/config"
)

// careless is a store that ignores conditions.
type careless struct{ backend.Store }

func (c careless) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	opts.If = backend.Condition{}
	return c.Store.Put(ctx, key, p, opts)
}

// apiError is what an SDK returns for an answer of the store.
type apiError struct{ code, message string }

func (e apiError) Error() string {
	return "operation error S3: PutObject, https response error: " + e.message
}
func (e apiError) ErrorCode() string    { return e.code }
func (e apiError) ErrorMessage() string { return e.message }

func TestProbeStore(t *testing.T) {
	lab := config.Store{Type: "s3", Bucket: "lab", Endpoint: "http://127.0.0.1:9000"}
	caps := mem.DefaultCaps()
	caps.Conditional = false
	fail := func(op string, err error) *mem.Store {
		return mem.New(mem.Config{Fault: func(o, _ string) error {
			if o == op {
				return fmt.Errorf("mem %s: %w", o, err)
			}
			return nil
		}})
	}
	for _, tt := range []struct {
		name  string
		s     config.Store
		store backend.Store
		want  string // the error; empty for none
	}{
		{"good", lab, mem.New(mem.Config{}), ""},
		{"no conditions, says so", lab, mem.New(mem.Config{Caps: &caps}), ""},
		{"no conditions, silent", lab, careless{mem.New(mem.Config{})},
			"store lab: it ignores conditions (If-None-Match), so that two clients who upload one new name would overwrite each other; it is not fit for Sluice"},
		{"no conditions on uploads", lab, heedless{mem.New(mem.Config{})},
			"store lab: it ignores conditions on large uploads (If-None-Match), so that two clients who upload one new name would overwrite each other; it is not fit for Sluice"},
		{"no bucket", lab, fail("list", backend.ErrNotExist),
			"store lab (bucket lab at http://127.0.0.1:9000): cannot list: list \"\": mem list: file does not exist; create it, or correct the name"},
		{"wrong keys", lab, fail("list", fmt.Errorf("%w: %w", backend.ErrPermission, apiError{"SignatureDoesNotMatch", "The signature is wrong."})),
			"store lab (bucket lab at http://127.0.0.1:9000): cannot list: SignatureDoesNotMatch: The signature is wrong.; check the keys and what they are allowed to do"},
		{"may not write", config.Store{Type: "s3", Bucket: "lab"}, fail("put", fmt.Errorf("%w: %w", backend.ErrPermission, apiError{code: "AccessDenied"})),
			"store lab (bucket lab): cannot write: AccessDenied; check the keys and what they are allowed to do"},
		{"no route", lab, fail("list", fmt.Errorf("%w: %w", backend.ErrUnavailable, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})),
			"store lab (bucket lab at http://127.0.0.1:9000): cannot list: dial tcp: connect: connection refused; check the endpoint and the network"},
		{"no name", lab, fail("list", fmt.Errorf("%w: %w", backend.ErrUnavailable, &net.DNSError{Err: "no such host", Name: "lab"})),
			"store lab (bucket lab at http://127.0.0.1:9000): cannot list: lookup lab: no such host; check the endpoint and the network"},
		{"cannot read", config.Store{Type: "file", Path: "/data"}, fail("open", backend.ErrPermission),
			": mem open: permission denied; check the keys and what they are allowed to do"},
		{"cannot delete", lab, fail("delete", backend.ErrUnavailable),
			": mem delete: store unavailable; check the endpoint and the network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := probeStore(t.Context(), "lab", tt.s, tt.store)
			if got := fmt.Sprint(err); err != nil && !strings.HasSuffix(got, tt.want) || err == nil && tt.want != "" {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if m, ok := tt.store.(*mem.Store); ok && tt.name != "cannot delete" && len(m.Keys()) > 0 {
				t.Errorf("left behind: %v", m.Keys())
			}
		})
	}
}

// deaf ignores some of the conditions, or copies no parts.
type deaf struct {
	backend.Store
	to string
}

func (d deaf) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	if d.to == "put" {
		opts.If.ETag = ""
	}
	return d.Store.Put(ctx, key, p, opts)
}

func (d deaf) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	switch {
	case d.to == "copy", d.to == "new copy" && opts.If.Absent:
		opts.If = backend.Condition{}
	case d.to == "source":
		opts.SrcETag = ""
	}
	return d.Store.Copy(ctx, dst, src, opts)
}

func (d deaf) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	switch d.to {
	case "refuse":
		return backend.ErrPermission
	case "delete":
		opts.ETag = ""
	}
	return d.Store.Delete(ctx, key, opts)
}

func (d deaf) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	u, err := d.Store.NewUpload(ctx, key, opts)
	if d.to == "parts" {
		return copiesNone{u}, err
	}
	if d.to == "part source" {
		return copiesAny{u}, err
	}
	return u, err
}

// heedless ignores the conditions of uploads.
type heedless struct{ backend.Store }

func (h heedless) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	opts.If = backend.Condition{}
	return h.Store.NewUpload(ctx, key, opts)
}

type copiesNone struct{ backend.Upload }

func (copiesNone) CopyPart(context.Context, int, string, int64, int64, backend.CopyPartOptions) error {
	return &backend.Failure{Driver: "s3", Op: "copy part 1", Class: backend.ErrUnsupported, Code: "NotImplemented", Err: errors.New("status 501")}
}

type copiesAny struct{ backend.Upload }

func (u copiesAny) CopyPart(ctx context.Context, n int, src string, off, length int64, _ backend.CopyPartOptions) error {
	return u.Upload.CopyPart(ctx, n, src, off, length, backend.CopyPartOptions{})
}

// late answers no read until its caller has lost patience.
type late struct{ *mem.Store }

func (*late) Open(ctx context.Context, _ string, _ backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	<-ctx.Done()
	return nil, backend.Object{}, ctx.Err()
}

func (l *late) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.Store.Delete(ctx, key, opts)
}

// A probe that has run out of time takes away what it has written.
func TestProbeClears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &late{mem.New(mem.Config{})}
		_, err := probeStore(t.Context(), "lab", config.Store{Type: "gcs", Bucket: "lab"}, l)
		if !errors.Is(err, context.DeadlineExceeded) || len(l.Keys()) > 0 {
			t.Errorf("%v, left behind: %v", err, l.Keys())
		}
	})
	p := &probe{store: deaf{mem.New(mem.Config{}), "refuse"}, keys: []string{"a", "b"}}
	if err := p.clear(t.Context()); strings.Count(fmt.Sprint(err), "cannot delete") != 2 {
		t.Errorf("two objects stay: %v", err)
	}
}

// What a store lacks is said, one sentence each, and is no reason to refuse it.
func TestProbeLacks(t *testing.T) {
	for to, want := range map[string]string{
		"":            "",
		"put":         "it ignores If-Match on writes: where two clients append to a file at once, or one resumes what another replaces, bytes can be lost",
		"copy":        "it ignores conditions on the target of a copy: a file that somebody uploads while another is renamed to its name can be lost",
		"new copy":    "it ignores conditions on the target of a copy: a file that somebody uploads while another is renamed to its name can be lost",
		"source":      "it ignores conditions on the source of a copy: a file that is replaced while it is renamed can be lost",
		"part source": "it ignores conditions on the source of a copied part: a file that is replaced while it is appended to, joined or renamed can be mixed up of two",
		"delete":      "it ignores If-Match on deletes: a file that is replaced while it is renamed, joined to others or moved can be lost",
		"parts":       "it copies no parts (NotImplemented): APPE, REST with STOR and COMB fail on larger files",
	} {
		m := mem.New(mem.Config{})
		lacks, err := probeStore(t.Context(), "lab", config.Store{Type: "gcs", Bucket: "lab"}, deaf{m, to})
		if got := strings.Join(lacks, "; "); err != nil || got != want {
			t.Errorf("deaf to %q: %q, %v, want %q", to, got, err, want)
		}
		if len(m.Keys()) > 0 {
			t.Errorf("deaf to %q: left behind: %v", to, m.Keys())
		}
	}
}

// Where a server does not take the checksum that is configured, the probe finds one that it does.
func TestProbeChecksum(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.Header.Get("Content-Md5") == "":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `<Error><Code>InvalidRequest</Code><Message>Give Content-MD5.</Message></Error>`)
		case r.Method == http.MethodPut:
			w.Header().Set("ETag", `"e"`)
		case r.Method == http.MethodGet:
			_, _ = fmt.Fprint(w, `<ListBucketResult><Name>lab</Name></ListBucketResult>`)
		}
	}))
	defer server.Close()
	s := config.Store{Type: "s3", Bucket: "lab", Region: "us-east-1", Endpoint: server.URL, PathStyle: true, AccessKey: "AK", SecretKey: "hunter2"}
	store, err := openStore(t.Context(), "lab", s, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = "store lab: it takes no checksum crc64nvme: set checksum: md5 ("
	if _, err := probeStore(t.Context(), "lab", s, store); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// What an S3 server answers at the start becomes one sentence that says what to do.
func TestReachS3(t *testing.T) {
	for _, tt := range []struct {
		status     int
		code, want string
	}{
		{200, "", ""},
		{404, "NoSuchBucket", "store lab: bucket lab does not exist at URL: create it or correct the name"},
		{403, "SignatureDoesNotMatch", "store lab: URL refuses the keys for bucket lab (SignatureDoesNotMatch): correct accessKey and secretKey"},
		{403, "InvalidAccessKeyId", "store lab: URL refuses the keys for bucket lab (InvalidAccessKeyId): correct accessKey and secretKey"},
		{403, "AccessDenied", "store lab: URL denies access to bucket lab: let these keys list, read and write it"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(tt.status)
			if tt.status == http.StatusOK {
				_, _ = fmt.Fprint(w, `<ListBucketResult><Name>lab</Name></ListBucketResult>`)
				return
			}
			_, _ = fmt.Fprintf(w, `<Error><Code>%s</Code><Message>No.</Message></Error>`, tt.code)
		}))
		defer server.Close()
		s := config.Store{Type: "s3", Bucket: "lab", Region: "us-east-1", Endpoint: server.URL, PathStyle: true, AccessKey: "AK", SecretKey: "hunter2"}
		store, err := openStore(t.Context(), "lab", s, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = reach(t.Context(), "lab", s, store)
		if got := fmt.Sprint(err); err != nil && got != strings.ReplaceAll(tt.want, "URL", server.URL) || err == nil && tt.want != "" {
			t.Errorf("%d %s: %s, want %s", tt.status, tt.code, got, tt.want)
		}
	}
}

// A store of type gcs is reached with what the configuration says, or where STORAGE_EMULATOR_HOST says.
func TestReachGCS(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + " " + r.URL.Query().Get("userProject")
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(r.URL.Path, "/good/") {
			_, _ = fmt.Fprint(w, "{}")
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"error": {"code": 404, "message": "The specified bucket does not exist."}}`)
	}))
	defer server.Close()
	for _, tt := range []struct {
		name string
		s    config.Store
		env  string
		want string // the error
	}{
		{"good", config.Store{Type: "gcs", Bucket: "good", Endpoint: server.URL, Anonymous: true, UserProject: "payer"}, "", ""},
		{"emulator", config.Store{Type: "gcs", Bucket: "good", UserProject: "payer", CredentialsFile: "none"}, server.Listener.Addr().String(), ""},
		{"emulator by URL", config.Store{Type: "gcs", Bucket: "good", UserProject: "payer"}, server.URL, ""},
		{"configured first", config.Store{Type: "gcs", Bucket: "good", Endpoint: server.URL, Anonymous: true, UserProject: "payer"}, "127.0.0.1:1", ""},
		{"no bucket", config.Store{Type: "gcs", Bucket: "lab", Endpoint: server.URL, Anonymous: true}, "", "store lab: bucket lab does not exist at URL: create it or correct the name"},
		{"no file", config.Store{Type: "gcs", Bucket: "lab", CredentialsFile: "none"}, "", "store lab (bucket lab): cannot open: credentials file: open none: no such file or directory; create it, or correct the name"},
	} {
		t.Setenv("STORAGE_EMULATOR_HOST", tt.env)
		asked = ""
		store, err := openStore(t.Context(), "lab", tt.s, 0, nil)
		if err == nil {
			err = reach(t.Context(), "lab", tt.s, store)
			if err := closeStore(store); err != nil {
				t.Error(err)
			}
		}
		if got := fmt.Sprint(err); err != nil && got != strings.ReplaceAll(tt.want, "URL", server.URL) || err == nil && tt.want != "" {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if tt.want == "" && asked != "/storage/v1/b/good/o payer" {
			t.Errorf("%s: asked for %q", tt.name, asked)
		}
	}
}

// What Azure answers at the start becomes one sentence too.
func TestReachAzure(t *testing.T) {
	for _, tt := range []struct {
		status     int
		code, want string
	}{
		{200, "", ""},
		{404, "ContainerNotFound", "store lab: container lab does not exist at URL: create it or correct the name"},
		{403, "AuthenticationFailed", "store lab: URL refuses the credentials for container lab (AuthenticationFailed): correct account and accountKey, the dates of the sas, or the account's rules for networks"},
		{403, "AuthorizationPermissionMismatch", "store lab: URL denies access to container lab (AuthorizationPermissionMismatch): let these credentials list, read and write it"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Ms-Version", "2026-12-06")
			w.Header().Set("X-Ms-Error-Code", tt.code)
			w.WriteHeader(tt.status)
			if tt.status == http.StatusOK {
				_, _ = fmt.Fprint(w, `<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>`)
			}
		}))
		defer server.Close()
		s := config.Store{Type: "azure", Container: "lab", Account: "acme", Endpoint: server.URL, AccountKey: "aHVudGVyMg=="}
		store, err := openStore(t.Context(), "lab", s, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = reach(t.Context(), "lab", s, store)
		if got := fmt.Sprint(err); err != nil && got != strings.ReplaceAll(tt.want, "URL", server.URL) || err == nil && tt.want != "" {
			t.Errorf("%d %s: %s, want %s", tt.status, tt.code, got, tt.want)
		}
	}
	s := config.Store{Type: "azure", Container: "lab", Account: "acme", SAS: "no signature"}
	if _, err := openStore(t.Context(), "lab", s, 0, nil); err == nil || err.Error() != "store lab (container lab of acme): cannot open: SAS: give the whole query string, with sig= in it; correct its configuration" {
		t.Errorf("%v", err)
	}
}

// The sentence for the reader keeps what the error is.
func TestExplain(t *testing.T) {
	err := explain("lab", config.Store{}, "list", fmt.Errorf("x: %w", backend.ErrNotExist))
	if !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("%v is no ErrNotExist any more", err)
	}
}

// What a store is asked to do with objects besides storing them comes from the configuration to the wire.
func TestStoreProtection(t *testing.T) {
	for _, tt := range []struct {
		s    config.Store
		want []string
	}{
		{config.Store{Type: "s3", Bucket: "b", Region: "us-east-1", PathStyle: true, AccessKey: "AK", SecretKey: "s", ACL: "bucket-owner-full-control", BucketOwner: "123456789012",
			Lock: config.Lock{Mode: "governance", Days: 1, LegalHold: true}, Tags: map[string]string{"a": "b"}},
			[]string{"X-Amz-Object-Lock-Mode: GOVERNANCE", "X-Amz-Object-Lock-Legal-Hold: ON", "X-Amz-Tagging: a=b", "X-Amz-Acl: bucket-owner-full-control", "X-Amz-Expected-Bucket-Owner: 123456789012"}},
		{config.Store{Type: "gcs", Bucket: "b", Anonymous: true, UserProject: "payer", ACL: "projectPrivate", Lock: config.Lock{Mode: "locked", Days: 1, Hold: "event"}},
			[]string{"predefinedAcl=projectPrivate", `"eventBasedHold":true`, `"mode":"Locked"`, "userProject=payer"}},
		{config.Store{Type: "azure", Account: "a", Container: "c", AccountKey: "c2VjcmV0", Lock: config.Lock{Mode: "unlocked", Days: 1, LegalHold: true}, Tags: map[string]string{"a": "b"}},
			[]string{"X-Ms-Immutability-Policy-Mode: Unlocked", "X-Ms-Legal-Hold: true", "X-Ms-Tags: a=b"}},
	} {
		var got strings.Builder
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(&got, r.Method, r.URL)
			_ = r.Header.Write(&got)
			_, _ = io.Copy(&got, r.Body)
			w.WriteHeader(http.StatusForbidden)
		}))
		tt.s.Endpoint = server.URL
		store, err := openStore(t.Context(), "lab", tt.s, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(t.Context(), "file", nil, backend.PutOptions{}); !errors.Is(err, backend.ErrPermission) {
			t.Errorf("%s: %v", tt.s.Type, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(got.String(), want) {
				t.Errorf("%s: nothing says %s in\n%s", tt.s.Type, want, got.String())
			}
		}
		server.Close()
	}
}
