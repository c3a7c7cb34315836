package config

import (
	"encoding/base64"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

func (k *checker) checkS3(at string, s Store) {
	if s.Bucket == "" {
		k.bad(at+".bucket", "missing: the name of the bucket")
	}
	if u, err := url.Parse(s.Endpoint); s.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		k.bad(at+".endpoint", "must be a URL such as https://s3.example.org")
	}
	if (s.AccessKey == "") != (s.SecretKey == "") {
		k.bad(at, "accessKey and secretKey go together: give both, or neither to use the environment or the machine's role")
	}
	k.oneOf(at+".checksum", s.Checksum, "crc64nvme", "crc32c", "crc32", "md5", "none")
	switch {
	case s.SessionToken != "" && s.AccessKey == "":
		k.bad(at+".sessionToken", "belongs to accessKey and secretKey: give them too")
	case s.Profile != "" && s.AccessKey != "":
		k.bad(at+".profile", "goes without accessKey: give one of them")
	}
	if u, err := url.Parse(string(s.Proxy)); s.Proxy != "" && (err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme)) {
		k.bad(at+".proxy", "must be a URL such as http://proxy.example.org:3128")
	}
	k.checkRole(at+".assumeRole", s.AssumeRole)
	k.checkClass(at+".storageClass", s.StorageClass)
	k.checkProtection(at, s)
}

// checkProtection checks what S3 is asked to do with objects besides storing them.
func (k *checker) checkProtection(at string, s Store) {
	k.oneOf(at+".encryption", s.Encryption, "aes256", "kms", "kms-dsse")
	if s.KMSKey != "" && !strings.HasPrefix(s.Encryption, "kms") {
		k.bad(at+".kmsKey", "belongs to encryption: kms")
	}
	if s.BucketKey && s.Encryption != "kms" {
		k.bad(at+".bucketKey", "belongs to encryption: kms")
	}
	if s.CustomerKey != "" {
		if key, err := base64.StdEncoding.DecodeString(string(s.CustomerKey)); err != nil || len(key) != 32 {
			k.bad(at+".customerKey", "must be the base64 of 32 bytes, as openssl rand -base64 32 prints it")
		}
		if s.Encryption != "" {
			k.bad(at+".customerKey", "goes without encryption: give one of them")
		}
		if strings.HasPrefix(s.Endpoint, "http://") {
			k.bad(at+".customerKey", "goes only over https")
		}
	}
	k.checkLock(at+".lock", s.Lock, "governance", "compliance")
	if s.Lock.Hold != "" {
		k.bad(at+".lock.hold", "belongs to a store of type gcs; here it is legalHold")
	}
	if (s.Lock.Mode != "" || s.Lock.LegalHold) && s.Checksum == "none" {
		k.bad(at+".checksum", "must be one that the store can check: object lock demands it")
	}
	k.checkTags(at+".tags", s.Tags)
	if strings.Trim(s.BucketOwner, "0123456789") != "" || s.BucketOwner != "" && len(s.BucketOwner) != 12 {
		k.bad(at+".bucketOwner", "must be the 12 digits of an AWS account")
	}
	k.oneOf(at+".acl", s.ACL, "private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control")
}

// checkLock checks for how long what is written must stay.
func (k *checker) checkLock(at string, l Lock, modes ...string) {
	k.oneOf(at+".mode", l.Mode, modes...)
	if (l.Mode == "") != (l.Days == 0) {
		k.bad(at, "mode and days go together: give both or neither")
	}
}

func (k *checker) checkTags(at string, tags map[string]string) {
	if len(tags) > 10 {
		k.bad(at, "at most 10 are allowed")
	}
}

// checkClass checks the look of a storage class. Which there are, the store knows: its compatibles have others.
func (k *checker) checkClass(at, class string) {
	if strings.Trim(class, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		k.bad(at, "must be a storage class such as STANDARD_IA")
	}
}

func (k *checker) checkRole(at string, r Role) {
	switch {
	case r.ARN == "" && (k.places[at] != nil || r.ExternalID != "" || r.SessionName != "" || len(r.Tags) > 0 || r.Duration != 0 || r.Endpoint != ""):
		k.bad(at+".arn", "missing: the role, such as arn:aws:iam::123456789012:role/name")
		return
	case r.ARN != "" && (!strings.HasPrefix(r.ARN, "arn:") || strings.ContainsAny(r.ARN, " $")):
		k.bad(at+".arn", "must be an ARN such as arn:aws:iam::123456789012:role/name")
	}
	if r.Duration != 0 && (r.Duration < 15*time.Minute || r.Duration > 12*time.Hour) {
		k.bad(at+".duration", "must be from 15m to 12h")
	}
	if len(r.Tags) > 50 {
		k.bad(at+".tags", "at most 50 are allowed")
	}
	if u, err := url.Parse(r.Endpoint); r.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		k.bad(at+".endpoint", "must be a URL such as https://sts.example.org")
	}
}

// checkArchive checks what of a mount depends on the type of its store.
func (k *checker) checkArchive(at string, m Mount) {
	switch s := k.Stores[m.Store]; s.Type {
	case "s3":
		k.checkClass(at+".storageClass", m.StorageClass)
	case "gcs":
		k.oneOf(at+".storageClass", m.StorageClass, "STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
	case "azure":
		k.oneOf(at+".storageClass", m.StorageClass, "Hot", "Cool", "Cold", "Smart", "Archive")
	case "file":
		if m.StorageClass != "" {
			k.bad(at+".storageClass", "does not belong to a store of type file")
		}
	}
	if s, ok := k.Stores[m.Store]; ok && s.Type != "s3" && m.AssumeRole.ARN != "" {
		k.bad(at+".assumeRole", "does not belong to a store of type %s", s.Type)
	}
	k.checkRole(at+".assumeRole", m.AssumeRole)
}

// Given reports whether there is a role at all.
func (r Role) Given() bool { return r.ARN != "" }

// For returns the role of one user.
func (r Role) For(user string) Role {
	r.ExternalID, r.SessionName = withUser(r.ExternalID, user), withUser(r.SessionName, user)
	tags := make(map[string]string, len(r.Tags))
	for name, v := range r.Tags {
		tags[name] = withUser(v, user)
	}
	r.Tags = tags
	return r
}

// PerUser reports whether the role differs from user to user.
func (r Role) PerUser() bool {
	return !reflect.DeepEqual(r.For("a"), r.For("b"))
}
