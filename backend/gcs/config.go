package gcs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"

	"sluice/backend"
	"sluice/backend/breaker"
)

// Config says which bucket and how to reach it. Bucket is needed; the rest has defaults.
type Config struct {
	Name            string // of the store, for the log
	Bucket          string
	Endpoint        string // URL of an emulator or of a private endpoint; empty: Google Cloud Storage
	CredentialsFile string // JSON of a service account or of a workload identity; empty: application default credentials
	Anonymous       bool   // without credentials, as emulators and public buckets want it
	UserProject     string // is billed for the requests (requester pays)
	StorageClass    string // of objects whose writer names none; empty: the default of the bucket
	KMSKey          string // projects/P/locations/L/keyRings/R/cryptoKeys/K that encrypts what is written; empty: the default of the bucket
	CustomerKey     string // base64 of the 32 bytes that encrypt every object, which Google does not keep (CSEK)
	Protection      Protection
	PageSize        int              // entries a page of a listing; default and most 1000
	Tries           int              // requests of one call that fails; default 8
	Timeout         time.Duration    // how long a connection may stand still in a request; default 2 min
	Breaker         *breaker.Breaker // stands before the store; nil: none
}

// patience is how failed requests are repeated: pauses grow from pause to 20 s.
type patience struct {
	attempts int
	pause    time.Duration
}

var usual = patience{attempts: 8, pause: 200 * time.Millisecond}

func (p patience) backoff() gax.Backoff {
	return gax.Backoff{Initial: p.pause, Max: max(p.pause, 20*time.Second), Multiplier: 2}
}

// Open returns the store. It asks the bucket nothing; see Check. Where no credentials are configured it may look for the
// metadata server of the machine.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	retry := usual
	if cfg.Tries > 0 {
		retry.attempts = cfg.Tries
	}
	return open(ctx, cfg, retry)
}

func open(ctx context.Context, cfg Config, retry patience) (*Store, error) {
	endpoint, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if err := cfg.Protection.check(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, retry: retry, endpoint: endpoint, slice: copySlice}
	if cfg.CustomerKey != "" {
		if s.key, err = base64.StdEncoding.DecodeString(cfg.CustomerKey); err != nil || len(s.key) != 32 {
			return nil, errors.New("customer key: give the base64 of 32 bytes")
		}
	}
	var creds *auth.Credentials
	if !cfg.Anonymous {
		if creds, err = cfg.credentials(); err != nil {
			return nil, err
		}
	}
	if err := s.connect(ctx, creds); err != nil {
		return nil, err
	}
	return s, nil
}

// connect makes the client of a store; without credentials if there are none.
func (s *Store) connect(ctx context.Context, creds *auth.Credentials) error {
	var err error
	s.wire = newTransport(s.cfg.Timeout, s.cfg.Breaker)
	s.http, err = httptransport.NewClient(&httptransport.Options{
		BaseRoundTripper: s.wire, DisableTelemetry: true, Credentials: creds, DisableAuthentication: creds == nil,
	})
	if err != nil {
		return fmt.Errorf("gcs client: %w", err)
	}
	s.http.CheckRedirect = sameHost
	opts := []option.ClientOption{option.WithHTTPClient(s.http), option.WithoutAuthentication()} // the client has its credentials
	if s.endpoint != "" {
		opts = append(opts, option.WithEndpoint(s.endpoint+"/storage/v1/"))
	}
	if s.client, err = storage.NewClient(ctx, opts...); err != nil {
		return fmt.Errorf("gcs client: %w", err)
	}
	// Calls without a condition are repeated too: of each of them the last one counts.
	s.client.SetRetry(storage.WithPolicy(storage.RetryAlways), storage.WithBackoff(s.retry.backoff()), storage.WithMaxAttempts(s.retry.attempts))
	s.bucket = s.client.Bucket(s.cfg.Bucket)
	if s.cfg.UserProject != "" {
		s.bucket = s.bucket.UserProject(s.cfg.UserProject)
	}
	return nil
}

