package s3

import (
	"context"
	"crypto/md5" // what ETags are made of
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sluice/backend"
)

func md5Of(s string) []byte {
	sum := md5.Sum([]byte(s))
	return sum[:]
}

// patient returns the client of s with another number of tries.
func patient(s *Store, tries int) *s3.Client {
	return s3.New(s.client.Options(), func(o *s3.Options) { o.RetryMaxAttempts = tries })
}

// direct calls a handler without a network, so that the waits between tries take no time in a synctest bubble. A handler
// that panics has lost its answer.
type direct struct{ h http.HandlerFunc }

func (d direct) Do(r *http.Request) (resp *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	defer func() {
		if recover() != nil {
			resp, err = nil, errors.New("connection reset")
		}
	}()
	body := r.Body
	if body == nil {
		body = http.NoBody
	}
	in := r.Clone(r.Context())
	in.Body = body
	d.h(w, in)
	return w.Result(), nil
}

// bubble runs f in a synctest bubble with a store whose server is h.
func bubble(t *testing.T, h http.HandlerFunc, f func(t *testing.T, s *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := connect(t, Config{Endpoint: "http://store.test"})
		s.client = s3.New(s.client.Options(), func(o *s3.Options) { o.HTTPClient = direct{h} })
		f(t, s)
	})
}

// TestSlowDown: throttling is waited out, for a while, and other calls are not held back by it.
func TestSlowDown(t *testing.T) {
	for _, busy := range []int{3, 7, 8} {
		calls := 0
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead { // the look whether one has been done
				w.WriteHeader(http.StatusNotFound)
				return
			}
			if p, _ := io.ReadAll(r.Body); string(p) != "body" {
				t.Errorf("try %d sent %q", calls, p)
			}
			if calls++; calls <= busy {
				fail(w, http.StatusServiceUnavailable, "SlowDown")
				return
			}
			w.Header().Set("ETag", `"e"`)
		}, func(t *testing.T, s *Store) {
			start := time.Now()
			_, err := s.Put(t.Context(), "k", []byte("body"), backend.PutOptions{})
			took := time.Since(start)
			if (err == nil) != (busy < 8) || err != nil && !errors.Is(err, backend.ErrUnavailable) || calls != min(busy+1, 8) || took == 0 || took > 140*time.Second {
				t.Errorf("busy %d times: %v after %d tries and %v", busy, err, calls, took)
			}
		})
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	bubble(t, func(w http.ResponseWriter, _ *http.Request) { fail(w, http.StatusServiceUnavailable, "SlowDown") }, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Stat(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stat: %v", err)
		}
	})
}

// server holds one object and one upload.
type server struct {
	head      map[string]string // of the object; nil if there is none
	completes []func(http.ResponseWriter)
	puts      []func(http.ResponseWriter)
	lists     []string // answers of ListParts
	aborts    int
}

func next[T any](list *[]T) (v T) {
	v = (*list)[0]
	if len(*list) > 1 {
		*list = (*list)[1:]
	}
	return v
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodHead && s.head == nil:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodHead:
		for k, v := range s.head {
			if k == "Silent" {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			w.Header().Set(k, v)
		}
	case r.Method == http.MethodPost && q.Has("uploads"):
		_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
	case r.Method == http.MethodPost:
		next(&s.completes)(w)
	case r.Method == http.MethodPut && q.Has("partNumber"):
		p, _ := io.ReadAll(r.Body)
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5Of(string(p))))
	case r.Method == http.MethodPut:
		next(&s.puts)(w)
	case r.Method == http.MethodDelete:
		s.aborts++
		w.WriteHeader(http.StatusNoContent)
	case q.Has("uploadId"):
		_, _ = fmt.Fprintf(w, "<ListPartsResult>%s</ListPartsResult>", next(&s.lists))
	}
}

func refuse(status int, code string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { fail(w, status, code) }
}

func lose(http.ResponseWriter) { panic("answer lost") }

func completed(w http.ResponseWriter) {
	_, _ = io.WriteString(w, "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>")
}

