package azure

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/crc64nvme"
)

// service is one container in memory, as far as the driver speaks with it. Unlike the emulator it copies from URLs, keeps its pool of
// uncommitted blocks, and holds blobs.
type service struct {
	t *testing.T

	mu     sync.Mutex
	blobs  map[string]*stored
	pools  map[string][]block // uncommitted, by key
	serial int
	seen   map[string]int // operations
}

type stored struct {
	data   []byte
	blocks []block
	etag   string
	at     time.Time
	header http.Header // what its writer said: metadata, type, tier, tags
	held   bool
}

type block struct {
	id   string
	data []byte
}

// newService returns a store on a new service.
func newService(t *testing.T) (*service, *Store) {
	c := &service{t: t, blobs: map[string]*stored{}, pools: map[string][]block{}, seen: map[string]int{}}
	cfg := account
	cfg.PageSize = 3
	return c, wire(t, cfg, c.serve)
}

// count tells how often there was an operation.
func (c *service) count(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[op]
}

func (c *service) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil { // the driver gave up
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	op, key := operation(r), strings.TrimPrefix(r.URL.Path, "/cont/")
	c.seen[op]++
	if op == "GET list" {
		c.list(w, r.URL.Query())
		return
	}
	b := c.blobs[key]
	if op == "GET blocklist" && (b != nil || len(c.pools[key]) > 0) {
		c.listBlocks(w, key, b)
		return
	}
	if b == nil && (r.Method != http.MethodPut || strings.HasPrefix(op, "PUT ") && op != "PUT block" && op != "PUT blocklist") {
		fail(w, http.StatusNotFound, "BlobNotFound")
		return
	}
	etag := ""
	if b != nil {
		etag = b.etag
	}
	switch want := r.Header.Get("If-Match"); {
	case want != "" && want != etag:
		fail(w, http.StatusPreconditionFailed, "ConditionNotMet")
		return
	case r.Header.Get("If-None-Match") == "*" && b != nil:
		fail(w, http.StatusConflict, "BlobAlreadyExists")
		return
	case b != nil && b.held && r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.HasSuffix(op, "block"):
		fail(w, http.StatusConflict, "BlobImmutableDueToPolicy")
		return
	}
	if sum := r.Header.Get("X-Ms-Content-Crc64"); sum != "" && sum != crc(body) {
		fail(w, http.StatusBadRequest, "Crc64Mismatch")
		return
	}
	if r.Header.Get("X-Ms-Copy-Source") != "" {
		var ok bool
		if body, ok = c.source(w, r); !ok {
			return
		}
	}
	switch op {
	case "HEAD", "GET":
		c.read(w, r, b)
		return
	case "DELETE":
		delete(c.blobs, key)
		w.WriteHeader(http.StatusAccepted)
		return
	case "GET tags":
		c.tags(w, b)
		return
	case "PUT", "copy":
		b = c.write(key, body, nil, r.Header)
	case "PUT block", "copy block":
		id := r.URL.Query().Get("blockid")
		c.pools[key] = append(slices.DeleteFunc(c.pools[key], func(b block) bool { return b.id == id }), block{id, body})
		w.Header().Set("X-Ms-Content-Crc64", crc(body))
		w.WriteHeader(http.StatusCreated)
		return
	case "PUT blocklist":
		if b = c.commit(w, key, body, b, r.Header); b == nil {
			return
		}
	case "PUT metadata":
		maps.DeleteFunc(b.header, func(k string, _ []string) bool { return strings.HasPrefix(k, "X-Ms-Meta-") })
		c.touch(b, r.Header, "X-Ms-Meta-")
	case "PUT properties":
		c.touch(b, r.Header, "X-Ms-Blob-")
	case "PUT tier":
		c.touch(b, r.Header, "X-Ms-Access-Tier")
	default:
		c.t.Errorf("%s %s: not served", op, r.URL)
	}
	w.Header().Set("Etag", b.etag)
	w.Header().Set("Last-Modified", b.at.Format(http.TimeFormat))
	if op == "PUT" {
		w.Header().Set("X-Ms-Content-Crc64", crc(body))
	}
	if op != "PUT metadata" && op != "PUT properties" && op != "PUT tier" {
		w.WriteHeader(http.StatusCreated)
	}
}