// check returns the endpoint without a slash behind it, or what is wrong with the configuration.
func (cfg Config) check() (string, error) {
	switch {
	case cfg.Bucket == "" || strings.ContainsAny(cfg.Bucket, "/?#"):
		return "", fmt.Errorf("bucket %q: give the name of a bucket", cfg.Bucket)
	case cfg.Anonymous && cfg.CredentialsFile != "":
		return "", errors.New("anonymous and a credentials file exclude each other: give one of them")
	case cfg.KMSKey != "" && cfg.CustomerKey != "":
		return "", errors.New("a KMS key and a customer key exclude each other: give one of them")
	case cfg.KMSKey != "" && (!strings.HasPrefix(cfg.KMSKey, "projects/") || strings.Count(cfg.KMSKey, "/") != 7):
		return "", fmt.Errorf("KMS key %q: give its name, projects/P/locations/L/keyRings/R/cryptoKeys/K", cfg.KMSKey)
	case cfg.Endpoint == "":
		return "", nil
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.User != nil { // what is not shown might be a password
		return "", errors.New("endpoint: give a URL such as http://127.0.0.1:4443")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("endpoint %q: give a URL such as http://127.0.0.1:4443", cfg.Endpoint)
	}
	if u.Scheme == "http" && !cfg.Anonymous {
		return "", fmt.Errorf("endpoint %q: credentials would travel in clear: use https, or anonymous for an emulator", cfg.Endpoint)
	}
	return u.Scheme + "://" + u.Host, nil
}

// scope covers reading and writing objects; what the account may really do is a matter of IAM.
const scope = "https://www.googleapis.com/auth/cloud-platform"

// credentials are those of the file, or what the machine has: GOOGLE_APPLICATION_CREDENTIALS, gcloud's file, the account of the
// machine or of the pod.
func (cfg Config) credentials() (*auth.Credentials, error) {
	opts := &credentials.DetectOptions{Scopes: []string{scope}}
	if cfg.CredentialsFile == "" {
		creds, err := credentials.DetectDefault(opts)
		if err != nil {
			return nil, errors.New("no Google credentials were found: give a credentials file, set GOOGLE_APPLICATION_CREDENTIALS, or run with a service account")
		}
		return creds, nil
	}
	text, err := os.ReadFile(cfg.CredentialsFile)
	if err != nil {
		return nil, fmt.Errorf("credentials file: %w", err)
	}
	var kind struct {
		Type credentials.CredType `json:"type"`
	}
	if err := json.Unmarshal(text, &kind); err != nil || kind.Type == "" {
		return nil, fmt.Errorf("credentials file %s: not the JSON of a service account or of a workload identity", cfg.CredentialsFile)
	}
	creds, err := credentials.NewCredentialsFromJSON(kind.Type, text, opts)
	if err != nil { // whose text could hold what is in the file
		return nil, fmt.Errorf("credentials file %s: the credentials of type %q in it cannot be used", cfg.CredentialsFile, kind.Type)
	}
	return creds, nil
}

// Close lets go of the connections that are kept for the next request.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return s.client.Close()
}

// Check asks whether the bucket can be reached and read. Its error is one sentence that says what to mend.
func (s *Store) Check(ctx context.Context) error {
	where := s.endpoint
	if where == "" {
		where = "Google Cloud Storage"
	}
	bucket := s.bucket.Retryer(storage.WithMaxAttempts(2))
	it := bucket.Objects(ctx, &storage.Query{Projection: storage.ProjectionNoACL})
	it.PageInfo().MaxSize = 1
	_, err := it.Next()
	if err == nil || errors.Is(err, errDone) {
		return nil
	}
	class, name := classify(err), s.cfg.Bucket
	switch {
	case errors.Is(err, storage.ErrBucketNotExist) || errors.Is(class, backend.ErrNotExist):
		return fmt.Errorf("bucket %s does not exist at %s: create it or correct the name", name, where)
	case unpaid(err):
		return fmt.Errorf("bucket %s is paid for by those who use it: give userProject", name)
	case badToken(err) != "" || status(err) == http.StatusUnauthorized:
		return fmt.Errorf("%s refuses the credentials for bucket %s (%s): correct them", where, name, firstOf(badToken(err), "401"))
	case errors.Is(class, backend.ErrPermission):
		return fmt.Errorf("%s denies access to bucket %s: let this account list, read and write it (roles/storage.objectUser)", where, name)
	case errors.Is(class, backend.ErrUnavailable):
		return fmt.Errorf("%s cannot be reached: check the endpoint and the network: %w", where, cause(err))
	}
	return fmt.Errorf("bucket %s at %s: %w", name, where, describe(err))
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
