package azure

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/backend"
)

// TestThrottled: throttling and broken connections are waited out, for a while.
func TestThrottled(t *testing.T) {
	for _, how := range []int{429, 500, 503, 0} {
		for _, busy := range []int{3, 7, 8} {
			calls := 0
			bubble(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead { // the look whether one has been done
					fail(w, 404, "BlobNotFound")
					return
				}
				if p := slurp(r.Body); p != "body" {
					t.Errorf("try %d sent %q", calls, p)
				}
				if calls++; calls <= busy {
					if how == 0 {
						panic("the connection is reset")
					}
					fail(w, how, "")
					return
				}
				describe(w, "0")
				w.WriteHeader(http.StatusCreated)
			}, func(t *testing.T, s *Store) {
				start := time.Now()
				_, err := s.Put(t.Context(), "k", []byte("body"), backend.PutOptions{})
				took := time.Since(start)
				switch {
				case busy < 8 && err != nil:
					t.Errorf("%d: %d times: %v", how, busy, err)
				case busy == 8 && (!errors.Is(err, backend.ErrUnavailable) || calls != 8):
					t.Errorf("%d: after %d tries: %v", how, calls, err)
				case took > 80*time.Second || took < time.Second:
					t.Errorf("%d: %d times took %v", how, busy, took)
				}
				safe(t, err)
			})
		}
	}
}

// TestDamaged: bytes that arrived as others are sent again, and one that was refused for another reason is not.
func TestDamaged(t *testing.T) {
	for code, tries := range map[string]int{"Crc64Mismatch": 3, "Md5Mismatch": 3, "InvalidHeaderValue": 1} {
		calls := 0
		bubble(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls++; calls < 3 {
				fail(w, 400, code)
				return
			}
			describe(w, "0")
			w.WriteHeader(http.StatusCreated)
		}, func(t *testing.T, s *Store) {
			_, err := s.Put(t.Context(), "k", []byte("body"), backend.PutOptions{})
			if calls != tries || (err == nil) != (tries == 3) {
				t.Errorf("%s: %d tries, %v", code, calls, err)
			}
		})
	}
}

// TestCancelledWait: a caller who leaves does not wait for the next try.
func TestCancelledWait(t *testing.T) {
	bubble(t, func(w http.ResponseWriter, _ *http.Request) { fail(w, 503, "ServerBusy") }, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := s.Stat(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backend.ErrTimeout) {
			t.Errorf("%v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("left after %v", took)
		}
	})
}

// lossy is one blob whose server does the first change that it is asked for and loses the answer.
type lossy struct {
	blocks    string // committed
	content   string
	header    http.Header
	stranger  bool // somebody else writes before the first try
	done, old bool
	ops       []string
}

var latest = regexp.MustCompile(`<Latest>([^<]*)</Latest>`)

