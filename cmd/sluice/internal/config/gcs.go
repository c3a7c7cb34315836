package config

import (
	"encoding/base64"
	"net/url"
	"strings"
)

func (k *checker) checkGCS(at string, s Store) {
	if s.Bucket == "" {
		k.bad(at+".bucket", "missing: the name of the bucket")
	}
	u, err := url.Parse(s.Endpoint)
	switch {
	case s.Endpoint == "":
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		k.bad(at+".endpoint", "must be a URL such as http://127.0.0.1:4443")
	case u.Scheme == "http" && !s.Anonymous:
		k.bad(at+".endpoint", "must begin with https:, for credentials would travel in clear; an emulator wants anonymous: true")
	case u.Scheme == "http" && s.CustomerKey != "":
		k.bad(at+".customerKey", "goes only over https")
	}
	if s.Anonymous && s.CredentialsFile != "" {
		k.bad(at+".credentialsFile", "goes without anonymous: give one of them")
	}
	k.checkLock(at+".lock", s.Lock, "unlocked", "locked")
	k.oneOf(at+".lock.hold", s.Lock.Hold, "temporary", "event")
	if s.Lock.LegalHold {
		k.bad(at+".lock.legalHold", "does not belong to a store of type gcs; here it is hold: temporary or hold: event")
	}
	k.oneOf(at+".acl", s.ACL, "authenticatedRead", "bucketOwnerFullControl", "bucketOwnerRead", "private", "projectPrivate", "publicRead")
	k.oneOf(at+".storageClass", s.StorageClass, "STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
	if s.KMSKey != "" && (!strings.HasPrefix(s.KMSKey, "projects/") || strings.Count(s.KMSKey, "/") != 7) {
		k.bad(at+".kmsKey", "must be the name of a key, projects/P/locations/L/keyRings/R/cryptoKeys/K")
	}
	if s.CustomerKey == "" {
		return
	}
	if key, err := base64.StdEncoding.DecodeString(string(s.CustomerKey)); err != nil || len(key) != 32 {
		k.bad(at+".customerKey", "must be the base64 of 32 bytes, as openssl rand -base64 32 prints it")
	}
	if s.KMSKey != "" {
		k.bad(at+".customerKey", "goes without kmsKey: give one of them")
	}
}