// TestCommitAnswers: what becomes of a commit whose answer is an error, is lost, or comes twice.
func TestCommitAnswers(t *testing.T) {
	const body = "123456789"
	sum := *encode64(0xae8b14860a799888)
	done := map[string]string{"Etag": `"e"`, "Content-Length": "9", "X-Amz-Checksum-Crc64nvme": sum}
	byETag := map[string]string{"Etag": fmt.Sprintf(`"%x-1"`, md5Of(string(md5Of(body)))), "Content-Length": "9"}
	other := map[string]string{"Etag": `"other"`, "Content-Length": "9", "X-Amz-Checksum-Crc64nvme": *encode64(5)}
	short := map[string]string{"Etag": `"e"`, "Content-Length": "8"}
	for name, tc := range map[string]struct {
		completes []func(http.ResponseWriter)
		head      map[string]string
		want      error
	}{
		"error inside 200, then done":         {[]func(http.ResponseWriter){refuse(200, "InternalError"), completed}, done, nil},
		"error inside 200, always":            {[]func(http.ResponseWriter){refuse(200, "InternalError")}, nil, backend.ErrUnavailable},
		"answer lost, upload gone":            {[]func(http.ResponseWriter){lose, refuse(404, "NoSuchUpload")}, done, nil},
		"answer lost, upload gone, by ETag":   {[]func(http.ResponseWriter){lose, refuse(404, "NoSuchUpload")}, byETag, nil},
		"answer lost, upload gone, not ours":  {[]func(http.ResponseWriter){lose, refuse(404, "NoSuchUpload")}, other, backend.ErrChanged},
		"answer lost, nothing there":          {[]func(http.ResponseWriter){lose, refuse(404, "NoSuchUpload")}, nil, backend.ErrChanged},
		"answer lost, condition met by us":    {[]func(http.ResponseWriter){lose, refuse(412, "PreconditionFailed")}, done, nil},
		"answer lost, condition met by other": {[]func(http.ResponseWriter){lose, refuse(412, "PreconditionFailed")}, other, backend.ErrChanged},
		"every answer lost, but done":         {[]func(http.ResponseWriter){lose}, done, nil},
		"every answer lost":                   {[]func(http.ResponseWriter){lose}, nil, backend.ErrUnavailable},
		"condition":                           {[]func(http.ResponseWriter){refuse(412, "PreconditionFailed")}, done, backend.ErrChanged},
		"conflict":                            {[]func(http.ResponseWriter){refuse(409, "ConditionalRequestConflict"), completed}, done, backend.ErrChanged},
		"upload gone":                         {[]func(http.ResponseWriter){refuse(404, "NoSuchUpload")}, nil, backend.ErrChanged},
		"too short":                           {[]func(http.ResponseWriter){completed}, short, backend.ErrUnavailable},
		"nothing there after all":             {[]func(http.ResponseWriter){completed}, nil, backend.ErrNotExist},
	} {
		srv := &server{head: tc.head, completes: tc.completes, lists: []string{""}}
		bubble(t, srv.serve, func(t *testing.T, s *Store) {
			u, err := s.NewUpload(t.Context(), "k", backend.PutOptions{If: backend.Condition{Absent: true}})
			if err != nil {
				t.Fatal(name, err)
			}
			if err := u.WritePart(t.Context(), 1, []byte(body)); err != nil {
				t.Fatal(name, err)
			}
			o, err := u.Commit(t.Context(), 1)
			if !errors.Is(err, tc.want) || tc.want == nil && (err != nil || o.Size != 9 || o.ETag == "") {
				t.Errorf("%s: %+v, %v, want %v", name, o, err, tc.want)
			}
			if err := u.Abort(t.Context()); err != nil {
				t.Errorf("%s: Abort: %v", name, err)
			}
			// What was found made may have been there before; then the upload is left, and must go.
			if kept := tc.want == nil && !strings.Contains(name, "lost"); (srv.aborts == 0) != kept {
				t.Errorf("%s: %d aborts", name, srv.aborts)
			}
		})
	}
}

