package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"golang.org/x/text/encoding/charmap"

	"sluice/backend"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
	"sluice/cmd/sluice/internal/certs"
	"sluice/cmd/sluice/internal/config"
	"sluice/cmd/sluice/internal/identity"
	"sluice/protocol/codec"
	"sluice/protocol/wire"
)

// newUsers makes the users of a configuration, each with a tree of its own over the stores.
func newUsers(cfg *config.Config, stores map[string]backend.Store, engine *transfer.Engine) ([]identity.User, error) {
	var users []identity.User
	for _, u := range cfg.Users {
		tree, err := newTree(u, cfg, stores, engine)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Name, err)
		}
		names, err := wire.ParseCharset(u.Encoding)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Name, err)
		}
		var page *charmap.Charmap
		if u.Mainframe != "" {
			if page, err = codec.Page(u.Mainframe); err != nil {
				return nil, fmt.Errorf("user %s: %w", u.Name, err)
			}
		}
		users = append(users, identity.User{
			Name:        u.Name,
			Password:    u.Password.Digest,
			Certificate: cmp.Or(u.Certificate.SHA256, u.Certificate.Name),
			Either:      u.Certificate.Require == "either",
			From:        config.Prefixes(u.From),
			Lenient:     u.CloseNotify == "lenient",
			Names:       names,
			Mainframe:   page,
			FS:          tree,
			Limits: identity.Limits{
				Sessions:       value(u.Limits.Sessions),
				Transfers:      value(u.Limits.Transfers),
				FileBytes:      int64(value(u.Limits.FileBytes)),
				BytesPerSecond: int64(value(u.Limits.BytesPerSecond)),
				DailyBytes:     int64(value(u.Limits.DailyBytes)),
			},
		})
	}
	return users, nil
}

func newTree(u config.User, cfg *config.Config, stores map[string]backend.Store, engine *transfer.Engine) (*vfs.Tree, error) {
	var mounts []vfs.Mount
	for _, m := range u.Mounts {
		rights, err := config.ParseRights(m.Rights)
		if err != nil {
			return nil, fmt.Errorf("mount %s: rights %w", m.Path, err)
		}
		conflict, err := config.ParseConflict(m.OnConflict)
		if err != nil {
			return nil, fmt.Errorf("mount %s: onConflict %w", m.Path, err)
		}
		store, ok := stores[m.Store]
		if !ok { // after a reload
			return nil, fmt.Errorf("the store %s is new: it can be used after a restart", m.Store)
		}
		if store, err = seenBy(store, u.Name, m.AssumeRole); err != nil {
			return nil, fmt.Errorf("mount %s: %w", m.Path, err)
		}
		mounts = append(mounts, vfs.Mount{
			Path: m.Path, Store: store, Prefix: m.Prefix, Rights: rights, OnConflict: conflict,
			StorageClass: cmp.Or(m.StorageClass, cfg.Stores[m.Store].StorageClass, cfg.Stores[m.Store].AccessTier),
		})
	}
	return vfs.New(vfs.Config{Mounts: mounts, Engine: engine, User: u.Name, Resume: cfg.Transfer.Resume, RenameLimit: cfg.Transfer.RenameLimit})
}

// exempt returns the networks that are never banned.
func exempt(cfg *config.Config) []netip.Prefix {
	return slices.Concat(config.Prefixes(cfg.Throttle.Exempt), config.Prefixes(cfg.ProxyProtocol.Trusted))
}

// reload reads the configuration again and puts its users, limits and certificates into use: all of it, or on any error
// nothing.
func reload(load func() (*config.Config, error), stores map[string]backend.Store, engine *transfer.Engine, certificates *certs.Source, driver *identity.Driver) (*config.Config, error) {
	next, err := load()
	if err != nil {
		return nil, err
	}
	set, err := certs.Read(next.TLS)
	if err != nil {
		return nil, err
	}
	users, err := newUsers(next, stores, engine)
	if err != nil {
		return nil, err
	}
	certificates.Use(set)
	driver.Set(users, exempt(next))
	return next, nil
}

// restartOnly returns the keys in which next differs from what runs although a reload cannot change them.
func restartOnly(running, next *config.Config) (keys []string) {
	later := next.Transfer
	later.Resume, later.RenameLimit = running.Transfer.Resume, running.Transfer.RenameLimit // users have them
	for key, same := range map[string]bool{
		"listen":        reflect.DeepEqual(running.Listen, next.Listen),
		"passive":       reflect.DeepEqual(running.Passive, next.Passive),
		"active":        running.Active == next.Active,
		"timeouts":      running.Timeouts == next.Timeouts,
		"tls.ccc":       running.TLS.CCC == next.TLS.CCC,
		"proxyProtocol": reflect.DeepEqual(running.ProxyProtocol, next.ProxyProtocol),
		"tls.required":  running.TLS.Required == next.TLS.Required,
		"stores":        reflect.DeepEqual(running.Stores, next.Stores),
		"cache":         running.Cache == next.Cache,
		"transfer":      running.Transfer == later,
		"admin":         running.Admin == next.Admin,
	} {
		if !same {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// value is what p points to; nothing is 0.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
