// Package config reads the program's one YAML file: strictly, with every problem reported at once, each with its line and its
// path.
//
// It opens no socket and no store; what it accepts, the rest of the program acts upon. The commands are its callers.
package config

import "time"

// Config is a configuration file that has been checked: names refer to what exists, users are complete (their profiles have
// been worked in), relative paths have been joined to the folder of the file.
type Config struct {
	Listen        Listen             `yaml:"listen"`
	Passive       Passive            `yaml:"passive"`
	Active        bool               `yaml:"active"` // PORT and EPRT, to the client's own address; default false
	Timeouts      Timeouts           `yaml:"timeouts"`
	ProxyProtocol ProxyProtocol      `yaml:"proxyProtocol"`
	TLS           TLS                `yaml:"tls"`
	Stores        map[string]Store   `yaml:"stores"`
	Profiles      map[string]Profile `yaml:"profiles"`
	Users         []User             `yaml:"users"`
	Throttle      Throttle           `yaml:"throttle"`
	Cache         Cache              `yaml:"cache"`
	Transfer      Transfer           `yaml:"transfer"`
	Admin         Admin              `yaml:"admin"`

	Sources Sources `yaml:"-"` // what it was read from; empty for a Default
}

// Default returns the configuration of an empty file. It has no certificates, stores or users.
func Default() *Config {
	return &Config{
		Listen:  Listen{Explicit: []string{":2121"}, Implicit: []string{":2990"}, ClearGreeting: 2 * time.Second, Sessions: 20_000},
		Passive: Passive{Ports: Ports{21000, 21007}, Address: "auto", Match: "auto"},
		Timeouts: Timeouts{
			Login: time.Minute, Idle: 5 * time.Minute, Connect: 30 * time.Second, Handshake: 10 * time.Second,
			Stall: 2 * time.Minute, Port: 30 * time.Second,
		},
		TLS:      TLS{Required: true, MinVersion: "1.2", CloseNotify: "strict", CCC: "off"},
		Transfer: Transfer{Compression: true, Resume: 24 * time.Hour, RenameLimit: 100_000},
		Cache:    Cache{Memory: 64 << 20, TTL: 30 * time.Second, NegativeTTL: 5 * time.Second},
	}
}

// Listen are the addresses of the control connections. Where both lists are empty they are :2121 and :2990.
type Listen struct {
	Explicit []string `yaml:"explicit"` // AUTH TLS
	Implicit []string `yaml:"implicit"` // TLS from the first byte
	// ClearGreeting is how long an implicit listener waits for TLS before it greets in the clear, as z/OS wants it; default 2 s,
	// 0: it never does.
	ClearGreeting time.Duration `yaml:"clearGreeting"`
	Sessions      int           `yaml:"sessions"` // control connections at once, one more hears 421; default 20,000
}

// Timeouts of sessions and data connections.
type Timeouts struct {
	Login     time.Duration `yaml:"login"`     // from connect to login; default 1 min
	Idle      time.Duration `yaml:"idle"`      // between two commands, outside transfers; default 5 min
	Connect   time.Duration `yaml:"connect"`   // for a data connection to come; default 30 s
	Handshake time.Duration `yaml:"handshake"` // of TLS on a data connection; default 10 s
	Stall     time.Duration `yaml:"stall"`     // without a byte moving on a data connection; default 2 min
	Port      time.Duration `yaml:"port"`      // for a passive port to become free; default 30 s
}

// Passive are the data connections that clients open.
type Passive struct {
	Ports     Ports      `yaml:"ports"`     // default 21000-21007
	Address   string     `yaml:"address"`   // what PASV tells: auto (default), control, an IPv4 address, a host name
	Overrides []Override `yaml:"overrides"` // the first that fits the client wins over Address
	Match     string     `yaml:"match"`     // auto (default), adaptive, require, ip, off
}

// Override is the PASV address for clients from certain networks.
type Override struct {
	Clients []Network `yaml:"clients"`
	Address string    `yaml:"address"` // as Passive.Address
}

// ProxyProtocol says who may tell us a client's address (haproxy.org, "The PROXY protocol", versions 1 and 2).
type ProxyProtocol struct {
	Trusted  []Network `yaml:"trusted"`
	Required bool      `yaml:"required"` // connections from elsewhere, or without a header, are closed
}