// TestPutAnswers: a create-only write whose answer was lost is not refused on account of itself.
func TestPutAnswers(t *testing.T) {
	stored := func(w http.ResponseWriter) { w.Header().Set("ETag", `"e"`) }
	own := map[string]string{"Etag": `"e"`, "Content-Length": "9", "X-Amz-Checksum-Crc64nvme": *encode64(0xae8b14860a799888)}
	other := map[string]string{"Etag": `"o"`, "Content-Length": "9", "X-Amz-Checksum-Crc64nvme": *encode64(5)}
	for name, tc := range map[string]struct {
		puts []func(http.ResponseWriter)
		head map[string]string
		want error
	}{
		"conflict, then done":     {[]func(http.ResponseWriter){refuse(409, "ConditionalRequestConflict"), stored}, nil, nil},
		"conflict, always":        {[]func(http.ResponseWriter){refuse(409, "ConditionalRequestConflict")}, other, backend.ErrChanged},
		"taken":                   {[]func(http.ResponseWriter){refuse(412, "PreconditionFailed")}, own, backend.ErrChanged},
		"answer lost":             {[]func(http.ResponseWriter){lose, refuse(412, "PreconditionFailed")}, own, nil},
		"answer lost, but taken":  {[]func(http.ResponseWriter){lose, refuse(412, "PreconditionFailed")}, other, backend.ErrChanged},
		"answer lost, then done":  {[]func(http.ResponseWriter){lose, stored}, nil, nil},
		"lost, then throttled":    {[]func(http.ResponseWriter){lose, refuse(503, "SlowDown")}, own, nil},
		"throttled":               {[]func(http.ResponseWriter){refuse(503, "SlowDown")}, nil, backend.ErrUnavailable},
		"throttled, not ours":     {[]func(http.ResponseWriter){refuse(503, "SlowDown")}, other, backend.ErrUnavailable},
		"every answer lost":       {[]func(http.ResponseWriter){lose}, own, nil},
		"lost, and not found":     {[]func(http.ResponseWriter){lose, refuse(412, "PreconditionFailed")}, map[string]string{"Silent": ""}, backend.ErrUnavailable},
		"another one is deleting": {[]func(http.ResponseWriter){refuse(409, "OperationAborted")}, nil, backend.ErrUnavailable},
	} {
		srv := &server{head: tc.head, puts: tc.puts}
		bubble(t, srv.serve, func(t *testing.T, s *Store) {
			o, err := s.Put(t.Context(), "k", []byte("123456789"), backend.PutOptions{If: backend.Condition{Absent: true}})
			if !errors.Is(err, tc.want) || tc.want == nil && (err != nil || o.Size != 9 || o.ETag != `"e"`) {
				t.Errorf("%s: %+v, %v, want %v", name, o, err, tc.want)
			}
		})
	}
}

func TestDeleteAnswerLost(t *testing.T) {
	for _, second := range []int{404, 412} {
		calls := 0
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			if calls++; calls == 1 {
				lose(w)
			}
			fail(w, second, map[int]string{404: "NoSuchKey", 412: "PreconditionFailed"}[second])
		}, func(t *testing.T, s *Store) {
			if err := s.Delete(t.Context(), "k", backend.DeleteOptions{ETag: `"e"`}); err != nil || calls != 2 {
				t.Errorf("Delete whose answer was lost, then %d: %v", second, err)
			}
			if err := s.Delete(t.Context(), "k", backend.DeleteOptions{ETag: `"e"`}); !errors.Is(err, backend.ErrChanged) {
				t.Errorf("Delete, at once %d: %v", second, err)
			}
		})
	}
}

