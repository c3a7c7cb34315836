package gcs

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	raw "google.golang.org/api/storage/v1"
)

// cloud is Cloud Storage in memory, as far as the driver speaks with it: what is asked for in JSON, reads in XML. Unlike the emulator it
// keeps every condition, pages and moves; and it fails where a test wants it to.
type cloud struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	objects map[string]*stored
	clock   int64 // the last generation
	seen    []call
	fault   func(c call) fault
	class   string // the default of the bucket
}

type stored struct {
	raw.Object
	data []byte
}

// call is one request.
type call struct {
	op    string // insert, get, list, patch, delete, compose, rewrite, move, read
	name  string // of the object
	nth   int    // of this op, from 1
	query url.Values
	head  http.Header
}

// fault is what goes wrong with a request. The zero value is nothing.
type fault struct {
	status int    // is answered, and nothing done
	reason string // for status
	text   string // for status
	reset  bool   // the connection is cut before anything is done
	lose   bool   // the work is done, and the connection cut instead of an answer
	damage bool   // other bytes arrive than were sent
	deaf   bool   // conditions on a read are not heard
	cut    int    // so many bytes of a body are sent, and then the connection is cut
	sum    bool   // the answer names another checksum
	size   bool   // the answer names another size
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, objects: map[string]*stored{}, class: standard, clock: time.Now().UnixMicro()}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

// open returns a store on the cloud that loses no time between its tries.
func (c *cloud) open(cfg Config) *Store {
	c.t.Helper()
	cfg.Bucket, cfg.Endpoint, cfg.Anonymous = "b", c.URL, true
	s, err := open(c.t.Context(), cfg, patience{attempts: 3, pause: time.Millisecond})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = s.Close() })
	return s
}

// fail sets what goes wrong from now on.
func (c *cloud) fail(f func(c call) fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.seen = f, nil
}

// calls returns the requests since the last fail.
func (c *cloud) calls(op string) (all []call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seen {
		if op == "" || s.op == op {
			all = append(all, s)
		}
	}
	return all
}

// keys names all objects, hidden ones too.
func (c *cloud) keys() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.objects))
}

// edit changes a stored object behind the driver's back.
func (c *cloud) edit(name string, f func(o *stored)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.objects[name])
}

// put stores an object as another program would.
func (c *cloud) put(name, data string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write(name, []byte(data), &raw.Object{})
}

// ServeHTTP implements http.Handler.
func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil { // the driver gave up
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	this, other := parse(r)
	this.nth = 1
	for _, s := range c.seen {
		if s.op == this.op {
			this.nth++
		}
	}
	c.seen = append(c.seen, this)
	var f fault
	if c.fault != nil {
		f = c.fault(this)
	}
	switch {
	case f.reset:
		panic(http.ErrAbortHandler)
	case f.status != 0:
		refuse(w, this.op, f.status, f.reason, f.text)
		return
	case f.lose:
		c.serve(httptest.NewRecorder(), r, this, other, body, f)
		panic(http.ErrAbortHandler)
	}
	c.serve(w, r, this, other, body, f)
}

// parse tells the calls apart by their paths (Cloud Storage JSON API reference). Another object of a call is returned beside it.
func parse(r *http.Request) (c call, other string) {
	c.query, c.head = r.URL.Query(), r.Header
	path := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	for i := range path {
		path[i], _ = url.PathUnescape(path[i])
	}
	if path[0] == "upload" {
		c.op, c.name = "insert", c.query.Get("name")
		return c, ""
	}
	if path[0] != "storage" {
		c.op, c.name = "read", path[1]
		return c, ""
	}
	path = path[5:] // storage v1 b B o
	if len(path) == 0 {
		c.op = "list"
		return c, ""
	}
	c.name = path[0]
	switch {
	case len(path) > 1 && path[1] == "compose":
		c.op = "compose"
	case len(path) > 1 && path[1] == "rewriteTo":
		c.op, c.name, other = "rewrite", path[5], path[0]
	case len(path) > 1 && path[1] == "moveTo":
		c.op, c.name, other = "move", path[3], path[0]
	case r.Method == http.MethodGet:
		c.op = "get"
	default:
		c.op = strings.ToLower(r.Method)
	}
	return c, other
}

