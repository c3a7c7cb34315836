package main

import (
	"encoding/json"
	"fmt"
	"sync"

	"sluice/backend"
	"sluice/backend/s3"
	"sluice/cmd/sluice/internal/config"
)

// assumable is an S3 store that users may see with roles of their own. It is itself the store as the configuration opens it.
type assumable struct {
	backend.Store
	name string
	base *s3.Store
	own  config.Role // of the configuration, of which a role per user is not that of Store
	wrap func(name string, store backend.Store) backend.Store

	mu    sync.Mutex
	views map[string]backend.Store // by role
}

// seenBy returns the store as a user sees it through a mount: with the mount's role, or else with the store's. Users with one role
// share its credentials. What one role knows of the store is never shown to another: each has a place of its own in the cache.
func seenBy(store backend.Store, user string, role config.Role) (backend.Store, error) {
	a, ok := store.(*assumable)
	switch {
	case !ok:
		return store, nil
	case !role.Given() && !a.own.PerUser():
		return a.Store, nil
	case !role.Given():
		role = a.own
	}
	role = role.For(user)
	key, err := json.Marshal(role)
	if err != nil {
		return nil, fmt.Errorf("store %s: role: %w", a.name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if view, ok := a.views[string(key)]; ok {
		return view, nil
	}
	as, err := a.base.As(s3Role(role))
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", a.name, err)
	}
	view := a.wrap(a.name+" "+string(key), as)
	a.views[string(key)] = view
	return view, nil
}

func s3Role(r config.Role) s3.Role {
	return s3.Role{ARN: r.ARN, ExternalID: r.ExternalID, SessionName: r.SessionName, Tags: r.Tags, Duration: r.Duration, Endpoint: r.Endpoint}
}

// s3Config is how a store of type s3 is reached. Its storage class is the mounts'.
func s3Config(s config.Store) s3.Config {
	c := s3.Config{
		Bucket: s.Bucket, Region: s.Region, Endpoint: s.Endpoint, PathStyle: s.PathStyle, Checksum: s.Checksum,
		AccessKey: s.AccessKey, SecretKey: string(s.SecretKey), SessionToken: string(s.SessionToken), Profile: s.Profile,
		CAFile: s.CAFile, Proxy: string(s.Proxy), Tries: s.Tries, Timeout: s.Timeout,
		Protection: s3.Protection{
			Encryption: s.Encryption, KMSKey: s.KMSKey, BucketKey: s.BucketKey, CustomerKey: string(s.CustomerKey),
			LockMode: s.Lock.Mode, LockDays: s.Lock.Days, LegalHold: s.Lock.LegalHold, Tags: s.Tags, ACL: s.ACL, RequesterPays: s.RequesterPays,
			BucketOwner: s.BucketOwner,
		},
	}
	if s.AssumeRole.Given() && !s.AssumeRole.PerUser() {
		c.Role = s3Role(s.AssumeRole)
	}
	return c
}
