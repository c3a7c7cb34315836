package azure

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"sluice/backend/breaker"
)

// Config says which container and how to reach it. Container is needed, and Account, Endpoint or ConnectionString; the rest
// has defaults. Without a key or a SAS, DefaultAzureCredential looks for credentials: environment, workload identity, managed
// identity, the tools of developers.
type Config struct {
	Name             string // of the store, for the log
	Account          string
	Container        string
	Endpoint         string // URL of the blob service; default https://ACCOUNT.blob.core.windows.net
	AccountKey       string // base64
	SAS              string // shared access signature: a query string
	ConnectionString string // instead of account, endpoint, key and SAS
	AccessTier       string // of new objects: Hot, Cool, Cold, Smart or Archive; default: the account's
	EncryptionKey    string // the customer's own key, 32 bytes in base64
	EncryptionScope  string // not with EncryptionKey
	Protection       Protection
	PageSize         int              // entries a page of a listing; default and most 5000
	Tries            int              // requests of one call that fails; default 8
	Timeout          time.Duration    // how long an answer may keep silent; default 5 min
	Breaker          *breaker.Breaker // stands before the store; nil: none
}

// retries wait about a minute in all, as long as a client waits with patience.
var retries = policy.RetryOptions{MaxRetries: 7, RetryDelay: 300 * time.Millisecond, MaxRetryDelay: 20 * time.Second, ShouldRetry: again}

// retries are how calls of this store are repeated.
func (s *Store) retries() policy.RetryOptions {
	r := retries
	if s.cfg.Tries > 0 {
		if r.MaxRetries = int32(min(s.cfg.Tries, 1000)) - 1; r.MaxRetries == 0 { // #nosec G115 -- at most 999
			r.MaxRetries = -1 // which is the SDK's word for none
		}
	}
	return r
}

// stall is how long a body may stand still.
func (s *Store) stall() time.Duration {
	if s.cfg.Timeout > 0 {
		return min(stall, s.cfg.Timeout)
	}
	return stall
}

// guarded sends requests past the breaker.
type guarded struct {
	policy.Transporter
	breaker *breaker.Breaker
}

// Do implements policy.Transporter.
func (g guarded) Do(r *http.Request) (*http.Response, error) {
	return g.breaker.Do(r, g.Transporter.Do)
}

// again reports whether a call that failed may succeed when it is repeated: as the SDK sees it, and where bytes were damaged on
// the way.
func again(r *http.Response, err error) bool {
	if err != nil {
		return true
	}
	switch r.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	code := bloberror.Code(r.Header.Get("X-Ms-Error-Code"))
	return code == bloberror.MD5Mismatch || code == bloberror.CRC64Mismatch
}

// Open returns the store. It does no I/O; see Check.
func Open(_ context.Context, cfg Config) (*Store, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = patience
	}
	client := newClient(cfg.Timeout)
	return open(cfg, guarded{client, cfg.Breaker}, func() (azcore.TokenCredential, error) { return login(client) })
}

// login looks for credentials where Azure's own programs do; tokens are asked for by a transport.
func login(transport policy.Transporter) (azcore.TokenCredential, error) {
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: transport}})
}

// open returns the store whose requests go through a transport. login is asked for credentials where none are given.
func open(cfg Config, transport policy.Transporter, login func() (azcore.TokenCredential, error)) (*Store, error) {
	cfg.SAS = strings.TrimPrefix(cfg.SAS, "?")
	if err := errors.Join(cfg.check(), cfg.Protection.check()); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg}
	if cfg.EncryptionKey != "" {
		key, _ := base64.StdEncoding.DecodeString(cfg.EncryptionKey) // checked
		sum := sha256.Sum256(key)
		s.encrypt = &blob.CPKInfo{
			EncryptionAlgorithm: to.Ptr(blob.EncryptionAlgorithmTypeAES256), EncryptionKey: &cfg.EncryptionKey,
			EncryptionKeySHA256: to.Ptr(base64.StdEncoding.EncodeToString(sum[:])),
		}
	}
	if cfg.EncryptionScope != "" {
		s.scope = &blob.CPKScopeInfo{EncryptionScope: &cfg.EncryptionScope}
	}
	opts := &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: transport, Retry: s.retries(), Telemetry: policy.TelemetryOptions{ApplicationID: "sluice"}, PerRetryPolicies: []policy.Policy{counter{}},
	}}
	var err error
	if s.container, err = s.connect(opts, login); err != nil {
		return nil, err
	}
	u, err := url.Parse(s.container.URL())
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("connection string: it names no blob service that has a URL") // which may hold a SAS
	}
	if s.encrypt != nil && u.Scheme != "https" {
		return nil, errors.New("an encryption key goes only over https")
	}
	s.where = u.Scheme + "://" + u.Host
	return s, nil
}

