package nulls3

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/minio/crc64nvme"

	"sluice/cmd/sluice/internal/bench/content"
)

// source finds the object that a copy is made of, and answers where there is none. The mutex is held.
func (s *Server) source(w http.ResponseWriter, r *http.Request) *Object {
	from, err := url.PathUnescape(r.Header.Get("X-Amz-Copy-Source"))
	_, key, _ := strings.Cut(strings.TrimPrefix(from, "/"), "/")
	o := s.objects[key]
	switch match := r.Header.Get("X-Amz-Copy-Source-If-Match"); {
	case err != nil || o == nil:
		fail(w, http.StatusNotFound, "NoSuchKey")
		return nil
	case match != "" && match != o.ETag:
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return nil
	}
	return o
}

func (s *Server) copy(w http.ResponseWriter, r *http.Request, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	src := s.source(w, r)
	if src == nil || s.unmet(w, r, key) {
		return
	}
	o := *src
	if r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE" {
		o.Header = kept(r)
	}
	s.keep(key, &o)
	o.ETag = src.ETag // as S3 does it, whose ETag is the MD5 of the bytes
	_, _ = fmt.Fprintf(w, "<CopyObjectResult><ETag>%s</ETag></CopyObjectResult>", o.ETag)
}

func (s *Server) create(w http.ResponseWriter, r *http.Request, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	id := "upload-" + strconv.Itoa(s.serial)
	s.uploads[id] = &upload{key: key, header: kept(r), parts: map[int]part{}}
	_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
}

// find returns an upload, and answers where there is none. The mutex is held.
func (s *Server) find(w http.ResponseWriter, q url.Values) *upload {
	u := s.uploads[q.Get("uploadId")]
	if u == nil {
		fail(w, http.StatusNotFound, "NoSuchUpload")
	}
	return u
}

func (s *Server) part(w http.ResponseWriter, r *http.Request, q url.Values) {
	p := part{}
	n, _, ok := receive(w, r, &p.check)
	if !ok {
		return
	}
	p.size = n
	if s.keepPart(w, q, &p) {
		w.Header().Set("ETag", p.etag)
		if sum := r.Header.Get("X-Amz-Checksum-Crc64nvme"); sum != "" {
			w.Header().Set("X-Amz-Checksum-Crc64nvme", sum)
		}
	}
}

func (s *Server) keepPart(w http.ResponseWriter, q url.Values, p *part) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.find(w, q)
	number, err := strconv.Atoi(q.Get("partNumber"))
	if u == nil || err != nil {
		return false
	}
	s.serial++
	p.etag = etag(s.serial)
	u.parts[number] = *p
	return true
}

func (s *Server) partCopy(w http.ResponseWriter, r *http.Request, q url.Values) {
	s.mu.Lock()
	src := s.source(w, r)
	s.mu.Unlock()
	if src == nil {
		return
	}
	first, last := int64(0), src.Size-1
	if span := r.Header.Get("X-Amz-Copy-Source-Range"); span != "" {
		if _, err := fmt.Sscanf(span, "bytes=%d-%d", &first, &last); err != nil || first > last || last >= src.Size {
			fail(w, http.StatusBadRequest, "InvalidArgument")
			return
		}
	}
	p := part{size: last - first + 1, check: *content.From(first)}
	p.check.Wrong = !src.Expected
	if s.keepPart(w, q, &p) {
		sum := ""
		if src.Expected {
			h := crc64nvme.New()
			_ = content.Write(h, first, p.size)
			sum = "<ChecksumCRC64NVME>" + base64.StdEncoding.EncodeToString(h.Sum(nil)) + "</ChecksumCRC64NVME>"
		}
		_, _ = fmt.Fprintf(w, "<CopyPartResult><ETag>%s</ETag>%s</CopyPartResult>", p.etag, sum)
	}
}

func (s *Server) parts(w http.ResponseWriter, q url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.find(w, q)
	if u == nil {
		return
	}
	after, _ := strconv.Atoi(q.Get("part-number-marker"))
	most, err := strconv.Atoi(q.Get("max-parts"))
	if err != nil {
		most = 1000
	}
	var rows strings.Builder
	last, more := after, false
	for n := after + 1; n <= 10_000; n++ {
		p, ok := u.parts[n]
		if !ok {
			continue
		}
		if most--; most < 0 {
			more = true
			break
		}
		last = n
		_, _ = fmt.Fprintf(&rows, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><Size>%d</Size></Part>", n, p.etag, p.size)
	}
	_, _ = fmt.Fprintf(w, "<ListPartsResult><IsTruncated>%t</IsTruncated><NextPartNumberMarker>%d</NextPartNumberMarker>%s</ListPartsResult>", more, last, &rows)
}

func (s *Server) abort(w http.ResponseWriter, q url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(w, q) != nil {
		delete(s.uploads, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	}
}

// complete makes the object of the parts that the request names.
func (s *Server) complete(w http.ResponseWriter, r *http.Request, key string, q url.Values) {
	var named struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.NewDecoder(r.Body).Decode(&named); err != nil || len(named.Part) == 0 {
		fail(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	claim := r.Header.Get("X-Amz-Checksum-Crc64nvme")
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.find(w, q)
	if u == nil || s.unmet(w, r, key) {
		return
	}
	o := &Object{Header: u.header, Expected: true}
	for _, n := range named.Part {
		p, ok := u.parts[n.PartNumber]
		if !ok || strings.Trim(p.etag, `"`) != strings.Trim(n.ETag, `"`) {
			fail(w, http.StatusBadRequest, "InvalidPart")
			return
		}
		o.Expected = o.Expected && p.check.Follows(o.Size)
		o.Size += p.size
	}
	if claim != "" && o.Expected && claim != base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, content.Sum(o.Size))) {
		fail(w, http.StatusBadRequest, "BadDigest")
		return
	}
	delete(s.uploads, q.Get("uploadId"))
	s.keep(key, o)
	sum := ""
	if claim != "" {
		sum = "<ChecksumCRC64NVME>" + claim + "</ChecksumCRC64NVME>"
	}
	_, _ = fmt.Fprintf(w, "<CompleteMultipartUploadResult><ETag>%s</ETag>%s</CompleteMultipartUploadResult>", o.ETag, sum)
}
