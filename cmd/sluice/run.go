package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"sluice/backend/transfer"
	"sluice/cmd/sluice/internal/admin"
	"sluice/cmd/sluice/internal/certs"
	"sluice/cmd/sluice/internal/config"
	"sluice/cmd/sluice/internal/identity"
	"sluice/cmd/sluice/internal/logs"
	"sluice/protocol"
	"sluice/protocol/dataconn"
)

// options of serve that no configuration file holds.
type options struct {
	Log         *slog.Logger
	Grace       time.Duration                  // for transfers that run when ctx ends
	Reload      <-chan os.Signal               // each value calls Load, whatever has changed; nil: never
	Load        func() (*config.Config, error) // the configuration anew
	Poll        time.Duration                  // how often to look whether its files have changed; 0: never
	PassiveHost string                         // address of the passive ports; empty: all
	Ready       func()                         // called once, when everything listens; may be nil
}

// serve serves as cfg says until ctx ends, which is no error. It returns one where it could not start, or where a listener
// broke.
func serve(ctx context.Context, cfg *config.Config, opts options) (err error) {
	log := opts.Log
	var ready atomic.Bool
	defer func(ctx context.Context) {
		if ctx.Err() != nil && !ready.Load() {
			err = nil // told to stop before it had begun
		}
	}(ctx)
	registry := newRegistry()
	health, err := serveHealth(ctx, cfg.Admin.Listen, &ready, registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, health.Close()) }()

	certificates, err := certs.Load(cfg.TLS, log)
	if err != nil {
		return err
	}
	meta := newCache(cfg.Cache)
	stores, closeStores, err := openStores(ctx, cfg, meta, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStores()) }()
	budget := newBudget(int64(cfg.Transfer.Memory.Bytes))
	defer leaveRoom(budget)()
	engine := transfer.New(transfer.Config{Budget: budget})
	registry.MustRegister(metrics{meta, engine})
	users, err := newUsers(cfg, stores, engine)
	if err != nil {
		return err
	}
	driver := identity.New(log)
	driver.Set(users, exempt(cfg))

	pasv := newAdvertised(cfg.Passive)
	if err := pasv.check(ctx); err != nil {
		return err
	}
	passive, err := dataconn.Listen(ctx, dataconn.Config{
		Host:      opts.PassiveHost,
		FirstPort: cfg.Passive.Ports.First,
		LastPort:  cfg.Passive.Ports.Last,
		Match:     matches[cfg.Passive.Match],
		Logger:    log,

		HandshakeTimeout: cfg.Timeouts.Handshake,
		PortTimeout:      cfg.Timeouts.Port,
		Listen: func(_, address string) (net.Listener, error) {
			l, err := listen(ctx, address)
			if err != nil {
				return nil, err
			}
			return behind(cfg.ProxyProtocol, l), nil
		},
	})
	if err != nil {
		return fmt.Errorf("passive.ports: %w", err)
	}
	defer func() { err = errors.Join(err, passive.Close()) }()

	server, err := protocol.New(ctx, protocol.Config{
		Driver:     driver,
		TLS:        certificates.TLS,
		Passive:    passive,
		Address:    pasv.For,
		AllowPlain: !cfg.TLS.Required,
		Active:     dialer(cfg),
		CCC:        ccc[cfg.TLS.CCC],
		NoDeflate:  !cfg.Transfer.Compression,
		Logger:     log,

		MaxSessions:    cfg.Listen.Sessions,
		ClearGreeting:  cfg.Listen.ClearGreeting,
		LoginTimeout:   cfg.Timeouts.Login,
		IdleTimeout:    cfg.Timeouts.Idle,
		ConnectTimeout: cfg.Timeouts.Connect,
		StallTimeout:   cfg.Timeouts.Stall,
	})
	if err != nil {
		return err
	}
	stop := recoverRenames(ctx, stores, engine, log)
	defer stop()
	listeners, err := openListeners(ctx, cfg)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		log.InfoContext(ctx, "listening", logs.Address, l.Addr().String(), logs.Mode, l.name)
		group.Go(func() error { return server.Serve(l, l.mode) }) //nolint:contextcheck // sessions end with Shutdown, not with ctx
	}
	group.Go(func() error {
		sweepUploads(ctx, stores, engine, log)
		return nil
	})
	ready.Store(true)
	log.InfoContext(ctx, "ready", logs.Version, release(), logs.Passive, cfg.Passive.Ports.String(), logs.Users, len(users))
	if opts.Ready != nil {
		opts.Ready()
	}

	follow(ctx, cfg, opts, func() (*config.Config, error) { return reload(opts.Load, stores, engine, certificates, driver) })
	log.InfoContext(ctx, "stopping", logs.Grace, opts.Grace)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), opts.Grace)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		log.WarnContext(ctx, "transfers were cut: the grace was over", logs.Error, err)
	}
	err = group.Wait()
	log.InfoContext(ctx, "stopped")
	return err
}

// matches are the values of passive.match.
var matches = map[string]dataconn.Match{
	"auto": dataconn.MatchAuto, "adaptive": dataconn.MatchAdaptive, "require": dataconn.MatchRequire, "ip": dataconn.MatchIP, "off": dataconn.MatchOff,
}

// ccc are the values of tls.ccc.
var ccc = map[string]protocol.CCC{"rfc4217": protocol.CCCRFC4217, "draft": protocol.CCCDraft, "nonotify": protocol.CCCNoNotify}

// dialer opens data connections to clients, where that is allowed.
func dialer(cfg *config.Config) *dataconn.Dialer {
	if !cfg.Active {
		return nil
	}
	return &dataconn.Dialer{HandshakeTimeout: cfg.Timeouts.Handshake}
}

// listener is one control listener.
type listener struct {
	net.Listener
	mode protocol.Mode
	name string
}

// openListeners opens all of them or none.
func openListeners(ctx context.Context, cfg *config.Config) (all []listener, err error) {
	open := func(addresses []string, mode protocol.Mode, name string) {
		for _, a := range addresses {
			if err != nil {
				return
			}
			var l net.Listener
			if l, err = listen(ctx, a); err == nil {
				all = append(all, listener{behind(cfg.ProxyProtocol, l), mode, name})
			}
		}
	}
	open(cfg.Listen.Explicit, protocol.Explicit, "explicit")
	open(cfg.Listen.Implicit, protocol.Implicit, "implicit")
	if err != nil {
		for _, l := range all {
			_ = l.Close()
		}
		return nil, err
	}
	return all, nil
}

// serveHealth answers health checks and shows metrics; an empty address opens nothing.
func serveHealth(ctx context.Context, address string, ready *atomic.Bool, metrics prometheus.Gatherer) (*health, error) {
	h := &health{server: admin.Server(ready.Load, metrics), done: make(chan error, 1)}
	if address == "" {
		h.done <- http.ErrServerClosed
		return h, nil
	}
	l, err := listen(ctx, address)
	if err != nil {
		return nil, err
	}
	go func() { h.done <- h.server.Serve(l) }()
	return h, nil
}

// health is the admin listener while it runs.
type health struct {
	server *http.Server
	done   chan error
}

// Close ends it and waits.
func (h *health) Close() error {
	err := h.server.Close()
	if served := <-h.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