func crc(p []byte) string {
	return base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint64(nil, crc64nvme.Checksum(p)))
}

// touch changes what is said about a blob.
func (c *service) touch(b *stored, h http.Header, prefix string) {
	for k, v := range h {
		if strings.HasPrefix(k, prefix) {
			b.header[k] = v
		}
	}
	c.serial++
	b.etag = fmt.Sprintf(`"%d"`, c.serial)
}

func (c *service) write(key string, data []byte, blocks []block, h http.Header) *stored {
	b := &stored{data: data, blocks: blocks, at: time.Now().UTC().Truncate(time.Second), header: http.Header{}}
	c.touch(b, h, "X-Ms-")
	c.blobs[key] = b
	delete(c.pools, key)
	return b
}

// source returns the bytes that a copy is about.
func (c *service) source(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	u, err := url.Parse(r.Header.Get("X-Ms-Copy-Source"))
	if err != nil || u.Query().Get("sig") == "" {
		fail(w, http.StatusUnauthorized, "CannotVerifyCopySource")
		return nil, false
	}
	b := c.blobs[strings.TrimPrefix(u.Path, "/cont/")]
	switch {
	case b == nil:
		fail(w, http.StatusNotFound, "CannotVerifyCopySource")
		return nil, false
	case r.Header.Get("X-Ms-Source-If-Match") != b.etag:
		fail(w, http.StatusPreconditionFailed, "SourceConditionNotMet")
		return nil, false
	}
	from, to, ok := span(r.Header.Get("X-Ms-Source-Range"), len(b.data))
	if !ok {
		fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return nil, false
	}
	return b.data[from:to], true
}

// span reads "bytes=first-last".
func span(s string, size int) (from, to int, ok bool) {
	if s == "" {
		return 0, size, true
	}
	first, last, _ := strings.Cut(strings.TrimPrefix(s, "bytes="), "-")
	from, err := strconv.Atoi(first)
	if to, _ = strconv.Atoi(last); last == "" || to >= size {
		to = size - 1
	}
	return from, to + 1, err == nil && from < size
}

func (c *service) commit(w http.ResponseWriter, key string, body []byte, old *stored, h http.Header) *stored {
	var asked struct{ Latest []string }
	if err := xml.Unmarshal(body, &asked); err != nil {
		c.t.Error(err)
	}
	have := slices.Clone(c.pools[key])
	if old != nil {
		have = append(have, old.blocks...)
	}
	var data []byte
	var blocks []block
	for _, id := range asked.Latest {
		i := slices.IndexFunc(have, func(b block) bool { return b.id == id })
		if i < 0 {
			fail(w, http.StatusBadRequest, "InvalidBlockList")
			return nil
		}
		data, blocks = append(data, have[i].data...), append(blocks, have[i])
	}
	return c.write(key, data, blocks, h)
}

