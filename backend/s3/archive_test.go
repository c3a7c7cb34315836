package s3

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"sluice/backend"
)

// TestRestore: what is archived is asked for, once; what is not needs nothing.
func TestRestore(t *testing.T) {
	type request struct{ class, restore, status, code string }
	for name, tc := range map[string]struct {
		request
		opts backend.RestoreOptions
		want error
		sent []string // in the order, each with the next; none: no order is given
	}{
		"glacier":       {request{class: "GLACIER"}, backend.RestoreOptions{Days: 7, Tier: "Bulk"}, nil, []string{"<Days>7</Days>", "<Tier>Bulk</Tier>"}},
		"one day":       {request{class: "DEEP_ARCHIVE"}, backend.RestoreOptions{}, nil, []string{"<Days>1</Days>"}},
		"tiering":       {request{class: "INTELLIGENT_TIERING", status: "ARCHIVE_ACCESS"}, backend.RestoreOptions{Days: 7}, nil, []string{"<RestoreRequest"}},
		"standard":      {request{}, backend.RestoreOptions{}, nil, nil},
		"restored":      {request{class: "GLACIER", restore: `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`}, backend.RestoreOptions{}, nil, nil},
		"under way":     {request{class: "GLACIER", restore: `ongoing-request="true"`, code: "RestoreAlreadyInProgress"}, backend.RestoreOptions{}, nil, []string{"<Days>1</Days>"}},
		"not allowed":   {request{class: "GLACIER", code: "AccessDenied"}, backend.RestoreOptions{}, backend.ErrPermission, []string{"<Days>1</Days>"}},
		"not supported": {request{class: "GLACIER", code: "NotImplemented"}, backend.RestoreOptions{}, backend.ErrUnsupported, []string{"<Days>1</Days>"}},
	} {
		var sent string
		s := wire(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.Header().Set("ETag", `"e"`)
				for k, v := range map[string]string{"X-Amz-Storage-Class": tc.class, "X-Amz-Restore": tc.restore, "X-Amz-Archive-Status": tc.status} {
					if v != "" {
						w.Header().Set(k, v)
					}
				}
				return
			}
			p, _ := io.ReadAll(r.Body)
			if sent = string(p); r.Method != http.MethodPost || !r.URL.Query().Has("restore") || r.URL.Path != "/bkt/k" {
				t.Errorf("%s: %s %s", name, r.Method, r.URL)
			}
			switch tc.code {
			case "":
				w.WriteHeader(http.StatusAccepted)
			case "RestoreAlreadyInProgress":
				fail(w, http.StatusConflict, tc.code)
			default:
				fail(w, http.StatusForbidden, tc.code)
			}
		}, Config{})
		s.client = patient(s, 1)
		if err := s.Restore(t.Context(), "k", tc.opts); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if (sent == "") != (tc.sent == nil) || strings.Contains(sent, "<Days>") && strings.Contains(strings.Join(tc.sent, ""), "<RestoreRequest") {
			t.Errorf("%s: sent %q", name, sent)
		}
		for _, want := range tc.sent {
			if !strings.Contains(sent, want) {
				t.Errorf("%s: sent %q without %s", name, sent, want)
			}
		}
	}
}

// TestClasses: the class goes with every write, a copy is told its class, and what goes to an archive is known to be there.
func TestClasses(t *testing.T) {
	var classes []string
	s := wire(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		if r.Method != http.MethodHead {
			classes = append(classes, r.Header.Get("X-Amz-Storage-Class"))
		}
		switch {
		case r.URL.Query().Has("uploads"):
			_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
		case r.Header.Get("X-Amz-Copy-Source") != "":
			_, _ = io.WriteString(w, "<CopyObjectResult><ETag>e</ETag></CopyObjectResult>")
		}
	}, Config{})
	a := backend.Attributes{StorageClass: "GLACIER"}
	o, err := s.Put(t.Context(), "k", nil, backend.PutOptions{Attributes: a})
	if err != nil || !o.Archived || o.StorageClass != "GLACIER" {
		t.Errorf("Put: %+v, %v", o, err)
	}
	if o, err = s.Put(t.Context(), "k", nil, backend.PutOptions{}); err != nil || o.Archived || o.StorageClass != "" {
		t.Errorf("Put: %+v, %v", o, err)
	}
	if _, err := s.NewUpload(t.Context(), "k", backend.PutOptions{Attributes: a}); err != nil {
		t.Error(err)
	}
	for _, opts := range []backend.CopyOptions{{}, {StorageClass: "STANDARD_IA"}, {StorageClass: "STANDARD_IA", Replace: &a}} {
		if _, err := s.Copy(t.Context(), "dst", "src", opts); err != nil {
			t.Error(err)
		}
	}
	if got, want := strings.Join(classes, " "), "GLACIER  GLACIER  STANDARD_IA GLACIER"; got != want {
		t.Errorf("classes %q, want %q", got, want)
	}
}

// TestDeleteMarker: in a bucket with versions, a deleted object is not there.
func TestDeleteMarker(t *testing.T) {
	s := wire(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Delete-Marker", "true")
		w.Header().Set("X-Amz-Version-Id", "3")
		switch r.Method {
		case http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		case http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		default:
			fail(w, http.StatusNotFound, "NoSuchKey")
		}
	}, Config{})
	if _, err := s.Stat(t.Context(), "k"); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("Stat: %v", err)
	}
	if _, _, err := s.Open(t.Context(), "k", backend.OpenOptions{}); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("Open: %v", err)
	}
	if err := s.Delete(t.Context(), "k", backend.DeleteOptions{}); err != nil {
		t.Errorf("Delete: %v", err)
	}
}
