// Package nulls3 is an S3 server that keeps no bytes: it checks what it is sent, remembers sizes and ETags, and serves generated content.
// So what is measured in front of it is not a disk. It counts requests by operation, and each can be made to take longer. The
// benchmarks and the test of how many requests an FTP command costs use it; it answers one bucket, without looking at signatures.
package nulls3

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/crc64nvme"

	"sluice/cmd/sluice/internal/bench/content"
)

// small is the longest body that is kept where it is not of the content: what a program writes for itself, it may want back.
const small = 64 << 10

// Object is what the server knows of one.
type Object struct {
	Size     int64
	ETag     string
	Updated  time.Time
	Header   http.Header // Content-Type, Content-Encoding, x-amz-meta-*, x-amz-storage-class
	Expected bool        // every byte was that of package content
	body     []byte      // of small objects of other content
}

// Server is the bucket. The zero value is ready; it is an http.Handler.
type Server struct {
	latency atomic.Int64

	mu      sync.Mutex
	objects map[string]*Object
	keys    []string // sorted
	uploads map[string]*upload
	counts  map[string]int
	serial  int
}

// upload is a multipart upload that is not finished.
type upload struct {
	key    string
	header http.Header
	parts  map[int]part
}

// part is one of its parts.
type part struct {
	size  int64
	etag  string
	check content.Check
}

// SetLatency adds d to every request from now on.
func (s *Server) SetLatency(d time.Duration) { s.latency.Store(int64(d)) }

// Counts returns how many requests of each operation there have been.
func (s *Server) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// Object returns what is known of an object.
func (s *Server) Object(key string) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[key]
	if o == nil {
		return Object{}, false
	}
	return *o, true
}

// Fill makes n objects of size bytes each, whose keys are made by name.
func (s *Server) Fill(n int, size int64, name func(i int) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	for i := range n {
		s.serial++
		key := name(i)
		if s.objects[key] == nil {
			s.keys = append(s.keys, key)
		}
		s.objects[key] = &Object{Size: size, ETag: etag(s.serial), Updated: time.Now().UTC(), Expected: true}
	}
	slices.Sort(s.keys)
}

func (s *Server) init() {
	if s.objects == nil {
		s.objects, s.uploads, s.counts = map[string]*Object{}, map[string]*upload{}, map[string]int{}
	}
}

// etag is one that nobody takes for an MD5.
func etag(n int) string { return fmt.Sprintf(`"null-%d"`, n) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	op := operation(r, key)
	s.mu.Lock()
	s.init()
	s.counts[op]++
	s.mu.Unlock()
	if d := time.Duration(s.latency.Load()); d > 0 {
		time.Sleep(d)
	}
	switch op {
	case "ListObjectsV2":
		s.list(w, q)
	case "HeadBucket", "CreateBucket":
		w.WriteHeader(http.StatusOK)
	case "GetObject", "HeadObject":
		s.get(w, r, key)
	case "PutObject":
		s.put(w, r, key)
	case "CopyObject":
		s.copy(w, r, key)
	case "DeleteObject":
		s.delete(w, r, key)
	case "CreateMultipartUpload":
		s.create(w, r, key)
	case "UploadPart":
		s.part(w, r, q)
	case "UploadPartCopy":
		s.partCopy(w, r, q)
	case "ListParts":
		s.parts(w, q)
	case "CompleteMultipartUpload":
		s.complete(w, r, key, q)
	case "AbortMultipartUpload":
		s.abort(w, q)
	default:
		fail(w, http.StatusNotImplemented, "NotImplemented")
	}
}

