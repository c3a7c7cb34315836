package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"sluice/protocol/auth"
)

// Load reads and checks a file. Its error is Problems, or says that the file cannot be read.
func Load(file string) (*Config, error) {
	sources := Sources{}
	data, err := sources.read(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration file %s: %w", file, reason(err))
	}
	d := decoder{file: file, dir: filepath.Dir(file), places: map[string]*token.Position{}, anchors: map[string]ast.Node{}, sources: sources}
	c := Default()
	listen := c.Listen
	c.Listen.Explicit, c.Listen.Implicit = nil, nil // one list given, the other is empty
	d.decode(data, c)
	if len(c.Listen.Explicit)+len(c.Listen.Implicit) == 0 {
		c.Listen.Explicit, c.Listen.Implicit = listen.Explicit, listen.Implicit
	}
	if len(d.problems) == 0 { // what could not be read would look as if it were missing
		k := checker{Config: c, decoder: &d}
		k.check()
	}
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, d.problems
	}
	c.complete(d.dir)
	c.Sources = sources
	return c, nil
}

// complete works profiles into users and joins paths to the folder of the file.
func (c *Config) complete(dir string) {
	for i := range c.TLS.Certificates {
		cert := &c.TLS.Certificates[i]
		cert.Cert, cert.Key = inside(dir, cert.Cert), inside(dir, cert.Key)
	}
	if c.TLS.ClientCA != "" {
		c.TLS.ClientCA = inside(dir, c.TLS.ClientCA)
	}
	for i, file := range c.TLS.ClientCRLs {
		c.TLS.ClientCRLs[i] = inside(dir, file)
	}
	for name, s := range c.Stores {
		if s.Type == "file" {
			s.Path = inside(dir, s.Path)
		}
		if s.CAFile != "" {
			s.CAFile = inside(dir, s.CAFile)
		}
		if s.CredentialsFile != "" {
			s.CredentialsFile = inside(dir, s.CredentialsFile)
		}
		c.Stores[name] = s
	}
	for i := range c.Users {
		u := &c.Users[i]
		u.extend(c.Profiles[u.Profile])
		if u.CloseNotify == "" {
			u.CloseNotify = c.TLS.CloseNotify
		}
	}
}

// extend takes over from the profile what the user does not say, and puts the user's names into their canonical form.
func (u *User) extend(p Profile) {
	if u.Mounts == nil {
		u.Mounts = p.Mounts
	}
	if u.From == nil {
		u.From = p.From
	}
	if u.CloseNotify == "" {
		u.CloseNotify = p.CloseNotify
	}
	u.Encoding, u.Mainframe = cmp.Or(u.Encoding, p.Encoding), cmp.Or(u.Mainframe, p.Mainframe)
	l, d := &u.Limits, p.Limits
	l.Sessions = first(l.Sessions, d.Sessions)
	l.Transfers = first(l.Transfers, d.Transfers)
	l.FileBytes = first(l.FileBytes, d.FileBytes)
	l.BytesPerSecond = first(l.BytesPerSecond, d.BytesPerSecond)
	l.DailyBytes = first(l.DailyBytes, d.DailyBytes)
	u.Certificate.SHA256 = strings.ToLower(strings.ReplaceAll(u.Certificate.SHA256, ":", ""))
	u.Certificate.Name = auth.CanonicalName(u.Certificate.Name)
	u.Mounts = slices.Clone(u.Mounts)
	for i := range u.Mounts {
		u.Mounts[i].Prefix = withUser(u.Mounts[i].Prefix, u.Name)
	}
}

func first[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}
