package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// revocation is what the certificate revocation lists say (RFC 5280 5). Neither they nor OCSP are looked at by crypto/x509.
type revocation struct{ lists []*x509.RevocationList }

// readCRLs reads lists in PEM or DER format; without files, nobody asks.
func readCRLs(files []string) (*revocation, error) {
	if len(files) == 0 {
		return nil, nil
	}
	r := &revocation{}
	for i, file := range files {
		where := fmt.Sprintf("tls.clientCRLs[%d]", i)
		p, err := read("revocation list", file, where)
		if err != nil {
			return nil, err
		}
		before := len(r.lists)
		for block, rest := pem.Decode(p); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "X509 CRL" {
				continue
			}
			if err := r.add(block.Bytes); err != nil {
				return nil, fmt.Errorf("the revocation list %s cannot be read: %w (%s)", file, err, where)
			}
		}
		if len(r.lists) == before {
			if err := r.add(p); err != nil {
				return nil, fmt.Errorf("the file %s holds no revocation list in PEM or DER format (%s)", file, where)
			}
		}
	}
	return r, nil
}

func (r *revocation) add(der []byte) error {
	l, err := x509.ParseRevocationList(der)
	if err == nil {
		r.lists = append(r.lists, l)
	}
	return err
}

// check refuses a client unless, on one of its chains, every certificate has a current list of its issuer and stands on none.
func (r *revocation) check(chains [][]*x509.Certificate) error {
	if r == nil || len(chains) == 0 {
		return nil
	}
	var errs []error
	for _, chain := range chains {
		err := r.checkChain(chain)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (r *revocation) checkChain(chain []*x509.Certificate) error {
	now := time.Now()
	for i, c := range chain[:max(0, len(chain)-1)] {
		issuer, current := chain[i+1], false
		for _, l := range r.lists {
			if !bytes.Equal(l.RawIssuer, issuer.RawSubject) || l.CheckSignatureFrom(issuer) != nil {
				continue
			}
			for _, e := range l.RevokedCertificateEntries {
				if e.SerialNumber.Cmp(c.SerialNumber) == 0 {
					return fmt.Errorf("certificate %s of %s is revoked", c.SerialNumber, c.Subject)
				}
			}
			current = current || !now.Before(l.ThisUpdate) && !l.NextUpdate.IsZero() && now.Before(l.NextUpdate)
		}
		if !current {
			return fmt.Errorf("there is no current revocation list of %s", issuer.Subject)
		}
	}
	return nil
}