// TestCopyAnswers: a copy to a new name whose answer was lost is not refused on account of itself, and one that is known to be
// whole is not asked for.
func TestCopyAnswers(t *testing.T) {
	const when, later, earlier = "Sat, 03 Jan 2026 00:00:00 GMT", "Sat, 03 Jan 2026 00:00:05 GMT", "Fri, 02 Jan 2026 00:00:00 GMT"
	copied := func(etag string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			_, _ = fmt.Fprintf(w, "<CopyObjectResult><ETag>%s</ETag><LastModified>2026-01-03T00:00:05.000Z</LastModified></CopyObjectResult>", etag)
		}
	}
	head := func(etag, size, updated string, sum uint64) map[string]string {
		return map[string]string{
			"Etag": etag, "Content-Length": size, "Last-Modified": updated, "X-Amz-Checksum-Crc64nvme": *encode64(sum), "X-Amz-Checksum-Type": "FULL_OBJECT",
			"X-Amz-Meta-Note": "asked",
		}
	}
	lost := []func(http.ResponseWriter){lose, refuse(412, "PreconditionFailed")}
	src := head(`"e-2"`, "9", when, 1)
	for name, tc := range map[string]struct {
		puts  []func(http.ResponseWriter)
		dst   map[string]string
		etag  string // of the copy; empty: ErrChanged
		heads int
	}{
		"proven by the ETag":             {[]func(http.ResponseWriter){copied("&quot;e-2&quot;")}, nil, `"e-2"`, 0},
		"without quotes":                 {[]func(http.ResponseWriter){copied("e-2")}, nil, `"e-2"`, 0},
		"another ETag":                   {[]func(http.ResponseWriter){copied("&quot;f&quot;")}, head(`"f"`, "9", later, 1), `"f"`, 1},
		"no ETag":                        {[]func(http.ResponseWriter){copied("")}, head(`"f"`, "9", later, 1), `"f"`, 1},
		"overwritten since":              {[]func(http.ResponseWriter){copied("&quot;f&quot;")}, head(`"g"`, "5", later, 2), `"f"`, 1},
		"taken":                          {lost[1:], head(`"f"`, "9", later, 1), "", 0},
		"answer lost":                    {lost, head(`"f"`, "9", later, 1), `"f"`, 2},
		"answer lost, but taken":         {lost, head(`"f"`, "9", later, 2), "", 2},
		"answer lost, taken by a longer": {lost, head(`"f"`, "10", later, 1), "", 2},
		"answer lost, the same is older": {lost, head(`"f"`, "9", earlier, 1), "", 2},
		"answer lost, gone":              {lost, nil, "", 2},
	} {
		srv, heads := &server{puts: tc.puts}, 0
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				heads++
				srv.head = map[string]map[string]string{"/bkt/src": src, "/bkt/dst": tc.dst}[r.URL.Path]
			}
			srv.serve(w, r)
		}, func(t *testing.T, s *Store) {
			o, err := s.Copy(t.Context(), "dst", "src", backend.CopyOptions{
				If: backend.Condition{Absent: true}, SrcETag: `"e-2"`, Src: &backend.Object{Key: "src", Size: 9, ETag: `"e-2"`, Partial: true},
			})
			asked := tc.heads > 0 && name != "overwritten since"
			switch {
			case heads != tc.heads:
				t.Errorf("%s: %d times asked, want %d", name, heads, tc.heads)
			case tc.etag == "":
				if !errors.Is(err, backend.ErrChanged) {
					t.Errorf("%s: %+v, %v", name, o, err)
				}
			case err != nil || o.Key != "dst" || o.Size != 9 || o.ETag != tc.etag || o.Updated.UTC().Second() != 5 || o.Partial == asked || asked != (o.Metadata["note"] == "asked"):
				t.Errorf("%s: %+v, %v", name, o, err)
			}
		})
	}
}

// TestCopyErrorInside200: CopyObject answers 200 before it has copied.
func TestCopyErrorInside200(t *testing.T) {
	srv := &server{head: map[string]string{"Etag": `"e"`, "Content-Length": "9"}, puts: []func(http.ResponseWriter){refuse(200, "InternalError")}}
	bubble(t, srv.serve, func(t *testing.T, s *Store) {
		if _, err := s.Copy(t.Context(), "dst", "src", backend.CopyOptions{}); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("Copy: %v", err)
		}
	})
}

// TestAbortUntilEmpty: a part that was on its way may arrive behind the abort.
func TestAbortUntilEmpty(t *testing.T) {
	const left = "<Part><PartNumber>1</PartNumber></Part>"
	for name, tc := range map[string]struct {
		lists []string
		want  int
		err   error
	}{
		"at once": {[]string{""}, 1, nil}, "third time": {[]string{left, left, ""}, 3, nil}, "never": {[]string{left}, maxAborts, backend.ErrUnavailable},
	} {
		srv := &server{lists: tc.lists}
		bubble(t, srv.serve, func(t *testing.T, s *Store) {
			u, err := s.NewUpload(t.Context(), "k", backend.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := u.Abort(t.Context()); !errors.Is(err, tc.err) || srv.aborts != tc.want {
				t.Errorf("%s: %v after %d aborts", name, err, srv.aborts)
			}
		})
	}
}
