package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"slices"
	"testing"
)

func TestNames(t *testing.T) {
	c := &x509.Certificate{
		Raw:            []byte("abc"),
		Subject:        pkix.Name{CommonName: "Sap01"},
		EmailAddresses: []string{"Ops@Acme.Example"},
		DNSNames:       []string{"SAP01.acme.example"},
		URIs:           []*url.URL{{Scheme: "spiffe", Host: "acme", Path: "/sap01"}},
	}
	want := []string{"email:Ops@acme.example", "uri:spiffe://acme/sap01", "dns:sap01.acme.example", "cn:Sap01"}
	if got := Names(c); !slices.Equal(got, want) {
		t.Errorf("Names = %q, want %q", got, want)
	}
	// SHA-256 of "abc", FIPS 180-2 appendix B.1
	if got := Fingerprint(c); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("Fingerprint = %s", got)
	}
}

func TestCanonicalName(t *testing.T) {
	for in, want := range map[string]string{
		"dns:A.Example":       "dns:a.example",
		"email:Ann@A.Example": "email:Ann@a.example",
		"email:ann":           "email:ann",
		"uri:spiffe://A/b":    "uri:spiffe://A/b",
		"cn:Ann Miller":       "cn:Ann Miller",
		"cn:":                 "",
		"ann":                 "",
		"ip:10.0.0.1":         "",
	} {
		if got := CanonicalName(in); got != want {
			t.Errorf("CanonicalName(%q) = %q, want %q", in, got, want)
		}
	}
}
