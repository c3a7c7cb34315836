package s3

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// Role is an IAM role whose temporary credentials are used (AWS STS, AssumeRole). The zero value is none.
type Role struct {
	ARN         string
	ExternalID  string            // what the trust policy of another account's role asks for
	SessionName string            // stands in the audit log; default sluice
	Tags        map[string]string // session tags, which policies can name as aws:PrincipalTag
	Duration    time.Duration     // of one set of credentials, 15 min to 12 h; default 1 h
	Endpoint    string            // URL of another STS; empty: that of the region, or AWS_ENDPOINT_URL_STS
}

// Given reports whether there is a role at all.
func (r Role) Given() bool { return r.ARN != "" }

func (r Role) check() error {
	switch {
	case r.ARN == "" && (r.ExternalID != "" || r.SessionName != "" || len(r.Tags) > 0 || r.Duration != 0 || r.Endpoint != ""):
		return errors.New("role: give its ARN")
	case r.ARN == "":
		return nil
	case !strings.HasPrefix(r.ARN, "arn:") || strings.ContainsAny(r.ARN, " \t\n"):
		return fmt.Errorf("role %q: give an ARN such as arn:aws:iam::123456789012:role/name", r.ARN)
	case len(r.Tags) > 50:
		return fmt.Errorf("role: %d session tags, at most 50 are allowed", len(r.Tags))
	case r.Duration != 0 && (r.Duration < 15*time.Minute || r.Duration > 12*time.Hour):
		return errors.New("role: the duration is from 15m to 12h")
	}
	return nil
}

// SessionName makes a name that STS takes of any text: other characters than letters, digits and =,.@_- become one of these.
func SessionName(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', strings.ContainsRune("=,.@_-", r):
			return r
		}
		return '_'
	}, text)
	for len(name) < 2 {
		name += "_"
	}
	return name[:min(len(name), 64)]
}

// As returns the same bucket seen with a role, which is assumed with the credentials of the configuration when a request first needs
// it, and again before its time is over. No role: with those credentials themselves. Connections are shared.
func (s *Store) As(r Role) (*Store, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	as := &Store{cfg: s.cfg, sum: s.sum, sdk: s.sdk}
	as.cfg.Role = r
	sdk := s.sdk.Copy()
	if r.Given() {
		client := sts.NewFromConfig(sdk, func(o *sts.Options) {
			if r.Endpoint != "" {
				o.BaseEndpoint = &r.Endpoint
			}
		})
		sdk.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, r.ARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.ExternalID, o.Duration = "sluice", optional(r.ExternalID), time.Hour
			if r.SessionName != "" {
				o.RoleSessionName = SessionName(r.SessionName)
			}
			if r.Duration != 0 {
				o.Duration = r.Duration
			}
			for _, name := range slices.Sorted(maps.Keys(r.Tags)) {
				o.Tags = append(o.Tags, types.Tag{Key: &name, Value: aws.String(r.Tags[name])})
			}
		}))
	}
	as.connect(sdk)
	return as, nil
}

// authorities are those of the system and of a PEM file; nil where no file is given.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // of a machine that has none
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("CA file %s: no certificate in it", file)
	}
	return pool, nil
}

// proxyOf reads the URL of a proxy, whose text is not shown: it may hold a password.
func proxyOf(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		return nil, errors.New("proxy: give a URL such as http://proxy.example.org:3128")
	}
	return u, nil
}
