package azure

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sluice/backend"
)

// pool is the uncommitted blocks of one blob, whose ids must have one length, as on Azure.
type pool struct {
	blocks    []string // id and size
	committed []string
	refused   int
}

func (p *pool) serve(w http.ResponseWriter, r *http.Request) {
	switch operation(r) {
	case "PUT block":
		id := r.URL.Query().Get("blockid")
		if len(p.blocks) > 0 && len(p.blocks[0][:strings.Index(p.blocks[0], " ")]) != len(id) {
			p.refused++
			fail(w, 400, "InvalidBlobOrBlock")
			return
		}
		p.blocks = append(p.blocks, fmt.Sprint(id, " ", r.ContentLength))
		w.WriteHeader(http.StatusCreated)
	case "GET blocklist":
		if r.URL.Query().Get("blocklisttype") != "uncommitted" || len(p.blocks) == 0 {
			fail(w, 404, "BlobNotFound")
			return
		}
		w.Header().Set("Content-Type", "application/xml")
		_, _ = fmt.Fprint(w, "<BlockList><UncommittedBlocks>")
		for _, b := range p.blocks {
			id, size, _ := strings.Cut(b, " ")
			_, _ = fmt.Fprintf(w, "<Block><Name>%s</Name><Size>%s</Size></Block>", id, size)
		}
		_, _ = fmt.Fprint(w, "</UncommittedBlocks></BlockList>")
	case "PUT blocklist":
		for _, m := range latest.FindAllStringSubmatch(slurp(r.Body), -1) {
			p.committed = append(p.committed, m[1])
		}
		describe(w, "0")
		w.WriteHeader(http.StatusCreated)
	default:
		fail(w, 404, "BlobNotFound")
	}
}

// TestResumeOnWire: of all the blocks in the pool those of the upload are found, and of those of one part the last.
func TestResumeOnWire(t *testing.T) {
	mine, other := newName(), newName()
	block := func(n name, seq uint32, part int) string { return n.block(seq, part, idWidth) }
	p := &pool{blocks: []string{
		block(other, 9, 1) + " 900", block(mine, 5, 2) + " 25", block(mine, 0, 1) + " 10", block(mine, 3, 2) + " 23",
		base64.StdEncoding.EncodeToString(make([]byte, idWidth)) + " 7", block(mine, 1, 3) + " 31",
	}}
	s := wire(t, account, p.serve)
	u, err := s.ResumeUpload(t.Context(), "k", mine.String(), backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := u.Parts(t.Context())
	if want := []backend.Part{{Number: 1, Size: 10}, {Number: 2, Size: 25}, {Number: 3, Size: 31}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Parts: %v, %v, want %v", got, err, want)
	}
	if err := u.WritePart(t.Context(), 1, []byte("again")); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Commit(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if want := []string{block(mine, 6, 1), block(mine, 5, 2), block(mine, 1, 3)}; !slices.Equal(p.committed, want) {
		t.Errorf("committed %q, want %q", p.committed, want)
	}
	if _, err := u.Parts(t.Context()); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("Parts after Commit: %v", err)
	}
	if _, err := s.ResumeUpload(t.Context(), "k", newName().String(), backend.PutOptions{}); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("ResumeUpload of an upload without parts: %v", err)
	}
}

// TestForeignBlocks: an upload takes over the length of ids that another program has left, if it has room for its own.
func TestForeignBlocks(t *testing.T) {
	for size, want := range map[int]error{6: backend.ErrUnavailable, 15: backend.ErrUnavailable, 16: nil, 33: nil, 64: nil} {
		p := &pool{blocks: []string{base64.StdEncoding.EncodeToString(make([]byte, size)) + " 1"}}
		s := wire(t, account, p.serve)
		u, err := s.NewUpload(t.Context(), "k", backend.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 3; n++ {
			if err = u.WritePart(t.Context(), n, []byte("x")); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("beside ids of %d bytes: %v, want %v", size, err, want)
			}
		}
		if want == nil && p.refused > 1 {
			t.Errorf("beside ids of %d bytes: %d tries were refused", size, p.refused)
		}
	}
}

// TestRefusedResume: what keeps the store from telling is not taken for an upload that is gone.
func TestRefusedResume(t *testing.T) {
	s := wire(t, account, func(w http.ResponseWriter, _ *http.Request) { fail(w, 403, "AuthenticationFailed") })
	if _, err := s.ResumeUpload(t.Context(), "k", newName().String(), backend.PutOptions{}); !errors.Is(err, backend.ErrPermission) {
		t.Errorf("%v", err)
	}
}