// TLS of control and data connections.
type TLS struct {
	Required     bool          `yaml:"required"` // default true: no login and no transfer in the clear
	Certificates []Certificate `yaml:"certificates"`
	ClientCA     string        `yaml:"clientCA"`    // PEM file; clients are asked for certificates if it is given
	ClientCRLs   []string      `yaml:"clientCRLs"`  // PEM or DER files; where there are any, each CA needs one that is current
	StrictSNI    bool          `yaml:"strictSNI"`   // refuse clients that name a host which no certificate has
	CCC          string        `yaml:"ccc"`         // off (default), rfc4217, draft, nonotify
	MinVersion   string        `yaml:"minVersion"`  // 1.2 (default), 1.3
	CloseNotify  string        `yaml:"closeNotify"` // strict (default), lenient
}

// Certificate is a pair of PEM files.
type Certificate struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Store is one bucket and how to reach it. Which keys apply depends on the type.
type Store struct {
	Type string `yaml:"type"` // s3, gcs, azure, file

	Bucket   string `yaml:"bucket"`
	Endpoint string `yaml:"endpoint"` // of an S3-compatible store, of a blob service or of an emulator; empty: the vendor's own

	Tries   int           `yaml:"tries"`   // requests of one operation that fails; default 8
	Timeout time.Duration `yaml:"timeout"` // how long a request may keep silent; default 1 min for S3, 2 for Google, 5 for Azure

	Region    string `yaml:"region"`
	PathStyle bool   `yaml:"pathStyle"`
	AccessKey string `yaml:"accessKey"` // empty: the SDK's own sources, such as the environment or a role
	SecretKey Secret `yaml:"secretKey"`
	Checksum  string `yaml:"checksum"` // crc64nvme (default), crc32c, crc32, md5, none: what the store can check

	SessionToken  Secret            `yaml:"sessionToken"`  // of temporary keys
	Profile       string            `yaml:"profile"`       // section of the SDK's shared configuration, instead of keys
	AssumeRole    Role              `yaml:"assumeRole"`    // with these credentials; a mount may have another
	CAFile        string            `yaml:"caFile"`        // PEM bundle of authorities besides the system's
	Proxy         Secret            `yaml:"proxy"`         // URL of an HTTP proxy; empty: that of the environment
	Encryption    string            `yaml:"encryption"`    // aes256, kms, kms-dsse; empty: the default of the bucket
	BucketKey     bool              `yaml:"bucketKey"`     // kms: saves requests to KMS
	Lock          Lock              `yaml:"lock"`          // object lock, retention or immutability of what is written
	Tags          map[string]string `yaml:"tags"`          // of new objects
	ACL           string            `yaml:"acl"`           // canned; empty: none is sent
	RequesterPays bool              `yaml:"requesterPays"` // S3; for Google it is userProject
	BucketOwner   string            `yaml:"bucketOwner"`   // S3: the account that the bucket must belong to, or nothing is done

	CredentialsFile string `yaml:"credentialsFile"` // JSON of a service account; empty: application default credentials
	Anonymous       bool   `yaml:"anonymous"`       // without credentials, as emulators want it
	UserProject     string `yaml:"userProject"`     // is billed (requester pays)
	StorageClass    string `yaml:"storageClass"`    // of new objects; empty: the default of the bucket
	KMSKey          string `yaml:"kmsKey"`          // name of the key that encrypts new objects; empty: the default of the bucket
	CustomerKey     Secret `yaml:"customerKey"`     // base64 of 32 bytes that encrypt every object, and that Google does not keep

	Account          string `yaml:"account"` // Azure; without key, SAS and connection string: the SDK's own sources
	Container        string `yaml:"container"`
	AccountKey       Secret `yaml:"accountKey"`
	SAS              Secret `yaml:"sas"`
	ConnectionString Secret `yaml:"connectionString"` // instead of account, endpoint, key and SAS
	AccessTier       string `yaml:"accessTier"`       // of new objects: Hot, Cool, Cold, Smart, Archive; empty: the account's
	EncryptionKey    Secret `yaml:"encryptionKey"`    // the customer's own, 32 bytes in base64
	EncryptionScope  string `yaml:"encryptionScope"`

	Path string `yaml:"path"` // file: a directory
}

// Profile holds what several users have in common.
type Profile struct {
	Mounts      []Mount   `yaml:"mounts"`
	Limits      Limits    `yaml:"limits"`
	From        []Network `yaml:"from"` // networks that the users may come from; empty: any
	CloseNotify string    `yaml:"closeNotify"`
	Encoding    string    `yaml:"encoding"`  // of file names; default utf-8
	Mainframe   string    `yaml:"mainframe"` // EBCDIC code page of TYPE E: 037, 1047 or 1140; allows MODE B and STRU R as well
}

