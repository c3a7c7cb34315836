package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"sluice/backend"
	"sluice/backend/azure"
	"sluice/backend/breaker"
	"sluice/backend/file"
	"sluice/backend/gcs"
	"sluice/backend/s3"
	"sluice/cache"
	"sluice/cmd/sluice/internal/config"
)

// reachTime is how long a store may take to answer at the start.
const reachTime = 15 * time.Second

// newCache makes the cache in front of all stores.
func newCache(cfg config.Cache) *cache.Cache {
	memory := int64(cfg.Memory)
	if memory == 0 {
		memory = -1 // none, and not the default
	}
	return cache.New(cache.Config{
		Memory: memory, TTL: orNever(cfg.TTL), NegativeTTL: orNever(cfg.NegativeTTL), ListTTL: orNever(min(cfg.TTL, 5*time.Second)),
	})
}

// openStores opens every store of the configuration, makes sure that it answers, and puts the cache before those that are
// reached over a network. The caller closes them by the function that comes with them.
func openStores(ctx context.Context, cfg *config.Config, meta *cache.Cache, log *slog.Logger) (_ map[string]backend.Store, _ func() error, err error) {
	var opened []backend.Store
	closeAll := func() error {
		var errs []error
		for _, s := range opened {
			errs = append(errs, closeStore(s))
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	stores := map[string]backend.Store{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Stores)) {
		s := cfg.Stores[name]
		store, err := openStore(ctx, name, s, cfg.Transfer.Resume, breaker.New(breaker.Config{Store: name, Logger: log}))
		if err != nil {
			return nil, nil, err
		}
		opened = append(opened, store)
		if !s.AssumeRole.PerUser() { // otherwise nobody can know whether a user's role may do it
			if err := reach(ctx, name, s, store); err != nil {
				return nil, nil, err
			}
		}
		wrap := func(name string, store backend.Store) backend.Store {
			if s.Type == "file" || cfg.Cache.Memory == 0 {
				return store
			}
			return meta.Wrap(name, store)
		}
		stores[name] = wrap(name, store)
		if base, ok := store.(*s3.Store); ok {
			stores[name] = &assumable{Store: stores[name], name: name, base: base, own: s.AssumeRole, wrap: wrap, views: map[string]backend.Store{}}
		}
	}
	return stores, closeAll, nil
}

// closeStore closes a store that holds something open.
func closeStore(s backend.Store) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// orNever turns the configuration's 0, not to keep anything, into the cache's.
func orNever(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return -1
	}
	return ttl
}

// openStore opens one store. That alone asks it nothing. Uploads that were cut off can be resumed for as long as resume says. The
// breaker, which may be nil, stands before stores that are reached over a network.
func openStore(ctx context.Context, name string, s config.Store, resume time.Duration, b *breaker.Breaker) (store backend.Store, err error) {
	switch s.Type {
	case "file":
		store, err = file.Open(ctx, file.Config{Path: s.Path, Keep: keep(resume)})
	case "s3":
		c := s3Config(s)
		c.Name, c.Breaker = name, b
		store, err = s3.Open(ctx, c)
	case "gcs":
		c := gcsConfig(s)
		c.Name, c.Breaker = name, b
		store, err = gcs.Open(ctx, c)
	case "azure":
		store, err = azure.Open(ctx, azure.Config{
			Name: name, Breaker: b, Tries: s.Tries, Timeout: s.Timeout,
			Account: s.Account, Container: s.Container, Endpoint: s.Endpoint,
			AccountKey: string(s.AccountKey), SAS: string(s.SAS), ConnectionString: string(s.ConnectionString),
			AccessTier: s.AccessTier, EncryptionKey: string(s.EncryptionKey), EncryptionScope: s.EncryptionScope,
			Protection: azure.Protection{LockMode: s.Lock.Mode, LockDays: s.Lock.Days, LegalHold: s.Lock.LegalHold, Tags: s.Tags},
		})
	default:
		err = fmt.Errorf("unknown type %s", s.Type)
	}
	if err != nil {
		return nil, explain(name, s, "open", err)
	}
	return store, nil
}

// keep is for how long a file store keeps uploads of processes that are gone: somewhat longer than the records of those that
// can be resumed, whose sweeper ends them properly. It ends the others alone.
func keep(resume time.Duration) time.Duration {
	if resume <= 0 {
		return -1
	}
	return resume + time.Hour
}

// gcsConfig is how a store of type gcs is reached. As in Google's own libraries, STORAGE_EMULATOR_HOST names an emulator, which wants no
// credentials.
func gcsConfig(s config.Store) gcs.Config {
	c := gcs.Config{
		Bucket: s.Bucket, Endpoint: s.Endpoint, CredentialsFile: s.CredentialsFile, Anonymous: s.Anonymous, UserProject: s.UserProject,
		StorageClass: s.StorageClass, KMSKey: s.KMSKey, CustomerKey: string(s.CustomerKey), Tries: s.Tries, Timeout: s.Timeout,
		Protection: gcs.Protection{ACL: s.ACL, LockMode: s.Lock.Mode, LockDays: s.Lock.Days, Hold: s.Lock.Hold},
	}
	if host := os.Getenv("STORAGE_EMULATOR_HOST"); host != "" && c.Endpoint == "" {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		c.Endpoint, c.Anonymous, c.CredentialsFile = host, true, ""
	}
	return c
}

// reach asks the store whether it is there, or else for a first row.
func reach(ctx context.Context, name string, s config.Store, store backend.Store) error {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	if c, ok := store.(interface{ Check(context.Context) error }); ok {
		if err := c.Check(ctx); err != nil {
			return fmt.Errorf("store %s: %w", name, err)
		}
		return nil
	}
	for _, err := range store.List(ctx, "", backend.ListOptions{Limit: 1}) {
		if err != nil {
			return explain(name, s, "list", err)
		}
		break
	}
	return nil
}

// explain turns an error of a store into a sentence that says what to do. verb is what was tried.
func explain(name string, s config.Store, verb string, err error) error {
	where := s.Path
	switch s.Type {
	case "s3", "gcs":
		where = "bucket " + s.Bucket
	case "azure":
		where = "container " + s.Container
		if s.Account != "" {
			where += " of " + s.Account
		}
	}
	if s.Endpoint != "" {
		where += " at " + s.Endpoint
	}
	advice := "correct its configuration"
	switch {
	case errors.Is(err, backend.ErrNotExist):
		advice = "create it, or correct the name"
	case errors.Is(err, backend.ErrPermission):
		advice = "check the keys and what they are allowed to do"
	case errors.Is(err, backend.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		advice = "check the endpoint and the network"
	}
	return &storeError{text: fmt.Sprintf("store %s (%s): cannot %s: %s; %s", name, where, verb, core(err), advice), err: err}
}

// storeError has a text of its own, and is still what it was made of.
type storeError struct {
	text string
	err  error
}

func (e *storeError) Error() string { return e.text }
func (e *storeError) Unwrap() error { return e.err }

// core returns the part of an SDK's error that a reader can use, in one line and without secrets.
func core(err error) string { return backend.Redact(strings.Join(strings.Fields(said(err)), " ")) }

// said is what the store said, or what the network said.
func said(err error) string {
	var api interface {
		ErrorCode() string
		ErrorMessage() string
	}
	if errors.As(err, &api) {
		if m := api.ErrorMessage(); m != "" {
			return api.ErrorCode() + ": " + m
		}
		return api.ErrorCode()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Error()
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.Error()
	}
	return err.Error()
}
