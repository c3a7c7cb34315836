package azure

import (
	"errors"
	"net/http"
	"testing"

	"sluice/backend"
)

// TestRestore: what is archived is moved to a tier that can be read, once; what is not needs nothing.
func TestRestore(t *testing.T) {
	for name, tc := range map[string]struct {
		tier, status, code string
		opts               backend.RestoreOptions
		configured         string
		want               error
		sent               string // tier and priority; empty: none
	}{
		"archived":   {tier: "Archive", sent: "Hot "},
		"priority":   {tier: "Archive", opts: backend.RestoreOptions{Days: 7, Tier: "High"}, sent: "Hot High"},
		"own tier":   {tier: "Archive", configured: "Cool", sent: "Cool "},
		"no archive": {tier: "Archive", configured: "Archive", sent: "Hot "},
		"hot":        {tier: "Hot"},
		"under way":  {tier: "Archive", status: "rehydrate-pending-to-hot"},
		"meanwhile":  {tier: "Archive", code: "BlobBeingRehydrated", sent: "Hot "},
		"denied":     {tier: "Archive", code: "AuthorizationPermissionMismatch", sent: "Hot ", want: backend.ErrPermission},
	} {
		sent := ""
		cfg := account
		cfg.AccessTier = tc.configured
		s := wire(t, cfg, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.Header().Set("ETag", `"e"`)
				w.Header().Set("X-Ms-Access-Tier", tc.tier)
				if tc.status != "" {
					w.Header().Set("X-Ms-Archive-Status", tc.status)
				}
				return
			}
			if r.URL.Query().Get("comp") != "tier" {
				t.Errorf("%s: %s %s", name, r.Method, r.URL)
			}
			sent = r.Header.Get("X-Ms-Access-Tier") + " " + r.Header.Get("X-Ms-Rehydrate-Priority")
			if tc.code != "" {
				w.Header().Set("X-Ms-Error-Code", tc.code)
				w.WriteHeader(map[bool]int{true: http.StatusForbidden, false: http.StatusConflict}[tc.want != nil])
				return
			}
			w.WriteHeader(http.StatusAccepted)
		})
		if err := s.Restore(t.Context(), "k", tc.opts); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if sent != tc.sent {
			t.Errorf("%s: sent %q, want %q", name, sent, tc.sent)
		}
	}
}
