package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"sluice/backend/breaker"
	"sluice/backend/link"
)

// Config says which bucket and how to reach it. Bucket is needed; the rest has defaults.
type Config struct {
	Name         string // of the store, for the log
	Bucket       string
	Region       string // default: the SDK's sources, else us-east-1
	Endpoint     string // URL of an S3-compatible server; empty: Amazon S3
	PathStyle    bool   // the bucket stands in the path, not in the host name
	AccessKey    string // with SecretKey: static keys; empty: the SDK's sources
	SecretKey    string
	SessionToken string           // of temporary static keys
	Profile      string           // section of the SDK's shared configuration; not with static keys
	Checksum     string           // crc64nvme (default), crc32c, crc32, md5 or none, whatever the server can check
	PageSize     int              // entries a page of a listing, of objects or parts; default and most 1000
	CAFile       string           // PEM bundle of authorities that are trusted besides those of the system
	Proxy        string           // URL of an HTTP proxy; empty: HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment
	Role         Role             // is assumed with the credentials above; none by default
	Tries        int              // requests of one call that fails; default 8
	Timeout      time.Duration    // how long an answer may keep silent; default 1 min
	Breaker      *breaker.Breaker // stands before the store; nil: none
	Protection   Protection
}

// Open returns the store. It does no I/O beyond reading the SDK's local configuration; see Check.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Checksum == "" {
		cfg.Checksum = string(crc64NVME)
	}
	switch checksum(cfg.Checksum) {
	case crc64NVME, crc32C, crc32IEEE, md5Sum, noSum:
	default:
		return nil, fmt.Errorf("checksum %q: use crc64nvme, crc32c, crc32, md5 or none", cfg.Checksum)
	}
	switch {
	case cfg.Bucket == "" || strings.ContainsAny(cfg.Bucket, "/?#"):
		return nil, fmt.Errorf("bucket %q: give the name of a bucket", cfg.Bucket)
	case (cfg.AccessKey == "") != (cfg.SecretKey == ""):
		return nil, errors.New("access key and secret key go together: give both or neither")
	case cfg.SessionToken != "" && cfg.AccessKey == "":
		return nil, errors.New("a session token belongs to an access key and a secret key: give them too")
	case cfg.Profile != "" && cfg.AccessKey != "":
		return nil, errors.New("a profile and an access key exclude each other: give one of them")
	case cfg.Protection.locks() && cfg.Checksum == string(noSum):
		return nil, errors.New("object lock demands a checksum: give one that the server can check")
	}
	if err := errors.Join(cfg.Protection.check(), cfg.Role.check()); err != nil {
		return nil, err
	}
	plain := false
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.User != nil { // what is not shown might be a password
			return nil, errors.New("endpoint: give a URL such as https://s3.example.org, and the keys apart from it")
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("endpoint %q: give a URL such as https://s3.example.org", cfg.Endpoint)
		}
		plain = u.Scheme == "http"
	}
	if plain && cfg.Protection.CustomerKey != "" {
		return nil, errors.New("endpoint: a customer key would travel in clear: use https")
	}
	roots, err := authorities(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	proxy, err := proxyOf(cfg.Proxy)
	if err != nil {
		return nil, err
	}
	if cfg.Tries <= 0 {
		cfg.Tries = 8
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Minute
	}
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = link.Dial(t.DialContext, cfg.Timeout, cfg.Timeout) // the SDK's own read timeout ends a part that takes that long to send
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 1024, 1024                 // a part must not pay for a new connection
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true) // HTTP/2 would send the parts that overlap over one connection
		if roots != nil {
			t.TLSClientConfig.RootCAs = roots
		}
		if proxy != nil {
			t.Proxy = http.ProxyURL(proxy)
		}
	})
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithLogger(logging.Nop{}), // it writes to standard error past the program's log, what errors say as well
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				// One quota for the whole client would make a burst of 503 fail transfers that could have waited.
				o.RateLimiter, o.MaxAttempts, o.MaxBackoff = ratelimit.None, cfg.Tries, 20*time.Second
				o.Retryables = append(o.Retryables, // to what the SDK knows: what was damaged on the way, and whoever throttles in HTTP's own words
					retry.RetryableErrorCode{Codes: map[string]struct{}{"BadDigest": {}, "XAmzContentChecksumMismatch": {}, "IncompleteBody": {}}},
					retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
			})
		}),
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if cfg.Region != "" {
		load = append(load, config.WithRegion(cfg.Region))
	}
	if cfg.AccessKey != "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, cfg.SessionToken)))
	}
	if cfg.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(cfg.Profile))
	}
	sdk, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("s3 configuration: %w", err)
	}
	if sdk.Region == "" {
		sdk.Region = "us-east-1"
	}
	sdk.HTTPClient = bounded(sdk.HTTPClient)
	base := &Store{cfg: cfg, sum: checksum(cfg.Checksum), sdk: sdk}
	return base.As(cfg.Role)
}

// connect makes the client, with the credentials of sdk.
func (s *Store) connect(sdk aws.Config) {
	cfg := s.cfg
	s.client = s3.NewFromConfig(sdk, func(o *s3.Options) {
		o.UsePathStyle = cfg.PathStyle
		o.BaseEndpoint = optional(cfg.Endpoint)
		o.HTTPClient = guarded{o.HTTPClient, cfg.Breaker}
		o.APIOptions = append(o.APIOptions, newProtector(cfg.Protection).install)
		if strings.HasPrefix(cfg.Endpoint, "http:") {
			// Over TLS the SDK leaves the SHA-256 of bodies out by itself; in clear it would read each body twice.
			o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
		}
	})
}

// maxRedirects is how often one request is sent on. Amazon does so once, to the region of a new bucket.
const maxRedirects = 5

// bounded gives the client of the SDK an end: it follows 307 and 308 for ever.
func bounded(client aws.HTTPClient) aws.HTTPClient {
	b, ok := client.(*awshttp.BuildableClient)
	if !ok {
		return client
	}
	c, ok := b.Freeze().(*http.Client)
	if !ok {
		return client
	}
	follow := c.CheckRedirect
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return http.ErrUseLastResponse
		}
		return follow(r, via) // keeps session tokens from other hosts
	}
	return c
}

// guarded sends requests past the breaker, and bodies from where they lie.
type guarded struct {
	s3.HTTPClient
	breaker *breaker.Breaker
}

// Do implements s3.HTTPClient.
func (g guarded) Do(r *http.Request) (*http.Response, error) {
	if p, ok := r.Context().Value(inMemory{}).([]byte); ok && r.Body != nil && r.ContentLength == int64(len(p)) {
		r.Body = link.NewMemory(p) // what the SDK gives hides that
	}
	return g.breaker.Do(r, g.HTTPClient.Do)
}

// inMemory is the key of a context in which there is the body of the one request, with a body, that is made under it.
type inMemory struct{}