func (c *cloud) serve(w http.ResponseWriter, r *http.Request, this call, other string, body []byte, f fault) {
	o := c.objects[this.name]
	if this.op != "list" && this.op != "read" && !holds(this.query, "if", o) {
		refuse(w, this.op, 412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
		return
	}
	if o == nil && slices.Contains([]string{"get", "patch", "delete", "read"}, this.op) {
		refuse(w, this.op, 404, "notFound", "No such object: b/"+this.name)
		return
	}
	from := c.objects[other]
	changes := !slices.Contains([]string{"get", "patch", "read", "list"}, this.op)
	if changes && held(o) || this.op == "move" && held(from) {
		refuse(w, this.op, 403, "retentionPolicyNotMet", "Object is under active hold or retention and cannot be deleted, overwritten or archived.")
		return
	}
	if other != "" && from == nil {
		refuse(w, this.op, 404, "notFound", "No such object: b/"+other)
		return
	}
	if other != "" && !holds(this.query, "ifSource", from) {
		refuse(w, this.op, 412, "conditionNotMet", "The source is another one.")
		return
	}
	var asked raw.Object
	switch this.op {
	case "insert":
		o = c.insert(w, r, this, body, f)
	case "get":
	case "patch":
		o = c.patch(o, body)
	case "delete":
		delete(c.objects, this.name)
		w.WriteHeader(http.StatusNoContent)
		return
	case "list":
		c.list(w, this.query)
		return
	case "read":
		c.read(w, r, o, f)
		return
	case "compose":
		o = c.compose(w, this, body)
	case "rewrite":
		_ = json.Unmarshal(body, &asked)
		if len(from.data) > 2000 && this.query.Get("rewriteToken") == "" {
			reply(w, raw.RewriteResponse{RewriteToken: "go on", ObjectSize: int64(len(from.data)), TotalBytesRewritten: 1})
			return
		}
		o = c.write(this.name, from.data, &asked)
		reply(w, raw.RewriteResponse{Done: true, ObjectSize: int64(len(o.data)), Resource: answer(o, f)})
		return
	case "move":
		delete(c.objects, other)
		o = c.write(this.name, from.data, &from.Object)
	}
	if o != nil {
		reply(w, answer(o, f))
	}
}

// holds checks the conditions on one object.
func holds(q url.Values, prefix string, o *stored) bool {
	for suffix, is := range map[string]func(o *stored) int64{
		"GenerationMatch":     func(o *stored) int64 { return o.Generation },
		"MetagenerationMatch": func(o *stored) int64 { return o.Metageneration },
	} {
		want := q.Get(prefix + suffix)
		have := "0"
		if o != nil {
			have = strconv.FormatInt(is(o), 10)
		}
		if want != "" && want != have {
			return false
		}
	}
	return true
}

// write makes an object, with the attributes that a writer may choose.
func (c *cloud) write(name string, data []byte, a *raw.Object) *stored {
	c.clock++
	now := time.UnixMicro(c.clock).UTC().Format(time.RFC3339Nano)
	class := a.StorageClass
	if class == "" {
		class = c.class
	}
	o := &stored{data: data, Object: raw.Object{
		Bucket: "b", Name: name, Size: uint64(len(data)), Generation: c.clock, Metageneration: 1, TimeCreated: now, Updated: now, ContentType: a.ContentType,
		EventBasedHold: a.EventBasedHold, TemporaryHold: a.TemporaryHold, Retention: a.Retention, StorageClass: class, CacheControl: a.CacheControl, Metadata: a.Metadata, Crc32c: encode(crc32.Checksum(data, castagnoli)),
	}}
	c.objects[name] = o
	return o
}

// held reports whether an object must stay as it is.
func held(o *stored) bool {
	if o == nil {
		return false
	}
	until := time.Time{}
	if o.Retention != nil {
		until, _ = time.Parse(time.RFC3339, o.Retention.RetainUntilTime)
	}
	return o.EventBasedHold || o.TemporaryHold || time.Now().Before(until)
}

func encode(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func (c *cloud) insert(w http.ResponseWriter, r *http.Request, this call, body []byte, f fault) *stored {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		c.t.Error(err)
		return nil
	}
	parts := multipart.NewReader(strings.NewReader(string(body)), params["boundary"])
	var texts [][]byte
	for {
		p, err := parts.NextPart()
		if err != nil {
			break
		}
		text, err := io.ReadAll(p)
		if err != nil {
			break
		}
		texts = append(texts, text)
	}
	var asked raw.Object
	if len(texts) != 2 || json.Unmarshal(texts[0], &asked) != nil {
		refuse(w, this.op, 400, "parseError", "Bad multipart body")
		return nil
	}
	if f.damage {
		texts[1] = append([]byte("x"), texts[1]...)
	}
	if asked.Crc32c != "" && asked.Crc32c != encode(crc32.Checksum(texts[1], castagnoli)) {
		refuse(w, this.op, 400, "invalid", "Provided CRC32C does not match calculated CRC32C.")
		return nil
	}
	return c.write(this.name, texts[1], &asked)
}

// patch merges: keys of metadata that are not named stay (RFC 7396).
func (c *cloud) patch(o *stored, body []byte) *stored {
	var asked map[string]json.RawMessage
	if err := json.Unmarshal(body, &asked); err != nil {
		c.t.Error(err)
	}
	c.clock++
	o.Metageneration++
	o.Updated = time.UnixMicro(c.clock).UTC().Format(time.RFC3339Nano)
	if v, ok := asked["contentType"]; ok {
		_ = json.Unmarshal(v, &o.ContentType)
	}
	if v, ok := asked["metadata"]; ok && string(v) == "null" {
		o.Metadata = nil
	} else if ok {
		m := maps.Clone(o.Metadata)
		_ = json.Unmarshal(v, &m)
		o.Metadata = m
	}
	return o
}

func (c *cloud) compose(w http.ResponseWriter, this call, body []byte) *stored {
	var asked raw.ComposeRequest
	if err := json.Unmarshal(body, &asked); err != nil || len(asked.SourceObjects) > 32 || len(asked.SourceObjects) == 0 {
		refuse(w, this.op, 400, "invalid", "Between 1 and 32 components")
		return nil
	}
	data := []byte{}
	for _, src := range asked.SourceObjects {
		o := c.objects[src.Name]
		if o == nil || src.Generation != 0 && src.Generation != o.Generation {
			refuse(w, this.op, 404, "notFound", "Object "+src.Name+" not found.")
			return nil
		}
		data = append(data, o.data...)
	}
	if sum := asked.Destination.Crc32c; sum != "" && sum != encode(crc32.Checksum(data, castagnoli)) {
		refuse(w, this.op, 400, "invalid", "Provided CRC32C does not match calculated CRC32C.")
		return nil
	}
	for _, src := range asked.SourceObjects {
		if asked.DeleteSourceObjects && src.Name != this.name {
			delete(c.objects, src.Name)
		}
	}
	return c.write(this.name, data, asked.Destination)
}

func (c *cloud) list(w http.ResponseWriter, q url.Values) {
	size, err := strconv.Atoi(q.Get("maxResults"))
	if err != nil {
		size = 1000
	}
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	start, end := max(q.Get("startOffset"), q.Get("pageToken")), q.Get("endOffset")
	var out raw.Objects
	var last string
	for _, name := range slices.Sorted(maps.Keys(c.objects)) {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || name < start || end != "" && name >= end || last != "" && strings.HasPrefix(name, last) {
			continue
		}
		if len(out.Items)+len(out.Prefixes) == size {
			out.NextPageToken = name
			break
		}
		if i := strings.Index(rest, "/"); delimiter != "" && i >= 0 {
			last = name[:len(prefix)+i+1]
			out.Prefixes = append(out.Prefixes, last)
			continue
		}
		out.Items = append(out.Items, answer(c.objects[name], fault{}))
	}
	reply(w, out)
}

// read answers as the XML API does.
func (c *cloud) read(w http.ResponseWriter, r *http.Request, o *stored, f fault) {
	if want := r.Header.Get("X-Goog-If-Generation-Match"); want != "" && !f.deaf && want != strconv.FormatInt(o.Generation, 10) {
		refuse(w, "read", 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
		return
	}
	if want := r.URL.Query().Get("generation"); want != "" && want != strconv.FormatInt(o.Generation, 10) {
		refuse(w, "read", 404, "NoSuchKey", "The specified key does not exist.")
		return
	}
	h := w.Header()
	h.Set("X-Goog-Generation", strconv.FormatInt(o.Generation, 10))
	h.Set("X-Goog-Metageneration", strconv.FormatInt(o.Metageneration, 10))
	h.Set("X-Goog-Storage-Class", o.StorageClass)
	h.Set("X-Goog-Hash", "crc32c="+answer(o, f).Crc32c)
	h.Set("Content-Type", o.ContentType)
	updated, err := time.Parse(time.RFC3339Nano, o.Updated)
	if err != nil {
		c.t.Error(err)
	}
	h.Set("Last-Modified", updated.Format(http.TimeFormat))
	for k, v := range o.Metadata { // whose other letters do not survive
		h.Set("X-Goog-Meta-"+k, strings.Map(func(r rune) rune {
			if r > '~' {
				return '?'
			}
			return r
		}, v))
	}
	data, status := o.data, http.StatusOK
	if spec, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		first, last, _ := strings.Cut(spec, "-")
		from, err := strconv.Atoi(first)
		to, toErr := strconv.Atoi(last)
		if toErr != nil || to >= len(data) {
			to = len(data) - 1
		}
		if err != nil || from >= len(data) {
			refuse(w, "read", 416, "InvalidRange", "The requested range cannot be satisfied.")
			return
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(data)))
		data, status = data[from:to+1], http.StatusPartialContent
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if f.cut > 0 && f.cut < len(data) {
		_, _ = w.Write(data[:f.cut])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(data)
}

// answer is what the store says about an object.
func answer(o *stored, f fault) *raw.Object {
	a := o.Object
	a.Metadata = maps.Clone(o.Metadata)
	if f.size {
		a.Size++
	}
	if f.sum {
		a.Crc32c = encode(4711)
	}
	return &a
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, op string, status int, reason, text string) {
	w.Header().Set("X-Guploader-Uploadid", "request-7")
	if op == "read" {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", reason, text)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": status, "message": text, "errors": []map[string]string{{"reason": reason, "message": text, "domain": "global"}},
	}})
}