// operation names a request as the S3 API does.
func operation(r *http.Request, key string) string {
	q := r.URL.Query()
	copies := r.Header.Get("X-Amz-Copy-Source") != ""
	switch upload := q.Has("uploadId"); {
	case key == "":
		return map[string]string{http.MethodGet: "ListObjectsV2", http.MethodHead: "HeadBucket", http.MethodPut: "CreateBucket"}[r.Method]
	case r.Method == http.MethodGet && upload:
		return "ListParts"
	case r.Method == http.MethodGet:
		return "GetObject"
	case r.Method == http.MethodHead:
		return "HeadObject"
	case r.Method == http.MethodPut && upload && copies:
		return "UploadPartCopy"
	case r.Method == http.MethodPut && upload:
		return "UploadPart"
	case r.Method == http.MethodPut && copies:
		return "CopyObject"
	case r.Method == http.MethodPut:
		return "PutObject"
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case r.Method == http.MethodPost && upload:
		return "CompleteMultipartUpload"
	case r.Method == http.MethodDelete && upload:
		return "AbortMultipartUpload"
	case r.Method == http.MethodDelete:
		return "DeleteObject"
	}
	return ""
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

var buffers = sync.Pool{New: func() any { p := make([]byte, 256<<10); return &p }}

// receive reads a body to its end into check and compares its checksum with that in the header. It answers where they differ. The
// bytes come back where they are small and not of the content.
func receive(w http.ResponseWriter, r *http.Request, check *content.Check) (n int64, body []byte, ok bool) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	sum, crc := r.Header.Get("X-Amz-Checksum-Crc64nvme"), crc64nvme.New()
	for {
		k, err := io.ReadFull(r.Body, *buf)
		p := (*buf)[:k]
		_, _ = check.Write(p)
		if sum != "" {
			_, _ = crc.Write(p)
		}
		if n += int64(k); n <= small {
			body = append(body, p...)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF && (r.ContentLength < 0 || n == r.ContentLength) {
			break
		}
		if err != nil {
			fail(w, http.StatusBadRequest, "IncompleteBody")
			return n, nil, false
		}
	}
	if sum != "" && sum != base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc.Sum64())) {
		fail(w, http.StatusBadRequest, "BadDigest")
		return n, nil, false
	}
	if !check.Wrong || n > small {
		body = nil
	}
	return n, body, true
}

// unmet answers a request whose condition does not hold. The mutex is held.
func (s *Server) unmet(w http.ResponseWriter, r *http.Request, key string) bool {
	o := s.objects[key]
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	switch {
	case match != "" && o == nil:
		fail(w, http.StatusNotFound, "NoSuchKey")
	case match != "" && o.ETag != match, none == "*" && o != nil:
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
	default:
		return false
	}
	return true
}

// keep puts an object in the bucket. The mutex is held.
func (s *Server) keep(key string, o *Object) {
	if s.objects[key] == nil {
		i, _ := slices.BinarySearch(s.keys, key)
		s.keys = slices.Insert(s.keys, i, key)
	}
	s.serial++
	o.ETag, o.Updated = etag(s.serial), time.Now().UTC()
	s.objects[key] = o
}

// kept are the headers of a request that belong to the object.
func kept(r *http.Request) http.Header {
	h := http.Header{}
	for k, v := range r.Header {
		if strings.HasPrefix(k, "X-Amz-Meta-") || k == "Content-Type" || k == "Content-Encoding" || k == "X-Amz-Storage-Class" {
			h[k] = v
		}
	}
	return h
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, key string) {
	check := content.From(0)
	n, body, ok := receive(w, r, check)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unmet(w, r, key) {
		return
	}
	o := &Object{Size: n, Header: kept(r), Expected: !check.Wrong, body: body}
	s.keep(key, o)
	w.Header().Set("ETag", o.ETag)
	if sum := r.Header.Get("X-Amz-Checksum-Crc64nvme"); sum != "" {
		w.Header().Set("X-Amz-Checksum-Crc64nvme", sum)
	}
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, key string) {
	s.mu.Lock()
	o := s.objects[key]
	s.mu.Unlock()
	if o == nil {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	if match := r.Header.Get("If-Match"); match != "" && match != o.ETag {
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	first, last, status := int64(0), o.Size-1, http.StatusOK
	if span, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		from, to, _ := strings.Cut(span, "-")
		first, _ = strconv.ParseInt(from, 10, 64)
		if n, err := strconv.ParseInt(to, 10, 64); err == nil {
			last = min(last, n)
		}
		if first > last {
			fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, o.Size))
	}
	maps.Copy(w.Header(), o.Header)
	w.Header().Set("ETag", o.ETag)
	w.Header().Set("Last-Modified", o.Updated.Format(http.TimeFormat))
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && status == http.StatusOK && o.Expected {
		w.Header().Set("X-Amz-Checksum-Crc64nvme", base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, content.Sum(o.Size))))
		w.Header().Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
	w.Header().Set("Content-Length", strconv.FormatInt(last-first+1, 10))
	w.WriteHeader(status)
	switch {
	case r.Method == http.MethodHead:
	case o.body != nil:
		_, _ = io.Copy(w, bytes.NewReader(o.body[first:last+1]))
	default:
		_ = content.Write(w, first, last-first+1) // whoever has gone wants no more
	}
}

func (s *Server) delete(w http.ResponseWriter, r *http.Request, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unmet(w, r, key) {
		return
	}
	if i, ok := slices.BinarySearch(s.keys, key); ok {
		s.keys = slices.Delete(s.keys, i, i+1)
		delete(s.objects, key)
	}
	w.WriteHeader(http.StatusNoContent)
}
