package auth

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
)

// Fingerprint returns the SHA-256 of a certificate in lower-case hex, as "openssl x509 -fingerprint -sha256" shows it without
// the colons.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Names returns every name that a certificate gives its owner, each with its kind: "email:", "uri:", "dns:" from the subject
// alternative names (RFC 5280, section 4.2.1.6), "cn:" from the subject. The kind is part of the name, so that nobody passes as a
// host name what a CA certified as a common name. E-mail domains and host names are in lower case.
func Names(c *x509.Certificate) []string {
	var names []string
	for _, s := range c.EmailAddresses {
		names = append(names, CanonicalName("email:"+s))
	}
	for _, u := range c.URIs {
		names = append(names, "uri:"+u.String())
	}
	for _, s := range c.DNSNames {
		names = append(names, CanonicalName("dns:"+s))
	}
	if s := c.Subject.CommonName; s != "" {
		names = append(names, "cn:"+s)
	}
	return names
}

// CanonicalName returns a name as Names spells it, or "" if it has no kind that Names knows.
func CanonicalName(s string) string {
	kind, name, _ := strings.Cut(s, ":")
	switch {
	case name == "":
		return ""
	case kind == "dns":
		return "dns:" + strings.ToLower(name)
	case kind == "email":
		if local, domain, ok := strings.Cut(name, "@"); ok {
			return "email:" + local + "@" + strings.ToLower(domain)
		}
		return s
	case kind == "uri", kind == "cn":
		return s
	}
	return ""
}
