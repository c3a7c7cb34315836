package nulls3

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// list answers ListObjectsV2. Keys whose characters XML cannot hold need encoding-type=url, which every program here sends.
func (s *Server) list(w http.ResponseWriter, q url.Values) {
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	most := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		most = min(n, most)
	}
	encode := func(k string) string { return k }
	if q.Get("encoding-type") == "url" {
		encode = url.QueryEscape
	}
	token, err := url.QueryUnescape(q.Get("continuation-token"))
	if err != nil {
		fail(w, http.StatusBadRequest, "InvalidArgument")
		return
	}
	after := max(q.Get("start-after"), token)
	var contents, prefixes strings.Builder
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := slices.BinarySearch(s.keys, max(prefix, after))
	if found && s.keys[i] == after {
		i++
	}
	count, last := 0, ""
	for ; i < len(s.keys) && strings.HasPrefix(s.keys[i], prefix) && count < most; count++ {
		key := s.keys[i]
		if at := strings.Index(key[len(prefix):], delimiter); delimiter != "" && at >= 0 {
			folder := key[:len(prefix)+at+len(delimiter)]
			// The next key that is not in the folder: its last byte counted up.
			next := folder[:len(folder)-1] + string(folder[len(folder)-1]+1)
			i, _ = slices.BinarySearch(s.keys, next)
			if folder > after || !strings.HasPrefix(after, folder) {
				_, _ = fmt.Fprintf(&prefixes, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", encode(folder))
			} else {
				count--
			}
			last = s.keys[i-1]
			continue
		}
		o := s.objects[key]
		_, _ = fmt.Fprintf(&contents, "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>%s</ETag><Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>",
			encode(key), o.Updated.Format("2006-01-02T15:04:05.000Z"), strings.ReplaceAll(o.ETag, `"`, "&quot;"), o.Size)
		last = key
		i++
	}
	more := i < len(s.keys) && strings.HasPrefix(s.keys[i], prefix)
	next := ""
	if more {
		next = "<NextContinuationToken>" + url.QueryEscape(last) + "</NextContinuationToken>"
	}
	w.Header().Set("Content-Type", "application/xml")
	encoding := ""
	if q.Get("encoding-type") == "url" {
		encoding = "<EncodingType>url</EncodingType>"
	}
	_, _ = fmt.Fprintf(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>%t</IsTruncated><KeyCount>%d</KeyCount>%s%s%s%s</ListBucketResult>`,
		more, count, encoding, next, &contents, &prefixes)
}
