package config

import (
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sluice/protocol/auth"
	"sluice/protocol/codec"
	"sluice/protocol/wire"
)

// checker finds what is wrong with values that could be read.
type checker struct {
	*Config
	*decoder
}

// bad reports a problem with the value at a path, or with its parent where the file has none.
func (k *checker) bad(path, format string, args ...any) {
	p := Problem{File: k.file, Path: path, Text: fmt.Sprintf(format, args...)}
	for at := path; at != ""; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		if pos := k.places[at]; pos != nil {
			p.Line, p.Column = pos.Line, pos.Column
			break
		}
	}
	k.problems = append(k.problems, p)
}

// oneOf reports a value that is none of those allowed; empty is left to the default.
func (k *checker) oneOf(path, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		k.bad(path, "must be %s", either(allowed))
	}
}

// either returns words as a reader would list them.
func either(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func (k *checker) check() {
	k.checkListeners()
	k.checkPassive()
	k.checkTimeouts()
	k.checkTLS()
	if k.Transfer.RenameLimit < 1 {
		k.bad("transfer.renameLimit", "must be at least 1")
	}
	for name, s := range k.Stores {
		k.checkStore("stores."+name, s)
	}
	for name, p := range k.Profiles {
		k.checkMounts("profiles."+name+".mounts", p.Mounts)
		k.checkDialect("profiles."+name, p.CloseNotify, p.Encoding, p.Mainframe)
	}
	if len(k.Users) == 0 {
		k.bad("users", "there are none: nobody could log in")
	}
	names := map[string]bool{}
	for i, u := range k.Users {
		at := fmt.Sprintf("users[%d]", i)
		k.checkUser(at, u)
		if names[u.Name] && u.Name != "" {
			k.bad(at+".name", "there is a user %s above", u.Name)
		}
		names[u.Name] = true
	}
}

func (k *checker) checkTLS() {
	if len(k.TLS.Certificates) == 0 {
		k.bad("tls.certificates", "missing: give at least one {cert: FILE, key: FILE}")
	}
	for i, c := range k.TLS.Certificates {
		at := fmt.Sprintf("tls.certificates[%d]", i)
		if c.Cert == "" {
			k.bad(at+".cert", "missing: the PEM file of the certificate")
		}
		if c.Key == "" {
			k.bad(at+".key", "missing: the PEM file of the key")
		}
	}
	k.oneOf("tls.minVersion", k.TLS.MinVersion, "1.2", "1.3")
	k.oneOf("tls.closeNotify", k.TLS.CloseNotify, "strict", "lenient")
	k.oneOf("tls.ccc", k.TLS.CCC, "off", "rfc4217", "draft", "nonotify")
	if len(k.TLS.ClientCRLs) > 0 && k.TLS.ClientCA == "" {
		k.bad("tls.clientCRLs", "needs tls.clientCA: clients are not asked for certificates otherwise")
	}
}

func (k *checker) checkTimeouts() {
	t := k.Timeouts
	for _, c := range []struct {
		key   string
		value time.Duration
	}{
		{"login", t.Login}, {"idle", t.Idle}, {"connect", t.Connect}, {"handshake", t.Handshake}, {"stall", t.Stall}, {"port", t.Port},
	} {
		if c.value < time.Second || c.value > 24*time.Hour {
			k.bad("timeouts."+c.key, "must be from 1s to 24h")
		}
	}
	if g := k.Listen.ClearGreeting; g < 0 || g > time.Minute {
		k.bad("listen.clearGreeting", "must be from 0 to 1m")
	}
	if k.Listen.Sessions < 1 {
		k.bad("listen.sessions", "must be at least 1")
	}
}

// checkDialect checks how a profile's or a user's clients differ from others.
func (k *checker) checkDialect(at, closeNotify, encoding, mainframe string) {
	k.oneOf(at+".closeNotify", closeNotify, "strict", "lenient")
	if _, err := wire.ParseCharset(encoding); err != nil {
		k.bad(at+".encoding", "%v", err)
	}
	if _, err := codec.Page(mainframe); mainframe != "" && err != nil {
		k.bad(at+".mainframe", "%v", err)
	}
}

// storeKeys are the keys that a type of store has besides type.
var storeKeys = map[string][]string{
	"azure": {"account", "container", "endpoint", "accountKey", "sas", "connectionString", "accessTier", "encryptionKey", "encryptionScope", "lock", "tags", "tries", "timeout"},
	"file":  {"path"},
	"gcs":   {"bucket", "endpoint", "credentialsFile", "anonymous", "userProject", "storageClass", "kmsKey", "customerKey", "lock", "acl", "tries", "timeout"},
	"s3": {"bucket", "endpoint", "region", "pathStyle", "accessKey", "secretKey", "checksum", "sessionToken", "profile", "assumeRole", "caFile", "proxy",
		"storageClass", "encryption", "kmsKey", "bucketKey", "customerKey", "lock", "tags", "acl", "requesterPays", "bucketOwner", "tries", "timeout"},
}

func (k *checker) checkStore(at string, s Store) {
	types := slices.Sorted(maps.Keys(storeKeys))
	switch s.Type {
	case "s3":
		k.checkS3(at, s)
	case "azure":
		k.checkAzure(at, s)
	case "gcs":
		k.checkGCS(at, s)
	case "file":
		if s.Path == "" {
			k.bad(at+".path", "missing: the directory that holds the files")
		}
	case "":
		k.bad(at+".type", "missing: must be %s", either(types))
		return
	default:
		k.bad(at+".type", "must be %s", either(types))
		return
	}
	if k.places[at+".tries"] != nil && (s.Tries < 1 || s.Tries > 100) {
		k.bad(at+".tries", "must be from 1 to 100")
	}
	if k.places[at+".timeout"] != nil && s.Timeout < time.Second {
		k.bad(at+".timeout", "must be 1s or more")
	}
	foreign := slices.Concat(slices.Collect(maps.Values(storeKeys))...)
	slices.Sort(foreign)
	for _, key := range slices.Compact(foreign) {
		if k.places[at+"."+key] != nil && !slices.Contains(storeKeys[s.Type], key) {
			k.bad(at+"."+key, "does not belong to a store of type %s", s.Type)
		}
	}
}

func (k *checker) checkUser(at string, u User) {
	k.checkName(at+".name", u.Name)
	p, ok := k.Profiles[u.Profile]
	if u.Profile != "" && !ok {
		k.bad(at+".profile", "%s", k.noSuch("profile", u.Profile, keys(k.Profiles)))
	}
	if u.Mounts == nil && p.Mounts == nil {
		k.bad(at+".mounts", "missing: neither the user nor a profile says what the user sees")
	}
	k.checkMounts(at+".mounts", u.Mounts)
	k.checkDialect(at, u.CloseNotify, u.Encoding, u.Mainframe)

	c := u.Certificate
	switch {
	case !c.Given() && !u.Password.Given():
		k.bad(at, "has neither password nor certificate: nobody could log in as this user")
	case c.SHA256 != "" && c.Name != "":
		k.bad(at+".certificate", "give sha256 or name, not both")
	case c.Given() && k.TLS.ClientCA == "":
		k.bad(at+".certificate", "needs tls.clientCA: clients are not asked for certificates otherwise")
	}
	if n, err := hex.DecodeString(strings.ReplaceAll(c.SHA256, ":", "")); c.SHA256 != "" && (err != nil || len(n) != 32) {
		k.bad(at+".certificate.sha256", "must be the 64 hex digits of the certificate's SHA-256 fingerprint")
	}
	if c.Name != "" && auth.CanonicalName(c.Name) == "" {
		k.bad(at+".certificate.name", "must begin with email:, dns:, uri: or cn:, the kind of the name in the certificate")
	}
	k.oneOf(at+".certificate.require", c.Require, "both", "either")
	if c.Require != "" && (!c.Given() || !u.Password.Given()) {
		k.bad(at+".certificate.require", "says how certificate and password go together, but the user does not have both")
	}
}

// checkName refuses names that could not stand in a key, a log line or a USER command.
func (k *checker) checkName(at, name string) {
	switch {
	case name == "":
		k.bad(at, "missing")
	case len(name) > 255 || !isText(name),
		strings.Contains(name, "/"), name == ".", name == "..", strings.TrimSpace(name) != name:
		k.bad(at, "must be at most 255 bytes of text without / and without spaces at its ends")
	}
}

func (k *checker) checkMounts(at string, mounts []Mount) {
	if mounts != nil && len(mounts) == 0 {
		k.bad(at, "must not be empty")
	}
	var seen []string
	for i, m := range mounts {
		at := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case m.Path == "":
			k.bad(at+".path", "missing: where in the user's tree the store appears, such as /")
		case !path.IsAbs(m.Path) || path.Clean(m.Path) != m.Path || !isText(m.Path):
			k.bad(at+".path", "must be text that begins with / and holds no empty segment, . or ..")
		case slices.Contains(seen, m.Path):
			k.bad(at+".path", "there is a mount at this path above")
		}
		seen = append(seen, m.Path)
		if _, ok := k.Stores[m.Store]; m.Store == "" {
			k.bad(at+".store", "missing: the name of a store")
		} else if !ok {
			k.bad(at+".store", "%s", k.noSuch("store", m.Store, keys(k.Stores)))
		}
		k.checkPrefix(at+".prefix", m.Prefix)
		if _, err := ParseRights(m.Rights); err != nil {
			k.bad(at+".rights", "%v", err)
		}
		if _, err := ParseConflict(m.OnConflict); err != nil {
			k.bad(at+".onConflict", "%v", err)
		}
		k.checkArchive(at, m)
	}
}

