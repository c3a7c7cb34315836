package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/internal/certs"
	"sluice/cmd/sluice/internal/config"
	"sluice/cmd/sluice/internal/logs"
	"sluice/protocol/auth"
)

// demo is what its flags say.
type demo struct {
	dir      string
	address  string
	explicit int
	implicit int
	passive  config.Ports
}

func demoCommand() *cobra.Command {
	d := demo{passive: config.Default().Passive.Ports}
	level := slog.LevelWarn
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Serve a directory with a fresh certificate and password, without any configuration",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return d.run(ctx, cmd.OutOrStdout(), logs.New(cmd.ErrOrStderr(), level))
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.dir, "dir", "./sluice-data", "`directory` of the files and the certificate; made if missing")
	f.StringVar(&d.address, "address", "127.0.0.1", "`address` to listen on; 0.0.0.0 lets other machines in")
	f.IntVar(&d.explicit, "explicit", 2121, "`port` for explicit FTPS; 0 takes a free one")
	f.IntVar(&d.implicit, "implicit", 2990, "`port` for implicit FTPS; 0 takes a free one")
	f.TextVar(&d.passive, "passive", d.passive, "`ports` for passive data connections")
	f.TextVar(&level, "log-level", level, "debug, info, warn or error")
	return cmd
}

func (d demo) run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return fmt.Errorf("directory of the demo: %w", err)
	}
	ip := net.ParseIP(d.address)
	if ip == nil {
		return fmt.Errorf("--address %s is not an IP address such as 127.0.0.1 or 0.0.0.0", d.address)
	}
	host := "localhost" // that the lines to paste name
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if !ip.IsLoopback() && !ip.IsUnspecified() {
		host = d.address
		hosts = append(hosts, host)
	}
	if name, err := os.Hostname(); err == nil && name != "localhost" {
		hosts = append(hosts, name)
	}
	cert, ca, err := certs.Make(filepath.Join(dir, "tls"), hosts)
	if err != nil {
		return fmt.Errorf("%w; choose another directory with --dir", err)
	}
	for _, port := range []*int{&d.explicit, &d.implicit} {
		if *port, err = d.free(ctx, *port); err != nil {
			return err
		}
	}
	password := strings.ToLower(rand.Text())
	hash, err := auth.Parse(auth.Hash([]byte(password)))
	if err != nil {
		return err
	}
	cfg := config.Default()
	cfg.Listen.Explicit = []string{d.join(d.explicit)}
	cfg.Listen.Implicit = []string{d.join(d.implicit)}
	cfg.Passive.Ports = d.passive
	cfg.TLS.Certificates = []config.Certificate{cert}
	cfg.Stores = map[string]config.Store{"files": {Type: "file", Path: filepath.Join(dir, "files")}}
	cfg.Users = []config.User{{
		Name: "demo", Password: config.Hash{Digest: hash}, CloseNotify: cfg.TLS.CloseNotify,
		Mounts: []config.Mount{{Path: "/", Store: "files"}},
	}}
	return serve(ctx, cfg, options{
		Log: log, Grace: 10 * time.Second, PassiveHost: d.address,
		Ready: func() { d.explain(out, dir, ca, password, host) },
	})
}

func (d demo) join(port int) string { return net.JoinHostPort(d.address, strconv.Itoa(port)) }

// free returns port, or for 0 one that is free.
func (d demo) free(ctx context.Context, port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	l, err := listen(ctx, d.join(0))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// explanation begins with what the user needs to know and goes on with lines that work as they are.
var explanation = template.Must(template.New("").Parse(`Sluice serves {{.Dir}}

  user      demo
  password  {{.Password}}  (new at every start)
  trust     {{.CA}}

Paste into another shell:

  curl {{.Curl}} -T {{.CA}} ftp://{{.Explicit}}/upload/ca.crt --ftp-create-dirs
  curl {{.Curl}} ftp://{{.Explicit}}/upload/
  curl {{.Curl}} ftp://{{.Explicit}}/upload/ca.crt
  curl {{.Curl}} ftps://{{.Implicit}}/upload/

  lftp -u demo,{{.Password}} -e {{.Commands}} ftp://{{.Explicit}}

Ctrl+C stops it.
`))

func (d demo) explain(out io.Writer, dir, ca, password, host string) {
	glob := ""
	if strings.ContainsAny(ca, "[]{}") {
		glob = "-g " // curl takes them for patterns in the name of what it uploads
	}
	_ = explanation.Execute(out, map[string]any{
		"Dir": filepath.Join(dir, "files"), "Password": password, "CA": quote(ca),
		"Explicit": net.JoinHostPort(host, strconv.Itoa(d.explicit)), "Implicit": net.JoinHostPort(host, strconv.Itoa(d.implicit)),
		"Curl": glob + "--ssl-reqd --cacert " + quote(ca) + " -u demo:" + password,
		"Commands": quote("set ssl:ca-file " + quoteLftp(ca) + "; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; put " + quoteLftp(ca) +
			" -o ca.crt; ls; cat ca.crt; bye"),
	})
}

// quote makes text one word for a shell.
func quote(text string) string {
	if plain(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// quoteLftp makes text one word for lftp.
func quoteLftp(text string) string {
	if plain(text) {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// plain reports whether nothing in text means more than itself to a shell or to lftp.
func plain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("/.-_", r)
	})
}