// connect makes the client, by the credentials that are given.
func (s *Store) connect(opts *container.ClientOptions, login func() (azcore.TokenCredential, error)) (*container.Client, error) {
	cfg := s.cfg
	var err error
	if cfg.ConnectionString != "" {
		if cfg.Account, cfg.AccountKey = fromString(cfg.ConnectionString); cfg.AccountKey != "" {
			if s.key, err = blob.NewSharedKeyCredential(cfg.Account, cfg.AccountKey); err != nil {
				return nil, errors.New("connection string: its account key is not base64")
			}
		}
		c, err := container.NewClientFromConnectionString(cfg.ConnectionString, cfg.Container, opts)
		if err != nil { // whose text might tell parts of it
			return nil, errors.New("connection string: copy it as a whole from the access keys of the storage account")
		}
		return c, nil
	}
	if cfg.Endpoint == "" {
		cfg.Endpoint = "https://" + cfg.Account + ".blob.core.windows.net"
	}
	at := strings.TrimSuffix(cfg.Endpoint, "/") + "/" + cfg.Container
	switch {
	case cfg.AccountKey != "":
		if s.key, err = blob.NewSharedKeyCredential(cfg.Account, cfg.AccountKey); err != nil {
			return nil, errors.New("account key: it is not base64")
		}
		return container.NewClientWithSharedKeyCredential(at, s.key, opts)
	case cfg.SAS != "":
		return container.NewClientWithNoCredential(at+"?"+cfg.SAS, opts)
	case !strings.HasPrefix(at, "https://"):
		return nil, errors.New("endpoint: without an account key or a SAS it must be https, since tokens do not go in clear")
	}
	if s.token, err = login(); err != nil {
		return nil, fmt.Errorf("azure credentials: %w", redact(err))
	}
	return container.NewClient(at, s.token, opts)
}

// fromString takes the account and its key out of a connection string. Where it has none, it has a SAS.
func fromString(s string) (account, key string) {
	for field := range strings.SplitSeq(s, ";") {
		switch name, v, _ := strings.Cut(field, "="); name {
		case "AccountName":
			account = v
		case "AccountKey":
			key = v
		}
	}
	return account, key
}

// check finds what is wrong with a configuration. No error of it shows a secret.
func (c Config) check() error {
	apart := c.Account != "" || c.Endpoint != "" || c.AccountKey != "" || c.SAS != ""
	switch {
	case c.Container == "" || strings.ContainsAny(c.Container, "/?#%"):
		return fmt.Errorf("container %q: give the name of a container", c.Container)
	case c.ConnectionString != "" && apart:
		return errors.New("a connection string says it all: leave out account, endpoint, account key and SAS")
	case c.ConnectionString == "" && c.Account == "" && c.Endpoint == "":
		return errors.New("give an account, an endpoint or a connection string")
	case strings.ContainsAny(c.Account, "./:?#@%"):
		return errors.New("account: give the name of a storage account, without a domain")
	case c.AccountKey != "" && c.SAS != "":
		return errors.New("an account key and a SAS exclude each other: give one of them")
	case c.AccountKey != "" && c.Account == "":
		return errors.New("an account key belongs to an account: give its name too")
	case c.SAS != "" && !strings.Contains(c.SAS, "sig="):
		return errors.New("SAS: give the whole query string, with sig= in it")
	case c.EncryptionKey != "" && c.EncryptionScope != "":
		return errors.New("an encryption key and an encryption scope exclude each other: give one of them")
	}
	if key, err := base64.StdEncoding.DecodeString(c.EncryptionKey); c.EncryptionKey != "" && (err != nil || len(key) != 32) {
		return errors.New("encryption key: give 32 bytes in base64")
	}
	switch blob.AccessTier(c.AccessTier) {
	case "", blob.AccessTierHot, blob.AccessTierCool, blob.AccessTierCold, blob.AccessTierSmart, blob.AccessTierArchive:
	default:
		return fmt.Errorf("access tier %q: use Hot, Cool, Cold, Smart or Archive", c.AccessTier)
	}
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.User != nil || u.RawQuery != "" { // what is not shown might be a secret
		return errors.New("endpoint: give a URL such as https://account.blob.core.windows.net, and the key or the SAS apart from it")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
		return fmt.Errorf("endpoint %q: give a URL such as https://account.blob.core.windows.net", c.Endpoint)
	}
	return nil
}
