package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/backend/transfer"
	"sluice/cmd/sluice/internal/config"
)

// Each user's requests are signed with the credentials of the role of his mount, or else of the store, and no user has another's.
func TestRoles(t *testing.T) {
	var mu sync.Mutex
	var signed string
	var roles []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPost {
			_ = r.ParseForm()
			role := strings.Join([]string{r.Form.Get("RoleArn"), r.Form.Get("ExternalId"), r.Form.Get("RoleSessionName"), r.Form.Get("Tags.member.1.Value")}, " ")
			roles = append(roles, role)
			_, _ = fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
				<SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, len(roles), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
			return
		}
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		signed, _, _ = strings.Cut(key, "/")
		w.Header().Set("ETag", `"e"`)
		if r.Method == http.MethodGet {
			_, _ = fmt.Fprint(w, `<ListBucketResult><Name>lab</Name></ListBucketResult>`)
		}
	}))
	defer server.Close()
	lab := config.Store{Type: "s3", Bucket: "lab", Region: "us-east-1", Endpoint: server.URL, PathStyle: true, AccessKey: "AK", SecretKey: "hunter2"}
	tagged := lab
	tagged.AssumeRole = config.Role{ARN: "arn:tagged", ExternalID: "x", SessionName: "${user}", Tags: map[string]string{"user": "${user}"}, Endpoint: server.URL}
	fixed := lab
	fixed.AssumeRole = config.Role{ARN: "arn:fixed", Endpoint: server.URL}
	cfg := config.Default()
	cfg.Stores = map[string]config.Store{"lab": lab, "tagged": tagged, "fixed": fixed}
	own := config.Role{ARN: "arn:own", Endpoint: server.URL}
	mounts := []config.Mount{
		{Path: "/lab", Store: "lab"}, {Path: "/tagged", Store: "tagged"}, {Path: "/fixed", Store: "fixed"}, {Path: "/own", Store: "tagged", AssumeRole: own},
	}
	for _, name := range []string{"ann", "bob"} {
		cfg.Users = append(cfg.Users, config.User{Name: name, Mounts: mounts})
	}
	stores, closeAll, err := openStores(t.Context(), cfg, newCache(cfg.Cache), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := closeAll(); err != nil {
			t.Error(err)
		}
	}()
	users, err := newUsers(cfg, stores, transfer.New(transfer.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		user       int
		name, want string // the role, or AK
	}{
		{0, "/lab/a", "AK"}, {1, "/lab/b", "AK"},
		{0, "/fixed/a", "arn:fixed  sluice "}, {1, "/fixed/b", "arn:fixed  sluice "},
		{0, "/tagged/a", "arn:tagged x ann ann"}, {1, "/tagged/b", "arn:tagged x bob bob"}, {0, "/tagged/c", "arn:tagged x ann ann"},
		{0, "/own/a", "arn:own  sluice "}, {1, "/own/b", "arn:own  sluice "},
	} {
		if _, err := users[step.user].FS.Stat(t.Context(), step.name); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		got := signed
		var n int
		if _, err := fmt.Sscanf(signed, "ROLE%d", &n); err == nil {
			got = roles[n-1]
		}
		mu.Unlock()
		if got != step.want {
			t.Errorf("%s of %s: signed by %q, want %q", step.name, users[step.user].Name, got, step.want)
		}
	}
	if len(roles) != 4 {
		t.Errorf("%d roles were assumed: %q", len(roles), roles)
	}
}
