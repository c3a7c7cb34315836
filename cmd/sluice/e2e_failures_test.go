//go:build e2e

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/azure"
	"sluice/backend/gcs"
	"sluice/backend/s3"
	"sluice/backend/storetest/azurite"
	"sluice/backend/storetest/fakegcs"
	"sluice/backend/storetest/versitygw"
)

// flaky is a proxy in front of a real store. Requests about a directory fail as a test has told it.
type flaky struct {
	kind   string // type of the store
	config string // of the store, through the proxy
	secret string // what no log may hold
	direct backend.Store
	raw    func(t *testing.T) []string // what is in the bucket besides objects

	proxy *httputil.ReverseProxy
	storm *storm // takes all requests if there is one
	mu    sync.Mutex
	fault map[string]fault // by directory
	count map[string]int   // requests by operation
}

// fault is how the requests of one kind fail.
type fault struct {
	op    string // see operation
	class string
	hits  *int
}

func startFlaky(t *testing.T, kind, tries string) *flaky {
	t.Helper()
	f := &flaky{kind: kind, fault: map[string]fault{}, count: map[string]int{}}
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	var err error
	target := ""
	switch kind {
	case "s3":
		g := versitygw.Start(t)
		target, f.secret = g.Endpoint, g.SecretKey
		f.config = fmt.Sprintf("{type: s3, bucket: %s, endpoint: %q, region: us-east-1, pathStyle: true, accessKey: %q, secretKey: %q, %s}", g.Bucket, server.URL, g.AccessKey, g.SecretKey, tries)
		f.direct, err = s3.Open(t.Context(), s3.Config{Bucket: g.Bucket, Endpoint: g.Endpoint, Region: "us-east-1", PathStyle: true, AccessKey: g.AccessKey, SecretKey: g.SecretKey})
		f.raw = func(t *testing.T) []string { t.Helper(); return g.Uploads(t) }
	case "gcs":
		g := fakegcs.Start(t)
		target, f.secret = g.Endpoint, "no secret"
		f.config = fmt.Sprintf("{type: gcs, bucket: %s, endpoint: %q, anonymous: true, %s}", g.Bucket, server.URL, tries)
		f.direct, err = gcs.Open(t.Context(), gcs.Config{Bucket: g.Bucket, Endpoint: g.Endpoint, Anonymous: true})
		f.raw = func(t *testing.T) []string { t.Helper(); return parts(t, g) }
	case "azure":
		a := azurite.Start(t)
		target, f.secret = a.Endpoint, a.AccountKey
		u, _ := url.Parse(a.Endpoint)
		f.config = fmt.Sprintf("{type: azure, account: %s, container: %s, endpoint: %q, accountKey: %q, %s}", a.Account, a.Container, server.URL+u.Path, a.AccountKey, tries)
		f.direct, err = azure.Open(t.Context(), azure.Config{Account: a.Account, Container: a.Container, Endpoint: a.Endpoint, AccountKey: a.AccountKey})
		f.raw = func(*testing.T) []string { return nil } // nobody can list or drop uncommitted blocks
	}
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = ""
	f.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			if kind != "gcs" { // requests are signed with it; and the emulator knows its own alone
				r.Out.Host = r.In.Host
			}
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	return f
}

// parts are the hidden objects of uploads.
func parts(t *testing.T, g *fakegcs.Server) (names []string) {
	t.Helper()
	resp, err := http.Get(g.Endpoint + "/storage/v1/b/" + g.Bucket + "/o?prefix=.sluice/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ Items []struct{ Name string } }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Items {
		names = append(names, item.Name)
	}
	return names
}

