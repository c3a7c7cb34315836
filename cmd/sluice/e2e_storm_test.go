//go:build e2e

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/backend"
)

// storm is a bad network between the program and a store, which is none of the best either.
type storm struct {
	*flaky
	mu      sync.Mutex
	rnd     *rand.Rand
	over    bool
	busy    time.Time       // until when the store answers 503
	count   map[string]int  // of each fault
	working map[string]int  // requests that the store is at, by directory
	changed map[string]bool // the store has changed something, by directory
	unsure  map[string]bool // and the last that the program asked since was not answered
	plain   map[string]bool // what is read cannot be checked, by directory
}

func newStorm(f *flaky, seed uint64) *storm {
	return &storm{flaky: f, rnd: rand.New(rand.NewPCG(seed, 1<<32)), over: true,
		count: map[string]int{}, working: map[string]int{}, changed: map[string]bool{}, unsure: map[string]bool{}, plain: map[string]bool{}}
}

// hit says one time in so many that a fault happens.
func (s *storm) hit(fault string, in int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.rnd.IntN(in) > 0 {
		return false
	}
	s.count[fault]++
	return true
}

// below returns a random number from 0 to n-1, 0 where there is none.
func (s *storm) below(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rnd.Int64N(max(1, n))
}

// carry moves n bytes with all that may happen on the way: a reset or a stall in the middle, or a narrow line.
func (s *storm) carry(w io.Writer, r io.Reader, n int64, where string) error {
	at := s.below(n)
	if _, err := io.CopyN(w, r, at); err != nil {
		return err
	}
	if f, ok := w.(http.Flusher); ok && at > 0 {
		f.Flush()
	}
	if s.hit("reset in "+where, 60) {
		panic(http.ErrAbortHandler)
	}
	if s.hit("stall in "+where, 40) {
		time.Sleep(time.Duration(s.below(500)) * time.Millisecond)
	}
	if s.hit("silence in "+where, 300) { // for longer than the store's timeout
		time.Sleep(5 * time.Second)
		panic(http.ErrAbortHandler)
	}
	if !s.hit("narrow line for "+where, 15) {
		_, err := io.Copy(w, r)
		return err
	}
	for {
		time.Sleep(40 * time.Millisecond)
		if _, err := io.CopyN(w, r, 128<<10); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (s *storm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dir, op, done, told := directory(r), s.operation(r, nil), false, false
	if op == "get" && r.URL.Query().Has("uploadId") {
		op = "parts" // which tells nothing of an object
	}
	s.mu.Lock()
	s.working[dir]++
	s.mu.Unlock()
	defer func() { s.told(dir, op, done, told && r.Context().Err() == nil) }()
	burst := s.hit("burst of 503", 400)
	s.mu.Lock()
	if burst {
		s.busy = time.Now().Add(500 * time.Millisecond)
	}
	burst = !s.over && time.Now().Before(s.busy)
	s.mu.Unlock()
	if burst {
		s.refuse(w, r, "throttled")
		return
	}
	var body bytes.Buffer
	if err := s.carry(&body, r.Body, r.ContentLength, "a request"); err != nil {
		panic(http.ErrAbortHandler)
	}
	p := body.Bytes()
	if first, n := s.data(r, p); n > 0 && s.hit("damage on the way up", 100) {
		p[first+int(s.below(int64(n)))] ^= 1
	}
	if s.hit("latency", 10) {
		time.Sleep(time.Duration(s.below(200)) * time.Millisecond)
	}
	if r.Context().Err() != nil { // given up
		panic(http.ErrAbortHandler)
	}
	// From here on the store does it, whoever waits for the answer.
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.Body = io.NopCloser(bytes.NewReader(p))
	out.Header.Del("Expect") // the body is here already
	answer := httptest.NewRecorder()
	s.proxy.ServeHTTP(answer, out)
	done = answer.Code < 300
	// Of an upload whose very creation is answered into the void, nobody ever knows the name: a rule of the bucket's ends it.
	creation := r.Method == http.MethodPost && r.URL.Query().Has("uploads")
	if !creation && s.hit("lost answer", 60) {
		panic(http.ErrAbortHandler)
	}
	q := answer.Body.Bytes()
	s.mu.Lock()
	plain := s.plain[dir]
	s.mu.Unlock()
	if op == "get" && s.kind != "azure" && !plain && done && len(q) > 0 && s.hit("damage on the way down", 30) {
		q[s.below(int64(len(q)))] ^= 1
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	if creation {
		_, err := w.Write(q)
		told = err == nil && answer.Code < 500
		return
	}
	told = s.carry(w, bytes.NewReader(q), int64(len(q)), "an answer") == nil && answer.Code < 500
}

// told notes whether the store has done a request and whether the program was told so. Behind a change it cannot know of it if the
// last that might have told it so did not: refusals do not, such as that of another try which meets the work of the first.
func (s *storm) told(dir, op string, done, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.working[dir]--
	read := op == "head" || op == "get" || op == "list"
	s.changed[dir] = s.changed[dir] || done && !read
	switch {
	case !told:
		s.unsure[dir] = s.changed[dir]
	case read || done && op != "delete":
		s.unsure[dir] = false
	}
}

// data is where in a request there are bytes of a file, which have a checksum.
func (s *storm) data(r *http.Request, body []byte) (first, n int) {
	comp := r.URL.Query().Get("comp")
	switch {
	case s.kind == "gcs" && r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/upload/"):
		const blank = "\r\n\r\n" // behind the headers of each of the two parts
		for range 2 {
			i := bytes.Index(body[first:], []byte(blank))
			if i < 0 {
				return 0, 0
			}
			first += i + len(blank)
		}
		return first, bytes.LastIndex(body, []byte("\r\n--")) - first
	case r.Method == http.MethodPut && (comp == "" || comp == "block"):
		return 0, len(body)
	}
	return 0, 0
}

var where = regexp.MustCompile(`\bw\d+(?:/|%2F)`)

// directory is the one that a request is about, if it is not about what the program has for itself.
func directory(r *http.Request) string {
	about := r.URL.String()
	if strings.Contains(about, ".sluice") {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(where.FindString(about), "/"), "%2F")
}

// settle waits until no request is under way any more that is about a directory. It reports whether the program cannot know what
// has become of its last command.
func (s *storm) settle(dir string) (unsure bool) {
	for {
		s.mu.Lock()
		n := s.working[dir]
		if n == 0 {
			unsure = s.unsure[dir]
			s.changed[dir], s.unsure[dir] = false, false
		}
		s.mu.Unlock()
		if n == 0 {
			return unsure
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// trust says whether what is read of a directory can be checked.
func (s *storm) trust(dir string, checked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plain[dir] = !checked
}

// begin lets the faults begin, end ends them.
func (s *storm) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = false
}

func (s *storm) end() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return s.count
}

// left names what is in the bucket but should not be: other files than are wanted, and what of uploads is there while none can be resumed. A tail
// that could not be deleted is the sweeper's.
func (s *storm) left(t *testing.T, want map[string]bool, keep bool) (left []string) {
	t.Helper()
	records := 0
	hidden := map[string]bool{} // tails, and the uploads that parts belong to
	for e, err := range s.direct.List(t.Context(), "", backend.ListOptions{Recursive: true}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case strings.HasPrefix(e.Key, ".sluice/uploads/"):
			records++
		case strings.HasPrefix(e.Key, ".sluice/"):
			hidden[e.Key] = true
		case !want[e.Key]:
			left = append(left, e.Key)
		}
	}
	tails := len(hidden)
	for _, file := range s.raw(t) {
		if s.kind == "gcs" && !strings.HasPrefix(file, ".sluice/parts/") {
			continue
		}
		hidden[path.Dir(file)] = true
	}
	if uploads := len(hidden) - tails; keep && uploads <= records {
		return left
	}
	if records > 0 {
		left = append(left, fmt.Sprint(records, " records"))
	}
	return slices.AppendSeq(left, maps.Keys(hidden))
}