// User is who may log in. What a user does not say, the profile does; limits are taken over one by one.
type User struct {
	Name        string      `yaml:"name"`
	Profile     string      `yaml:"profile"`
	Password    Hash        `yaml:"password"`
	Certificate ClientNames `yaml:"certificate"`

	Mounts      []Mount   `yaml:"mounts"`
	Limits      Limits    `yaml:"limits"`
	From        []Network `yaml:"from"`
	CloseNotify string    `yaml:"closeNotify"`
	Encoding    string    `yaml:"encoding"`
	Mainframe   string    `yaml:"mainframe"`
}

// ClientNames say which client certificate is a user's. One of SHA256 and Name is given.
type ClientNames struct {
	SHA256  string `yaml:"sha256"`  // of the certificate, hex, colons allowed
	Name    string `yaml:"name"`    // as auth.Names spells it, such as email:ann@example.org
	Require string `yaml:"require"` // where the user has a password too: both (default) or either
}

// Given reports whether the user logs in by certificate at all.
func (c ClientNames) Given() bool { return c.SHA256 != "" || c.Name != "" }

// Mount is a path in a user's tree, and where in which store it lies.
type Mount struct {
	Path       string   `yaml:"path"`
	Store      string   `yaml:"store"`
	Prefix     string   `yaml:"prefix"`     // of the keys; ${user} stands for the user's name
	Rights     []string `yaml:"rights"`     // full (default), readonly, dropbox, worm, or verbs
	OnConflict string   `yaml:"onConflict"` // an upload to a name that exists: overwrite (default), refuse, rename

	StorageClass string `yaml:"storageClass"` // of the files that are written, or access tier; empty: the store's
	AssumeRole   Role   `yaml:"assumeRole"`   // S3; instead of the store's
}

// Role is an IAM role whose temporary credentials are used. In all but ARN and duration ${user} stands for the user's name.
type Role struct {
	ARN         string            `yaml:"arn"`
	ExternalID  string            `yaml:"externalId"`
	SessionName string            `yaml:"sessionName"` // default sluice
	Tags        map[string]string `yaml:"tags"`        // of the session
	Duration    time.Duration     `yaml:"duration"`    // default 1 h
	Endpoint    string            `yaml:"endpoint"`    // URL of another STS
}

// Lock is S3 object lock.
type Lock struct {
	Mode      string `yaml:"mode"` // S3: governance, compliance; Google and Azure: unlocked, locked
	Days      int    `yaml:"days"`
	LegalHold bool   `yaml:"legalHold"` // S3 and Azure
	Hold      string `yaml:"hold"`      // Google: temporary, event
}

// Limits of one user. Nil takes the profile's, 0 is no limit.
type Limits struct {
	Sessions       *int  `yaml:"sessions"`
	Transfers      *int  `yaml:"transfers"`
	FileBytes      *Size `yaml:"fileBytes"`      // largest file
	BytesPerSecond *Size `yaml:"bytesPerSecond"` // of all the user's transfers together
	DailyBytes     *Size `yaml:"dailyBytes"`     // both directions, per UTC day, since the program started
}

// Throttle of wrong guesses.
type Throttle struct {
	Exempt []Network `yaml:"exempt"` // never banned, as the trusted proxies are
}

// Cache of metadata in front of stores that are reached over a network.
type Cache struct {
	Memory      Size          `yaml:"memory"`      // default 64 MiB; 0: no cache
	TTL         time.Duration `yaml:"ttl"`         // default 30 s
	NegativeTTL time.Duration `yaml:"negativeTTL"` // default 5 s
}

// Transfer is how bytes move.
type Transfer struct {
	Memory      Memory        `yaml:"memory"`      // for the buffers of all transfers; default auto
	Compression bool          `yaml:"compression"` // MODE Z; default true
	Resume      time.Duration `yaml:"resume"`      // how long what has come of an upload that was cut off is kept for its user, and is a file of that length to him; default 24 h; 0: not at all
	RenameLimit int           `yaml:"renameLimit"` // most objects in a directory that is renamed, one more is 553; default 100,000
}

// Admin is the HTTP listener for health checks.
type Admin struct {
	Listen string `yaml:"listen"` // empty: none
}
