package config

import (
	"encoding/base64"
	"net/url"
	"strings"
)

func (k *checker) checkAzure(at string, s Store) {
	if s.Container == "" {
		k.bad(at+".container", "missing: the name of the container")
	}
	switch {
	case s.ConnectionString != "":
		if s.Account != "" || s.Endpoint != "" || s.AccountKey != "" || s.SAS != "" {
			k.bad(at+".connectionString", "says it all: leave out account, endpoint, accountKey and sas, or the connection string")
		}
	case s.Account == "" && (s.Endpoint == "" || s.AccountKey != ""):
		k.bad(at+".account", "missing: the name of the storage account")
	case strings.ContainsAny(s.Account, "./:?#@%"):
		k.bad(at+".account", "must be the name of a storage account, without a domain")
	case s.AccountKey != "" && s.SAS != "":
		k.bad(at+".sas", "stands beside accountKey: give one of them, or neither to use the environment or the machine's identity")
	case s.AccountKey == "" && s.SAS == "" && strings.HasPrefix(s.Endpoint, "http://"):
		k.bad(at+".endpoint", "must be https where neither accountKey nor sas is given: tokens do not go in clear")
	}
	if _, err := base64.StdEncoding.DecodeString(string(s.AccountKey)); err != nil {
		k.bad(at+".accountKey", "must be base64, as the portal shows it")
	}
	if s.SAS != "" && !strings.Contains(string(s.SAS), "sig=") {
		k.bad(at+".sas", "must be the whole query string of the shared access signature, with sig= in it")
	}
	if u, err := url.Parse(s.Endpoint); s.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		k.bad(at+".endpoint", "must be a URL such as https://account.blob.core.windows.net, without keys in it")
	}
	k.checkLock(at+".lock", s.Lock, "unlocked", "locked")
	if s.Lock.Hold != "" {
		k.bad(at+".lock.hold", "belongs to a store of type gcs; here it is legalHold")
	}
	k.checkTags(at+".tags", s.Tags)
	k.oneOf(at+".accessTier", s.AccessTier, "Hot", "Cool", "Cold", "Smart", "Archive")
	if p, err := base64.StdEncoding.DecodeString(string(s.EncryptionKey)); s.EncryptionKey != "" && (err != nil || len(p) != 32) {
		k.bad(at+".encryptionKey", "must be 32 bytes in base64")
	}
	if s.EncryptionKey != "" && s.EncryptionScope != "" {
		k.bad(at+".encryptionScope", "stands beside encryptionKey: give one of them")
	}
	if s.EncryptionKey != "" && strings.HasPrefix(s.Endpoint, "http://") {
		k.bad(at+".encryptionKey", "goes only over https")
	}
}