// operation names what a request does, in words that all stores have in common: list, head, get, put, part, copy, delete. What only some know goes by its method.
func (f *flaky) operation(r *http.Request, body []byte) string {
	q := r.URL.Query()
	switch {
	case f.kind == "gcs" && r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/upload/"):
		if bytes.Contains(body[:min(len(body), 2000)], []byte(".sluice/parts/")) && !bytes.Contains(body[:min(len(body), 2000)], []byte("/upload\"")) {
			return "part"
		}
		return "put"
	case f.kind == "gcs" && (strings.Contains(r.URL.Path, "/rewriteTo/") || strings.Contains(r.URL.Path, "/moveTo/")):
		return "copy"
	case f.kind == "gcs" && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/o"), f.kind == "s3" && q.Has("list-type"), f.kind == "azure" && q.Get("comp") == "list":
		return "list"
	case f.kind == "gcs" && r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/storage/v1/"), r.Method == http.MethodHead:
		return "head"
	case r.Header.Get("X-Amz-Copy-Source")+r.Header.Get("X-Ms-Copy-Source") != "":
		return "copy"
	case q.Has("partNumber"), q.Get("comp") == "block":
		return "part"
	}
	return strings.ToLower(r.Method)
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.storm != nil {
		f.storm.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	op := f.operation(r, body)
	about := r.URL.String() + r.Header.Get("X-Amz-Copy-Source") + string(body[:min(len(body), 2000)])
	about = strings.ReplaceAll(about, "%2F", "/")
	f.mu.Lock()
	f.count[op]++
	var hit fault
	for dir, is := range f.fault {
		if is.op == op && (strings.Contains(about, dir+"/") || op == "part" && strings.Contains(about, ".sluice/parts/")) {
			hit = is
			*is.hits++
		}
	}
	f.mu.Unlock()
	switch hit.class {
	case "":
		f.proxy.ServeHTTP(w, r)
	case "timeout":
		<-r.Context().Done()
	case "connection":
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	case "checksum":
		bad := bytes.Replace(body, []byte("0123456789"), []byte("0123456798"), 1)
		r.Body = io.NopCloser(bytes.NewReader(bad))
		f.proxy.ServeHTTP(w, r)
	default:
		f.refuse(w, r, hit.class)
	}
}

// refusals are what each store answers: the status, and its own word.
var refusals = map[string]struct {
	status         int
	s3, gcs, azure string
}{
	"permission": {http.StatusForbidden, "AccessDenied", "forbidden", "AuthorizationPermissionMismatch"},
	"missing":    {http.StatusNotFound, "NoSuchKey", "notFound", "BlobNotFound"},
	"changed":    {http.StatusPreconditionFailed, "PreconditionFailed", "conditionNotMet", "ConditionNotMet"},
	"throttled":  {http.StatusServiceUnavailable, "SlowDown", "backendError", "ServerBusy"},
	"too many":   {http.StatusTooManyRequests, "TooManyRequests", "rateLimitExceeded", "TooManyRequests"},
}

func (f *flaky) refuse(w http.ResponseWriter, r *http.Request, class string) {
	is := refusals[class]
	h := w.Header()
	switch f.kind {
	case "s3":
		h.Set("X-Amz-Request-Id", "REQ")
		h.Set("X-Amz-Id-2", "HOST")
		h.Set("Content-Type", "application/xml")
		w.WriteHeader(is.status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>No: %s</Message></Error>", is.s3, r.Header.Get("Authorization"))
	case "gcs":
		h.Set("X-Guploader-Uploadid", "REQ")
		h.Set("Content-Type", "application/json")
		w.WriteHeader(is.status)
		_, _ = fmt.Fprintf(w, `{"error": {"code": %d, "message": "No.", "errors": [{"reason": %q}]}}`, is.status, is.gcs)
	case "azure":
		h.Set("X-Ms-Request-Id", "REQ")
		h.Set("X-Ms-Error-Code", is.azure)
		h.Set("Content-Type", "application/xml")
		w.WriteHeader(is.status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>No.</Message></Error>", is.azure)
	}
}

// bucket is every object, with its version.
func (f *flaky) bucket(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for e, err := range f.direct.List(t.Context(), dir+"/", backend.ListOptions{Recursive: true}) {
		if err != nil {
			t.Fatal(err)
		}
		all[e.Key] = e.ETag
	}
	return all
}

// attempt runs a command and returns the code of its final reply, whether or not there was a 150.
func (c *client) attempt(command, body string) int {
	c.t.Helper()
	data := (net.Conn)(nil)
	if verb, _, _ := strings.Cut(command, " "); slices.Contains([]string{"STOR", "APPE", "RETR", "LIST", "MLSD"}, verb) {
		var port int
		reply := c.do("EPSV", "229")
		if _, err := fmt.Sscanf(reply[strings.Index(reply, "("):], "(|||%d|)", &port); err != nil {
			c.t.Fatalf("EPSV: %q", reply)
		}
		data = c.dial(fmt.Sprintf("127.0.0.1:%d", port))
		defer data.Close()
	}
	if _, err := io.WriteString(c.conn, command+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	read := func() int {
		n, _, err := c.text.ReadResponse(0)
		if n == 0 {
			c.t.Fatalf("%s: %v", command, err)
		}
		return n
	}
	code := read()
	if code/100 != 1 {
		return code
	}
	if body != "" {
		_, _ = io.WriteString(data, body) // which may be cut
	} else {
		_, _ = io.Copy(io.Discard, data)
	}
	_ = data.Close()
	return read()
}

// TestE2EFailures: every kind of failure of every store, met by every kind of command, is the reply that it should be and one line of
// the log that says which request it was; and the bucket is what it was.
func TestE2EFailures(t *testing.T) {
	small, large := "0123456789", strings.Repeat("0123456789abcdef", 17<<20/16)
	type verb struct {
		name, op string
		commands []string // the last one counts; DIR is the directory
		body     string
		codes    map[string]int // by class; what is not there cannot happen, or is no failure
	}
	refused := func(missing, changed int) map[string]int {
		codes := map[string]int{"permission": 550, "missing": missing, "changed": changed, "throttled": 451, "too many": 451, "timeout": 451, "connection": 451}
		maps.DeleteFunc(codes, func(_ string, code int) bool { return code == 0 })
		return codes
	}
	with := func(codes map[string]int, class string, code int) map[string]int { codes[class] = code; return codes }
	verbs := []verb{
		{"STOR of parts", "part", []string{"STOR DIR/file"}, large, with(refused(0, 0), "checksum", 451)},
		{"STOR", "put", []string{"STOR DIR/file"}, small, with(refused(0, 451), "checksum", 451)},
		{"RETR", "get", []string{"RETR DIR/file"}, "", refused(550, 451)},
		{"LIST", "list", []string{"LIST DIR"}, "", refused(0, 0)},
		{"DELE", "delete", []string{"DELE DIR/file"}, "", refused(0, 451)},
		{"RNTO", "copy", []string{"RNFR DIR/file", "RNTO DIR/other"}, "", refused(550, 451)},
		{"MKD", "put", []string{"MKD DIR/new"}, "", refused(0, 0)},
		{"SIZE", "head", []string{"SIZE DIR/file"}, "", refused(550, 0)},
	}
	// Most of the time is spent in waiting: every store is there twice, for half of the verbs each.
	for i := range 6 {
		kind, half := []string{"s3", "gcs", "azure"}[i/2], i%2
		t.Run(fmt.Sprintf("%s %d", kind, half), func(t *testing.T) {
			t.Parallel()
			f := startFlaky(t, kind, "tries: 2, timeout: 2s")
			r := boot(t, fmt.Sprintf(`tls: {certificates: [{cert: server.crt, key: server.key}]}
stores: {drops: %s}
users: [{name: ann, password: %q, mounts: [{path: /, store: drops}], limits: {sessions: 0, transfers: 0}}]
`, f.config, hashed()))
			n := 0
			for i, v := range verbs {
				if i%2 != half {
					continue
				}
				for _, class := range slices.Sorted(maps.Keys(v.codes)) {
					n++
					dir := fmt.Sprintf("case%d", n)
					t.Run(v.name+" "+class, func(t *testing.T) {
						f.check(t, r, dir, v.op, class, v.codes[class], func(c *client) int {
							code := 0
							for _, command := range v.commands {
								code = c.attempt(strings.ReplaceAll(command, "DIR", dir), v.body)
							}
							return code
						})
					})
				}
			}
			if log := r.log.String(); strings.Contains(log, f.secret) || strings.Contains(log, "Credential=sluice") || strings.Contains(log, "is given a pause") {
				t.Errorf("the log tells a secret, or of a pause:\n%s", log)
			}
		})
	}
}

// check runs a command while requests about dir fail.
func (f *flaky) check(t *testing.T, r *running, dir, op, class string, want int, run func(*client) int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, name := range []string{"/file", "/another"} { // without which a DELE would leave the marker of its directory
		if _, err := f.direct.Put(ctx, dir+name, []byte("as it was"), backend.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	before := f.bucket(t, dir)
	c := r.connect(t)
	c.login("ann", "secret", "230")
	c.do("PBSZ 0", "200")
	c.do("PROT P", "200")
	c.do("TYPE I", "200")
	said, hits := len(r.log.String()), 0
	f.mu.Lock()
	f.fault[dir] = fault{op, class, &hits}
	f.mu.Unlock()
	code := run(c)
	f.mu.Lock()
	delete(f.fault, dir)
	f.mu.Unlock()
	if code != want || hits == 0 {
		t.Errorf("%d, want %d; %d requests failed", code, want, hits)
	}
	if after := f.bucket(t, dir); !maps.Equal(after, before) {
		t.Errorf("the bucket has %v, had %v", after, before)
	}
	if left := f.raw(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	var lines []string
	for line := range strings.Lines(r.log.String()[said:]) {
		if strings.Contains(line, `"storage":`) {
			lines = append(lines, line)
		}
	}
	if want == 550 && class == "missing" { // an everyday affair, and nothing in the log at this level but a transfer
		return
	}
	if len(lines) != 1 {
		t.Fatalf("%d lines about it, want one:\n%s", len(lines), r.log.String()[said:])
	}
	var line struct {
		Level, Error string
		Code         int
		Storage      struct {
			Store, Type, Op, Key, Class string
			Status                      int
			Request                     string `json:"request_id"`
		}
	}
	err := json.Unmarshal([]byte(lines[0]), &line)
	s, status := line.Storage, refusals[class].status
	if class == "too many" {
		class = "throttled"
	}
	switch {
	case err != nil, s.Store != "drops", s.Type != f.kind, s.Op == "", !strings.HasPrefix(s.Key, dir+"/"), s.Class != class, line.Code != want, line.Level != "WARN":
		err = errors.Join(err, errors.New("the line does not say what it should"))
	case status != 0 && (s.Status != status || !strings.HasPrefix(s.Request, "REQ")):
		err = errors.New("the request is not named")
	case f.kind == "s3" && status != 0 && s.Request != "REQ / HOST":
		err = errors.New("the request is not named in full")
	}
	if err != nil {
		t.Errorf("%v: %s", err, lines[0])
	}
}