func (c *service) read(w http.ResponseWriter, r *http.Request, b *stored) {
	h := w.Header()
	for k, v := range b.header {
		if strings.HasPrefix(k, "X-Ms-Meta-") {
			h[k] = v
		}
	}
	h.Set("Etag", b.etag)
	h.Set("Last-Modified", b.at.Format(http.TimeFormat))
	h.Set("Content-Type", b.header.Get("X-Ms-Blob-Content-Type"))
	tier := b.header.Get("X-Ms-Access-Tier")
	h.Set("X-Ms-Access-Tier", cmp.Or(tier, "Hot"))
	h.Set("X-Ms-Access-Tier-Inferred", strconv.FormatBool(tier == ""))
	if tags := b.header.Get("X-Ms-Tags"); tags != "" {
		h.Set("X-Ms-Tag-Count", strconv.Itoa(strings.Count(tags, "=")))
	}
	if r.Method == http.MethodHead {
		h.Set("Content-Length", strconv.Itoa(len(b.data)))
		return
	}
	from, to, ok := span(r.Header.Get("X-Ms-Range"), len(b.data))
	switch {
	case tier == "Archive":
		fail(w, http.StatusConflict, "BlobArchived")
		return
	case !ok:
		fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return
	}
	h.Set("Content-Length", strconv.Itoa(to-from))
	if r.Header.Get("X-Ms-Range") != "" {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(b.data)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(b.data[from:to])
}

func (c *service) tags(w http.ResponseWriter, b *stored) {
	tags, _ := url.ParseQuery(b.header.Get("X-Ms-Tags"))
	_, _ = fmt.Fprint(w, "<Tags><TagSet>")
	for k := range tags {
		_, _ = fmt.Fprintf(w, "<Tag><Key>%s</Key><Value>%s</Value></Tag>", k, tags.Get(k))
	}
	_, _ = fmt.Fprint(w, "</TagSet></Tags>")
}

func (c *service) listBlocks(w http.ResponseWriter, key string, b *stored) {
	show := func(name string, blocks []block) {
		_, _ = fmt.Fprintf(w, "<%s>", name)
		for _, b := range blocks {
			_, _ = fmt.Fprintf(w, "<Block><Name>%s</Name><Size>%d</Size></Block>", b.id, len(b.data))
		}
		_, _ = fmt.Fprintf(w, "</%s>", name)
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = fmt.Fprint(w, "<BlockList>")
	if b != nil {
		show("CommittedBlocks", b.blocks)
	}
	show("UncommittedBlocks", c.pools[key])
	_, _ = fmt.Fprint(w, "</BlockList>")
}

func (c *service) list(w http.ResponseWriter, q url.Values) {
	size, err := strconv.Atoi(q.Get("maxresults"))
	if err != nil {
		c.t.Error(err)
	}
	marker, err := url.QueryUnescape(q.Get("marker"))
	if err != nil {
		c.t.Error(err)
	}
	name := func(s string) string { return `<Name Encoded="true">` + url.QueryEscape(s) + "</Name>" }
	var rows []string
	var next, last string
	for _, key := range slices.Sorted(maps.Keys(c.blobs)) {
		rest, ok := strings.CutPrefix(key, q.Get("prefix"))
		if !ok || key < max(q.Get("startFrom"), marker) || last != "" && strings.HasPrefix(key, last) {
			continue
		}
		if len(rows) == size {
			next = key
			break
		}
		if i := strings.Index(rest, "/"); q.Get("delimiter") != "" && i >= 0 {
			last = key[:len(key)-len(rest)+i+1]
			rows = append(rows, "<BlobPrefix>"+name(last)+"</BlobPrefix>")
			continue
		}
		b := c.blobs[key]
		tier := b.header.Get("X-Ms-Access-Tier")
		row := fmt.Sprintf("<Blob>%s<Properties><Etag>%s</Etag><Last-Modified>%s</Last-Modified><Content-Length>%d</Content-Length><Content-Type>%s</Content-Type><AccessTier>%s</AccessTier><AccessTierInferred>%v</AccessTierInferred></Properties><Metadata>",
			name(key), strings.Trim(b.etag, `"`), b.at.Format(http.TimeFormat), len(b.data), b.header.Get("X-Ms-Blob-Content-Type"), cmp.Or(tier, "Hot"), tier == "")
		for k, v := range b.header {
			if m, ok := strings.CutPrefix(k, "X-Ms-Meta-"); ok {
				row += fmt.Sprintf("<%s>%s</%s>", m, v[0], m)
			}
		}
		rows = append(rows, row+"</Metadata></Blob>")
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><EnumerationResults><Blobs>%s</Blobs><NextMarker>%s</NextMarker></EnumerationResults>", strings.Join(rows, ""), url.QueryEscape(next))
}
