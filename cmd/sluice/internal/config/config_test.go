package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/backend/vfs"
)

const hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

// minimal is the least that is accepted; tests add to it.
const minimal = `tls: {certificates: [{cert: tls.crt, key: tls.key}]}
stores: {local: {type: file, path: data}}
users: [{name: ann, password: "` + hash + `", mounts: [{path: /, store: local}]}]
`

// load writes text to sluice.yaml in a fresh working directory and loads it from there.
func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("sluice.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load("sluice.yaml")
}

func TestMinimal(t *testing.T) {
	c, err := load(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	d := Default()
	if c.Listen.Explicit[0] != ":2121" || c.Listen.Implicit[0] != ":2990" || c.Passive.Ports != d.Passive.Ports || c.Cache != d.Cache || c.Transfer != d.Transfer || !c.TLS.Required {
		t.Errorf("defaults are missing: %+v", c)
	}
	u := c.Users[0]
	if u.CloseNotify != "strict" || !u.Password.Match([]byte("password")) {
		t.Errorf("user: %+v", u)
	}
}

func TestFull(t *testing.T) {
	t.Setenv("KEY", "AK")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secret"), "S3cr3t\r\n")
	write(t, filepath.Join(dir, "sluice.yaml"), `
listen:
  explicit: [":21", "127.0.0.1:2121"]
passive:
  ports: 21000-21003
  address: control
  overrides: [{clients: 10.0.0.0/8, address: 10.1.2.3}]
  match: require
active: true
timeouts: {idle: 10m}
proxyProtocol: {trusted: [10.0.0.7, "2001:db8::/32"], required: true}
tls:
  certificates: [{cert: tls/a.crt, key: /etc/a.key}]
  clientCA: ca.pem
  clientCRLs: [a.crl, /etc/b.crl]
  strictSNI: true
  ccc: draft
  minVersion: "1.3"
  closeNotify: lenient
stores:
  lab: {type: s3, bucket: lab, endpoint: "http://127.0.0.1:9000", pathStyle: true, accessKey: "${env:KEY}", secretKey: "${file:secret}"}
  local: {type: file, path: data}
profiles:
  partner:
    mounts:
      - &in {path: /, store: lab, prefix: "partners/${user}/", rights: dropbox, onConflict: rename}
      - {path: /old, store: local, rights: [list, read]}
    limits: {sessions: 5, transfers: 4, fileBytes: 50GiB, bytesPerSecond: 20MiB, dailyBytes: 500GB}
    from: [203.0.113.0/24]
    encoding: latin-1
    mainframe: "037"
users:
  - {name: acme, profile: partner, password: "`+hash+`", mainframe: IBM-1047, limits: {sessions: 0, fileBytes: 1kB}, closeNotify: strict}
  - name: sap01
    profile: partner
    certificate: {sha256: "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD"}
    mounts: [*in]
    from: 192.0.2.1
throttle: {exempt: 192.0.2.0/24}
cache: {memory: 0, ttl: 1m, negativeTTL: 0s}
transfer: {resume: 12h, memory: 512MiB, compression: false, renameLimit: 7}
admin: {listen: "127.0.0.1:8080"}
`)
	c, err := Load(filepath.Join(dir, "sluice.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Listen.Implicit) != 0 || len(c.Listen.Explicit) != 2 {
		t.Errorf("listen: %+v", c.Listen)
	}
	if got := c.TLS.Certificates[0]; got.Cert != filepath.Join(dir, "tls/a.crt") || got.Key != "/etc/a.key" || c.TLS.ClientCA != filepath.Join(dir, "ca.pem") {
		t.Errorf("tls: %+v", c.TLS)
	}
	if s := c.Stores["lab"]; s.AccessKey != "AK" || string(s.SecretKey) != "S3cr3t" || c.Stores["local"].Path != filepath.Join(dir, "data") {
		t.Errorf("stores: %+v", c.Stores)
	}
	if p := c.ProxyProtocol; !p.Required || p.Trusted[0].Prefix != netip.MustParsePrefix("10.0.0.7/32") {
		t.Errorf("proxyProtocol: %+v", p)
	}
	acme, sap := c.Users[0], c.Users[1]
	if acme.Mounts[0].Prefix != "partners/acme/" || sap.Mounts[0].Prefix != "partners/sap01/" || len(acme.Mounts) != 2 || len(sap.Mounts) != 1 {
		t.Errorf("mounts: %+v, %+v", acme.Mounts, sap.Mounts)
	}
	l := acme.Limits
	if *l.Sessions != 0 || *l.Transfers != 4 || *l.FileBytes != 1000 || *l.BytesPerSecond != 20<<20 || *l.DailyBytes != 500e9 {
		t.Errorf("limits of acme: %v %v %v %v %v", *l.Sessions, *l.Transfers, *l.FileBytes, *l.BytesPerSecond, *l.DailyBytes)
	}
	if *sap.Limits.Sessions != 5 || *c.Profiles["partner"].Limits.Sessions != 5 {
		t.Error("the limit of one user changed another's")
	}
	if acme.Encoding != "latin-1" || acme.Mainframe != "IBM-1047" || sap.Mainframe != "037" {
		t.Errorf("dialects: %s %s %s", acme.Encoding, acme.Mainframe, sap.Mainframe)
	}
	if !c.Active || c.Timeouts.Idle != 10*time.Minute || c.Timeouts.Login != time.Minute || c.Listen.ClearGreeting != 2*time.Second {
		t.Errorf("%v %+v %v", c.Active, c.Timeouts, c.Listen.ClearGreeting)
	}
	if !slices.Equal(c.TLS.ClientCRLs, []string{filepath.Join(dir, "a.crl"), "/etc/b.crl"}) || !c.TLS.StrictSNI || c.TLS.CCC != "draft" || c.Transfer.Compression {
		t.Errorf("%+v %+v", c.TLS, c.Transfer)
	}
	if acme.CloseNotify != "strict" || sap.CloseNotify != "lenient" {
		t.Errorf("closeNotify: %s, %s", acme.CloseNotify, sap.CloseNotify)
	}
	if acme.From[0].String() != "203.0.113.0/24" || sap.From[0].String() != "192.0.2.1/32" {
		t.Errorf("from: %v, %v", acme.From, sap.From)
	}
	if c.Cache != (Cache{0, time.Minute, 0}) || c.Transfer.Memory.Bytes != 512<<20 || c.Transfer.Resume != 12*time.Hour || c.Transfer.RenameLimit != 7 || c.Admin.Listen != "127.0.0.1:8080" {
		t.Errorf("%+v %+v %+v", c.Cache, c.Transfer, c.Admin)
	}
	if r, err := ParseRights(acme.Mounts[1].Rights); err != nil || r != vfs.ReadOnly {
		t.Errorf("rights: %v, %v", r, err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Every bad file, with all that Load says of it.
func TestProblems(t *testing.T) {
	t.Setenv("LEAK", "hunter2")
	for _, tt := range []struct{ name, text, want string }{
		{"not YAML", "tls: [\nusers", "sluice.yaml:1:6: not YAML: sequence end token ']' not found"},
		{"not a mapping", "- a\n- b", "sluice.yaml:1:1: keys with values are expected here"},
		{"unknown keys", minimal + "listne: {}\nadmin: {lisen: x}\ntransfer: {parts: 4}\n", `sluice.yaml:4:1: listne: unknown key: did you mean listen?
sluice.yaml:5:9: admin.lisen: unknown key: did you mean listen?
sluice.yaml:6:12: transfer.parts: unknown key: there are compression, memory, renameLimit, resume`},
		{"given twice", minimal + "admin: {listen: ':1', listen: ':2'}", "sluice.yaml:4:23: not YAML: mapping key \"listen\" already defined at [4:9]"},
		{"two documents", minimal + "---\nadmin: {}", "sluice.yaml:5:1: a second document: the configuration is one"},
		{"kinds", minimal + "admin: x\npassive: {overrides: 7}\nlisten: {explicit: {a: b}}\ncache: {ttl: [1s]}",
			`sluice.yaml:4:8: admin: keys with values are expected here
sluice.yaml:5:22: passive.overrides: keys with values are expected here
sluice.yaml:6:20: listen.explicit: a list is expected here
sluice.yaml:7:14: cache.ttl: one value is expected here`},
		{"little memory", minimal + "transfer: {memory: 4095KiB}", "sluice.yaml:4:20: transfer.memory: 4095KiB: less than 4MiB, with which hardly two clients can upload at once"},
		{"values", minimal + `cache: {memory: 12XB, ttl: soon, negativeTTL: -1s}
passive: {ports: 9-1, match: sometimes}
transfer: {memory: 0, resume: tomorrow}
proxyProtocol: {trusted: [10.0.0.1/8, ten], required: maybe}
profiles: {p: {limits: {sessions: -1, fileBytes: 99999999TiB}}}
`, `sluice.yaml:4:17: cache.memory: 12XB: not a size: write bytes, or a whole number with KiB, MiB, GiB, TiB, kB, MB, GB or TB
sluice.yaml:4:28: cache.ttl: soon: not a duration such as 30s or 5m
sluice.yaml:4:47: cache.negativeTTL: -1s: not a duration such as 30s or 5m
sluice.yaml:5:18: passive.ports: 9-1: not a range of ports such as 21000-21007
sluice.yaml:6:20: transfer.memory: 0: neither auto nor a size such as 512MiB
sluice.yaml:6:31: transfer.resume: tomorrow: not a duration such as 30s or 5m
sluice.yaml:7:27: proxyProtocol.trusted[0]: 10.0.0.1/8: bits behind the prefix are set: did you mean 10.0.0.0/8?
sluice.yaml:7:39: proxyProtocol.trusted[1]: ten: not a network such as 203.0.113.0/24 or 2001:db8::/32
sluice.yaml:7:55: proxyProtocol.required: maybe: neither true nor false
sluice.yaml:8:35: profiles.p.limits.sessions: -1: not a whole number
sluice.yaml:8:50: profiles.p.limits.fileBytes: 99999999TiB: not a size: write bytes, or a whole number with KiB, MiB, GiB, TiB, kB, MB, GB or TB`},
		{"expansion", minimal + `admin: {listen: "${env:NO_SUCH_NAME}"}
cache: {ttl: "${env:LEAK}"}
listen: {explicit: ["${file:missing}", "${http:x}"]}`,
			`sluice.yaml:4:17: admin.listen: ${env:NO_SUCH_NAME}: the environment has no variable NO_SUCH_NAME
sluice.yaml:5:14: cache.ttl: ${env:LEAK}: not a duration such as 30s or 5m
sluice.yaml:6:21: listen.explicit[0]: ${file:missing}: cannot read the file missing: no such file or directory
sluice.yaml:6:40: listen.explicit[1]: ${http:x}: ${http:...} is unknown: there are ${env:NAME} and ${file:PATH}`},
		{"anchors", minimal + "admin: *there\ncache:\n  <<: {ttl: 1s}", `sluice.yaml:4:8: admin: no anchor *there stands before this
sluice.yaml:6:3: cache: merge keys are not supported: let users extend a profile`},
		{"empty", "", `sluice.yaml: tls.certificates: missing: give at least one {cert: FILE, key: FILE}
sluice.yaml: users: there are none: nobody could log in`},
		{"listeners", minimal + `listen: {explicit: [":2121", "2121", ":0", ":ftp"], implicit: [":2121"]}
admin: {listen: ":2121"}
proxyProtocol: {required: true}`, `sluice.yaml:4:30: listen.explicit[1]: must be an address and a port such as :2121 or 127.0.0.1:2121
sluice.yaml:4:38: listen.explicit[2]: the port must be a number from 1 to 65535
sluice.yaml:4:44: listen.explicit[3]: the port must be a number from 1 to 65535
sluice.yaml:4:64: listen.implicit[0]: this address is used above
sluice.yaml:5:17: admin.listen: this address is used above
sluice.yaml:6:1: proxyProtocol.trusted: missing: with required, the networks of the proxies must be named`},
		{"ports in each other's way", minimal + `listen: {explicit: [":2121", "127.0.0.1:990"], implicit: ["127.0.0.1:2121", "0.0.0.0:990", "[::1]:990", "[::1]:21003", "[::]:8080"]}
admin: {listen: "localhost:8080"}
passive: {ports: 21000-21007}`, `sluice.yaml:4:59: listen.implicit[0]: port 2121 is used above, by listen.explicit[0]
sluice.yaml:4:77: listen.implicit[1]: port 990 is used above, by listen.explicit[1]
sluice.yaml:5:17: admin.listen: port 8080 is used above, by listen.implicit[4]
sluice.yaml:6:18: passive.ports: port 21003 is used by listen.implicit[3]: data connections need ports of their own`},
		{"default ports in the way", minimal + `admin: {listen: ":2121"}
listen: {explicit: ":21000"}
`, `sluice.yaml: passive.ports: port 21000 is used by listen.explicit[0]: data connections need ports of their own`},
		{"dialects and timeouts", minimal + `listen: {clearGreeting: 2m}
timeouts: {idle: 10ms, stall: 25h}
profiles: {p: {encoding: klingon, mainframe: "500"}}
transfer: {renameLimit: 0}
`, `sluice.yaml:4:25: listen.clearGreeting: must be from 0 to 1m
sluice.yaml:5:18: timeouts.idle: must be from 1s to 24h
sluice.yaml:5:31: timeouts.stall: must be from 1s to 24h
sluice.yaml:6:26: profiles.p.encoding: unknown character set "klingon": there are ibm037, ibm1047, ibm1140, iso-8859-1, iso-8859-15, shift-jis, utf-8, windows-1252
sluice.yaml:6:46: profiles.p.mainframe: unknown EBCDIC code page "500": there are 037, 1047 and 1140
sluice.yaml:7:25: transfer.renameLimit: must be at least 1`},
		{"passive", minimal + `passive:
  address: "2001:db8::1"
  match: never
  overrides: [{address: "a b"}, {clients: 10.0.0.0/8}]`, `sluice.yaml:5:12: passive.address: must be an IPv4 address: PASV knows no other, and IPv6 clients use EPSV
sluice.yaml:6:10: passive.match: must be auto, adaptive, require, ip or off
sluice.yaml:7:15: passive.overrides[0].clients: missing: the networks of the clients
sluice.yaml:7:25: passive.overrides[0].address: must be auto, control, an IPv4 address or a host name
sluice.yaml:7:33: passive.overrides[1].address: missing: what PASV tells these clients`},
		{"tls", strings.Replace(minimal, "[{cert: tls.crt, key: tls.key}]", `[{cert: a}, {key: b}], minVersion: "1.1", closeNotify: no`, 1),
			`sluice.yaml:1:22: tls.certificates[0].key: missing: the PEM file of the key
sluice.yaml:1:33: tls.certificates[1].cert: missing: the PEM file of the certificate
sluice.yaml:1:56: tls.minVersion: must be 1.2 or 1.3
sluice.yaml:1:76: tls.closeNotify: must be strict or lenient`},
		{"stores", strings.Replace(minimal, "stores: {", `stores: {
  a: {type: swift, bucket: b}, b: {type: ftp}, c: {bucket: x},
  d: {type: s3, accessKey: k, endpoint: "localhost:9000", path: y, checksum: sha1},
  e: {type: file, bucket: z}, `, 1), `sluice.yaml:3:13: stores.a.type: must be azure, file, gcs or s3
sluice.yaml:3:42: stores.b.type: must be azure, file, gcs or s3
sluice.yaml:3:48: stores.c.type: missing: must be azure, file, gcs or s3
sluice.yaml:4:3: stores.d.bucket: missing: the name of the bucket
sluice.yaml:4:3: stores.d: accessKey and secretKey go together: give both, or neither to use the environment or the machine's role
sluice.yaml:4:41: stores.d.endpoint: must be a URL such as https://s3.example.org
sluice.yaml:4:65: stores.d.path: does not belong to a store of type s3
sluice.yaml:4:78: stores.d.checksum: must be crc64nvme, crc32c, crc32, md5 or none
sluice.yaml:5:3: stores.e.path: missing: the directory that holds the files
sluice.yaml:5:27: stores.e.bucket: does not belong to a store of type file`},
		{"gcs stores", strings.Replace(minimal, "stores: {", `stores: {
  a: {type: gcs, endpoint: "http://127.0.0.1:4443", storageClass: GLACIER, accessKey: k},
  b: {type: gcs, bucket: b, endpoint: "127.0.0.1:4443", anonymous: true, credentialsFile: sa.json, path: y},
  c: {type: gcs, bucket: b, kmsKey: mine, customerKey: c2hvcnQ=},
  d: {type: s3, bucket: b, userProject: p},
  f: {type: gcs, bucket: b, endpoint: "http://127.0.0.1:4443", anonymous: true, customerKey: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=},
  e: {type: gcs, bucket: b, endpoint: "http://127.0.0.1:4443", anonymous: true, storageClass: ARCHIVE}, `, 1), `sluice.yaml:3:3: stores.a.bucket: missing: the name of the bucket
sluice.yaml:3:28: stores.a.endpoint: must begin with https:, for credentials would travel in clear; an emulator wants anonymous: true
sluice.yaml:3:67: stores.a.storageClass: must be STANDARD, NEARLINE, COLDLINE or ARCHIVE
sluice.yaml:3:87: stores.a.accessKey: does not belong to a store of type gcs
sluice.yaml:4:39: stores.b.endpoint: must be a URL such as http://127.0.0.1:4443
sluice.yaml:4:91: stores.b.credentialsFile: goes without anonymous: give one of them
sluice.yaml:4:106: stores.b.path: does not belong to a store of type gcs
sluice.yaml:5:37: stores.c.kmsKey: must be the name of a key, projects/P/locations/L/keyRings/R/cryptoKeys/K
sluice.yaml:5:56: stores.c.customerKey: must be the base64 of 32 bytes, as openssl rand -base64 32 prints it
sluice.yaml:5:56: stores.c.customerKey: goes without kmsKey: give one of them
sluice.yaml:6:41: stores.d.userProject: does not belong to a store of type s3
sluice.yaml:7:94: stores.f.customerKey: goes only over https`},
		{"azure", strings.Replace(minimal, "stores: {", `stores: {
  a: {type: azure, container: c, account: acme},
  b: {type: azure, container: c, connectionString: "AccountKey=hush"},
  c: {type: azure, account: acme.blob.core.windows.net, bucket: x, accessTier: cold},
  d: {type: azure, container: c, accountKey: "hush!", sas: "hush"},
  e: {type: azure, container: c, account: acme, connectionString: hush},
  f: {type: azure, container: c, account: acme, accountKey: aHVzaA==, sas: "sig=hush", encryptionKey: hush, encryptionScope: s},
  g: {type: azure, container: c, endpoint: "http://127.0.0.1:10000/acme", encryptionKey: hush},
  h: {type: azure, container: c, endpoint: "https://acme.example.org?sig=hush"},
  i: {type: s3, bucket: b, accountKey: hush}, `, 1), `sluice.yaml:5:3: stores.c.container: missing: the name of the container
sluice.yaml:5:29: stores.c.account: must be the name of a storage account, without a domain
sluice.yaml:5:65: stores.c.bucket: does not belong to a store of type azure
sluice.yaml:5:80: stores.c.accessTier: must be Hot, Cool, Cold, Smart or Archive
sluice.yaml:6:3: stores.d.account: missing: the name of the storage account
sluice.yaml:6:46: stores.d.accountKey: must be base64, as the portal shows it
sluice.yaml:6:60: stores.d.sas: must be the whole query string of the shared access signature, with sig= in it
sluice.yaml:7:67: stores.e.connectionString: says it all: leave out account, endpoint, accountKey and sas, or the connection string
sluice.yaml:8:76: stores.f.sas: stands beside accountKey: give one of them, or neither to use the environment or the machine's identity
sluice.yaml:8:103: stores.f.encryptionKey: must be 32 bytes in base64
sluice.yaml:8:126: stores.f.encryptionScope: stands beside encryptionKey: give one of them
sluice.yaml:9:44: stores.g.endpoint: must be https where neither accountKey nor sas is given: tokens do not go in clear
sluice.yaml:9:90: stores.g.encryptionKey: must be 32 bytes in base64
sluice.yaml:9:90: stores.g.encryptionKey: goes only over https
sluice.yaml:10:44: stores.h.endpoint: must be a URL such as https://account.blob.core.windows.net, without keys in it
sluice.yaml:11:40: stores.i.accountKey: does not belong to a store of type s3`},
		{"s3 stores", strings.Replace(minimal, "stores: {", `stores: {
  a: {type: s3, bucket: b, sessionToken: hunter2, proxy: "hunter2@proxy", caFile: x, storageClass: cold storage},
  b: {type: s3, bucket: b, profile: p, accessKey: k, secretKey: hunter2, encryption: des, kmsKey: k, bucketKey: true},
  c: {type: s3, bucket: b, endpoint: "http://h", encryption: aes256, customerKey: aHVudGVyMg==},
  d: {type: s3, bucket: b, lock: {mode: forever}, checksum: none, acl: mine, tags: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1}},
  e: {type: s3, bucket: b, assumeRole: {tags: {user: x}}},
  f: {type: s3, bucket: b, assumeRole: {arn: "role/${user}", duration: 1m, endpoint: sts}},
  g: {type: gcs, bucket: b, encryption: kms, assumeRole: {arn: "arn:x"}, tries: 0, timeout: 10ms},
  h: {type: file, path: d, tries: 3, timeout: 1m}, `, 1), `sluice.yaml:3:42: stores.a.sessionToken: belongs to accessKey and secretKey: give them too
sluice.yaml:3:58: stores.a.proxy: must be a URL such as http://proxy.example.org:3128
sluice.yaml:3:100: stores.a.storageClass: must be a storage class such as STANDARD_IA
sluice.yaml:4:37: stores.b.profile: goes without accessKey: give one of them
sluice.yaml:4:86: stores.b.encryption: must be aes256, kms or kms-dsse
sluice.yaml:4:99: stores.b.kmsKey: belongs to encryption: kms
sluice.yaml:4:113: stores.b.bucketKey: belongs to encryption: kms
sluice.yaml:5:83: stores.c.customerKey: must be the base64 of 32 bytes, as openssl rand -base64 32 prints it
sluice.yaml:5:83: stores.c.customerKey: goes without encryption: give one of them
sluice.yaml:5:83: stores.c.customerKey: goes only over https
sluice.yaml:6:28: stores.d.lock: mode and days go together: give both or neither
sluice.yaml:6:41: stores.d.lock.mode: must be governance or compliance
sluice.yaml:6:61: stores.d.checksum: must be one that the store can check: object lock demands it
sluice.yaml:6:72: stores.d.acl: must be private, public-read, public-read-write, authenticated-read, aws-exec-read, bucket-owner-read or bucket-owner-full-control
sluice.yaml:6:78: stores.d.tags: at most 10 are allowed
sluice.yaml:7:28: stores.e.assumeRole.arn: missing: the role, such as arn:aws:iam::123456789012:role/name
sluice.yaml:8:46: stores.f.assumeRole.arn: must be an ARN such as arn:aws:iam::123456789012:role/name
sluice.yaml:8:72: stores.f.assumeRole.duration: must be from 15m to 12h
sluice.yaml:8:86: stores.f.assumeRole.endpoint: must be a URL such as https://sts.example.org
sluice.yaml:9:41: stores.g.encryption: does not belong to a store of type gcs
sluice.yaml:9:46: stores.g.assumeRole: does not belong to a store of type gcs
sluice.yaml:9:81: stores.g.tries: must be from 1 to 100
sluice.yaml:9:93: stores.g.timeout: must be 1s or more
sluice.yaml:10:35: stores.h.tries: does not belong to a store of type file
sluice.yaml:10:47: stores.h.timeout: does not belong to a store of type file`},
		{"locks", strings.Replace(minimal, "stores: {", `stores: {
  a: {type: s3, bucket: b, lock: {hold: event}, bucketOwner: acme},
  b: {type: gcs, bucket: b, lock: {mode: governance, legalHold: true, hold: legal}, acl: bucket-owner-full-control, tags: {a: 1}},
  c: {type: azure, account: a, container: c, lock: {mode: compliance, hold: event}, acl: private}, `, 1), `sluice.yaml:3:41: stores.a.lock.hold: belongs to a store of type gcs; here it is legalHold
sluice.yaml:3:62: stores.a.bucketOwner: must be the 12 digits of an AWS account
sluice.yaml:4:29: stores.b.lock: mode and days go together: give both or neither
sluice.yaml:4:42: stores.b.lock.mode: must be unlocked or locked
sluice.yaml:4:65: stores.b.lock.legalHold: does not belong to a store of type gcs; here it is hold: temporary or hold: event
sluice.yaml:4:77: stores.b.lock.hold: must be temporary or event
sluice.yaml:4:90: stores.b.acl: must be authenticatedRead, bucketOwnerFullControl, bucketOwnerRead, private, projectPrivate or publicRead
sluice.yaml:4:117: stores.b.tags: does not belong to a store of type gcs
sluice.yaml:5:46: stores.c.lock: mode and days go together: give both or neither
sluice.yaml:5:59: stores.c.lock.mode: must be unlocked or locked
sluice.yaml:5:77: stores.c.lock.hold: belongs to a store of type gcs; here it is legalHold
sluice.yaml:5:90: stores.c.acl: does not belong to a store of type azure`},
		{"users", `tls: {certificates: [{cert: tls.crt, key: tls.key}]}
stores: {local: {type: file, path: data}}
profiles:
  partner: {mounts: [{path: /, store: locla}], closeNotify: maybe}
users:
  - {name: ann, profile: partnr, password: "hunter2"}
`, `sluice.yaml:6:44: users[0].password: not a password hash: it must begin with $argon2id$, $2b$, $6$ or $5$`},
		{"more users", `tls: {certificates: [{cert: tls.crt, key: tls.key}]}
stores: {local: {type: file, path: data}}
profiles:
  partner: {mounts: [{path: /, store: locla}], closeNotify: maybe}
users:
  - {name: ann, profile: partnr, password: "` + hash + `"}
  - {name: ann, profile: partner}
  - {name: ../etc, profile: partner, certificate: {sha256: abc, require: both}}
  - {profile: partner, certificate: {sha256: abc, name: ann}, mounts: []}
  - {name: bob, profile: partner, password: "` + hash + `", certificate: {name: "ann", require: maybe}}
`, `sluice.yaml:4:39: profiles.partner.mounts[0].store: there is no store locla: did you mean local?
sluice.yaml:4:61: profiles.partner.closeNotify: must be strict or lenient
sluice.yaml:6:5: users[0].mounts: missing: neither the user nor a profile says what the user sees
sluice.yaml:6:26: users[0].profile: there is no profile partnr: did you mean partner?
sluice.yaml:7:5: users[1]: has neither password nor certificate: nobody could log in as this user
sluice.yaml:7:12: users[1].name: there is a user ann above
sluice.yaml:8:12: users[2].name: must be at most 255 bytes of text without / and without spaces at its ends
sluice.yaml:8:38: users[2].certificate: needs tls.clientCA: clients are not asked for certificates otherwise
sluice.yaml:8:60: users[2].certificate.sha256: must be the 64 hex digits of the certificate's SHA-256 fingerprint
sluice.yaml:8:74: users[2].certificate.require: says how certificate and password go together, but the user does not have both
sluice.yaml:9:5: users[3].name: missing
sluice.yaml:9:24: users[3].certificate: give sha256 or name, not both
sluice.yaml:9:46: users[3].certificate.sha256: must be the 64 hex digits of the certificate's SHA-256 fingerprint
sluice.yaml:9:57: users[3].certificate.name: must begin with email:, dns:, uri: or cn:, the kind of the name in the certificate
sluice.yaml:9:63: users[3].mounts: must not be empty
sluice.yaml:10:133: users[4].certificate: needs tls.clientCA: clients are not asked for certificates otherwise
sluice.yaml:10:153: users[4].certificate.name: must begin with email:, dns:, uri: or cn:, the kind of the name in the certificate
sluice.yaml:10:169: users[4].certificate.require: must be both or either`},
		{"mounts", strings.Replace(minimal, "[{path: /, store: local}]", `[
  {path: a, store: local},
  {path: /a/../b, store: local},
  {path: /c, store: local, prefix: a, rights: most, onConflict: panic},
  {path: /c, store: local, prefix: ../a/, rights: []},
  {path: /e, store: local, prefix: "${users}/"},
  {path: /f, store: local, prefix: /f/, rights: [full, list]},
  {path: /g, store: local, prefix: .sluice/x/},
  {}]`, 1), `sluice.yaml:4:10: users[0].mounts[0].path: must be text that begins with / and holds no empty segment, . or ..
sluice.yaml:5:10: users[0].mounts[1].path: must be text that begins with / and holds no empty segment, . or ..
sluice.yaml:6:36: users[0].mounts[2].prefix: must be text that ends in / and neither begins with / nor holds an empty segment, . or ..
sluice.yaml:6:47: users[0].mounts[2].rights: must be full, readonly, dropbox or worm, or a list of list, read, create, overwrite, append, rename, delete, mkdir
sluice.yaml:6:65: users[0].mounts[2].onConflict: must be overwrite, refuse or rename
sluice.yaml:7:10: users[0].mounts[3].path: there is a mount at this path above
sluice.yaml:7:36: users[0].mounts[3].prefix: must be text that ends in / and neither begins with / nor holds an empty segment, . or ..
sluice.yaml:7:43: users[0].mounts[3].rights: must not be empty
sluice.yaml:8:36: users[0].mounts[4].prefix: ${user} is the only name that stands for something here
sluice.yaml:9:36: users[0].mounts[5].prefix: must be text that ends in / and neither begins with / nor holds an empty segment, . or ..
sluice.yaml:9:41: users[0].mounts[5].rights: must be full, readonly, dropbox or worm, or a list of list, read, create, overwrite, append, rename, delete, mkdir
sluice.yaml:10:36: users[0].mounts[6].prefix: must not begin with .sluice, where Sluice keeps what is its own
sluice.yaml:11:3: users[0].mounts[7].path: missing: where in the user's tree the store appears, such as /
sluice.yaml:11:3: users[0].mounts[7].store: missing: the name of a store`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.text)
			var p Problems
			if !errors.As(err, &p) {
				t.Fatalf("Load = %v, want Problems", err)
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the error shows a secret")
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Load("nowhere.yaml")
	const want = "cannot read the configuration file nowhere.yaml: no such file or directory"
	if !errors.Is(err, os.ErrNotExist) || err.Error() != want {
		t.Errorf("Load = %v, want %s", err, want)
	}
}

// Whatever is in the file, Load returns a configuration or problems, and never panics.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("users: &a [*a]\nprofiles: {p: &b {mounts: *b}}\n? [x]\n: y"))
	f.Add([]byte("a: !!binary x\n---\n...\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "sluice.yaml")
		write(t, file, string(data))
		c, err := Load(file)
		if (c == nil) == (err == nil) {
			t.Fatalf("Load = %v, %v", c, err)
		}
		var p Problems
		if err != nil && (!errors.As(err, &p) || len(p) == 0) {
			t.Fatalf("Load: %v, want Problems", err)
		}
	})
}