func (l *lossy) serve(w http.ResponseWriter, r *http.Request) {
	op := operation(r)
	sum := md5.Sum([]byte(l.content))
	switch {
	case op == "HEAD" && !l.done && !l.old:
		fail(w, 404, "BlobNotFound")
		return
	case op == "HEAD":
		describe(w, fmt.Sprint(len(l.content)), "Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
		for k, v := range l.header {
			if strings.HasPrefix(k, "X-Ms-Meta-") {
				w.Header()[k] = v
			}
		}
		return
	case op == "GET blocklist":
		w.Header().Set("Content-Type", "application/xml")
		_, _ = fmt.Fprintf(w, "<BlockList><CommittedBlocks>%s</CommittedBlocks></BlockList>", l.blocks)
		return
	case op == "PUT block":
		w.WriteHeader(http.StatusCreated)
		return
	}
	l.ops = append(l.ops, op)
	body := slurp(r.Body)
	switch {
	case l.done && op == "DELETE":
		fail(w, 404, "BlobNotFound")
	case l.done:
		fail(w, 412, "ConditionNotMet")
	default:
		l.done = true
		if l.stranger {
			l.content, l.blocks = "stranger's", "<Block><Name>c3RyYW5nZXI=</Name><Size>1</Size></Block>"
			panic("lost")
		}
		switch op {
		case "PUT":
			l.content, l.header = body, r.Header
		case "copy":
		case "PUT metadata":
			l.header = r.Header
		case "PUT blocklist":
			for _, m := range latest.FindAllStringSubmatch(body, -1) {
				l.blocks += "<Block><Name>" + m[1] + "</Name><Size>4</Size></Block>"
			}
			l.content = "body"
		case "DELETE":
			l.done, l.old = true, false
		}
		panic("lost")
	}
}

// TestLostAnswers: a change that was made and whose answer was lost is known as made when the next try finds it; one that
// somebody else made is not.
func TestLostAnswers(t *testing.T) {
	create := backend.PutOptions{If: backend.Condition{Absent: true}}
	replace := backend.Attributes{ContentType: "text/plain", Metadata: map[string]string{"a": "b"}, ModTime: time.Unix(7, 0)}
	for name, call := range map[string]func(t *testing.T, s *Store) (backend.Object, error){
		"Put": func(t *testing.T, s *Store) (backend.Object, error) {
			return s.Put(t.Context(), "k", []byte("body"), create)
		},
		"Commit": func(t *testing.T, s *Store) (backend.Object, error) {
			u, err := s.NewUpload(t.Context(), "k", create)
			if err := errors.Join(err, u.WritePart(t.Context(), 1, []byte("body"))); err != nil {
				t.Fatal(err)
			}
			return u.Commit(t.Context(), 1)
		},
		"Copy": func(t *testing.T, s *Store) (backend.Object, error) {
			return s.Copy(t.Context(), "k", "src", backend.CopyOptions{If: create.If})
		},
		"Rewrite": func(t *testing.T, s *Store) (backend.Object, error) {
			return s.Copy(t.Context(), "k", "k", backend.CopyOptions{Replace: &replace})
		},
	} {
		for _, stranger := range []bool{false, true} {
			l := &lossy{stranger: stranger}
			if name == "Copy" || name == "Rewrite" {
				l.old, l.content = true, "body"
			}
			bubble(t, l.serve, func(t *testing.T, s *Store) {
				o, err := call(t, s)
				if stranger && !errors.Is(err, backend.ErrChanged) || !stranger && (err != nil || o.Size != 4 || o.ETag != `"e"`) || len(l.ops) != 2 {
					t.Errorf("%s, somebody else %v: %+v, %v, asked for %v", name, stranger, o, err, l.ops)
				}
			})
		}
	}
	bubble(t, (&lossy{old: true}).serve, func(t *testing.T, s *Store) {
		if err := s.Delete(t.Context(), "k", backend.DeleteOptions{ETag: `"e"`}); err != nil {
			t.Errorf("Delete whose answer was lost: %v", err)
		}
	})
	bubble(t, func(w http.ResponseWriter, _ *http.Request) { fail(w, 404, "BlobNotFound") }, func(t *testing.T, s *Store) {
		if err := s.Delete(t.Context(), "k", backend.DeleteOptions{ETag: `"e"`}); !errors.Is(err, backend.ErrChanged) {
			t.Errorf("Delete of what was gone: %v", err)
		}
	})
}

// TestLostAndSilent: of a write whose answer is lost, and whose second try meets it, nobody knows whose work it met while the service does not
// say. A write whose every answer is lost is looked for.
func TestLostAndSilent(t *testing.T) {
	for _, silent := range []bool{true, false} {
		l := &lossy{}
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			switch op := operation(r); {
			case silent && r.Method == http.MethodHead:
				w.WriteHeader(http.StatusServiceUnavailable)
			case !silent && l.done && op == "PUT":
				panic("lost")
			default:
				l.serve(w, r)
			}
		}, func(t *testing.T, s *Store) {
			o, err := s.Put(t.Context(), "k", []byte("body"), backend.PutOptions{If: backend.Condition{Absent: true}})
			if silent && !errors.Is(err, backend.ErrUnavailable) || !silent && (err != nil || o.Size != 4) {
				t.Errorf("silent %v: %+v, %v", silent, o, err)
			}
		})
	}
}

// TestCommitLosesEveryAnswer: where the last answer is lost too, the list of blocks tells what has become of the commit.
func TestCommitLosesEveryAnswer(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		l := &lossy{}
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			if operation(r) != "PUT blocklist" {
				l.serve(w, r)
				return
			}
			if arrives && !l.done {
				l.serve(w, r)
			}
			panic("lost")
		}, func(t *testing.T, s *Store) {
			u, err := s.NewUpload(t.Context(), "k", backend.PutOptions{})
			if err := errors.Join(err, u.WritePart(t.Context(), 1, []byte("body"))); err != nil {
				t.Fatal(err)
			}
			o, err := u.Commit(t.Context(), 1)
			if arrives && (err != nil || o.Size != 4) || !arrives && !errors.Is(err, backend.ErrUnavailable) {
				t.Errorf("it arrives %v: %+v, %v", arrives, o, err)
			}
		})
	}
}