func (k *checker) checkPrefix(at, prefix string) {
	if prefix == "" {
		return
	}
	dir, ok := strings.CutSuffix(withUser(prefix, "user"), "/")
	switch {
	case strings.Contains(dir, "${"):
		k.bad(at, "${user} is the only name that stands for something here")
	case !ok || path.IsAbs(dir) || dir == "" || path.Clean(dir) != dir || dir == "." || strings.HasPrefix(dir, "../") || dir == ".." || !isText(dir):
		k.bad(at, "must be text that ends in / and neither begins with / nor holds an empty segment, . or ..")
	case dir == ".sluice" || strings.HasPrefix(dir, ".sluice/"):
		k.bad(at, "must not begin with .sluice, where Sluice keeps what is its own")
	}
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

func (k *checker) noSuch(kind, name string, have []string) string {
	slices.Sort(have)
	switch near := nearest(name, have); {
	case near != "":
		return fmt.Sprintf("there is no %s %s: did you mean %s?", kind, name, near)
	case len(have) == 0:
		return fmt.Sprintf("there is no %s %s", kind, name)
	default:
		return fmt.Sprintf("there is no %s %s: there are %s", kind, name, strings.Join(have, ", "))
	}
}

func keys[T any](m map[string]T) []string {
	var s []string
	for name := range m {
		s = append(s, name)
	}
	return s
}

func withUser(prefix, user string) string { return strings.ReplaceAll(prefix, "${user}", user) }
