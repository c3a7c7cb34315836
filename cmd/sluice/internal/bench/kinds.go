package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sluice/cmd/sluice/internal/bench/load"
	"sluice/protocol/auth"
)

// kinds are all servers that can be compared, in the order of the tables.
var kinds = []kind{
	{name: "sluice", about: fmt.Sprintf("over the null store, with %s for buffers and 64 MiB for the cache", amount(buffers)), store: true, verb: "MLSD", start: startSluice},
	{name: "vsftpd", about: "on the local disk; an anonymous user, so its logins check no password", verb: "LIST", start: startVsftpd},
	{name: "proftpd", about: "on the local disk", verb: "MLSD", start: startProftpd},
	{name: "rclone", about: "`rclone serve ftp` over the null store. **Its data connections are clear**, so it spares itself the TLS of all others", store: true, verb: "LIST", start: startRclone},
	{name: "raw", about: "no server: the client's parts go straight to the null store, without TLS", store: true, start: startRaw},
}

// buffers is the memory that Sluice is given for what it transfers, in bytes.
const buffers = 256 * mib

func startSluice(ctx context.Context, k kind, at place) (*server, error) {
	first, err := free(ctx, 65) // many sessions that begin at once need a port each, until they have shown that they resume
	if err != nil {
		return nil, err
	}
	file, err := at.file("sluice.yaml", fmt.Sprintf(`listen: {explicit: %q}
passive: {ports: %d-%d}
tls: {certificates: [{cert: %s, key: %s}]}
stores:
  main: {type: s3, bucket: %s, region: us-east-1, endpoint: %q, pathStyle: true, accessKey: key, secretKey: secret}
users:
  - {name: %s, password: %q, mounts: [{path: /, store: main}], limits: {sessions: 0, transfers: 0}}
throttle: {exempt: [127.0.0.0/8]}
transfer: {memory: %d}
`, address(first), first+1, first+64, at.cert, at.key, bucket, at.store, user, auth.Hash([]byte(password)), buffers))
	if err != nil {
		return nil, err
	}
	return run(ctx, k, at, first, load.Target{}, at.opts.sluice, "serve", "--config", file)
}

func startVsftpd(ctx context.Context, k kind, at place) (*server, error) {
	first, err := free(ctx, 400)
	if err != nil {
		return nil, err
	}
	empty := filepath.Join(at.dir, "empty")
	if err := os.MkdirAll(empty, 0o755); err != nil { //nolint:gosec // vsftpd wants to enter it as another user
		return nil, err
	}
	file, err := at.file("vsftpd.conf", fmt.Sprintf(`listen=YES
listen_port=%d
listen_address=127.0.0.1
background=NO
anonymous_enable=YES
local_enable=NO
ftp_username=daemon
nopriv_user=nobody
no_anon_password=NO
anon_root=%s
secure_chroot_dir=%s
write_enable=YES
anon_upload_enable=YES
anon_other_write_enable=YES
anon_umask=022
anon_world_readable_only=NO
seccomp_sandbox=NO
max_clients=0
max_per_ip=0
xferlog_enable=NO
dual_log_enable=NO
pasv_min_port=%d
pasv_max_port=%d
ssl_enable=YES
allow_anon_ssl=YES
force_anon_data_ssl=YES
force_anon_logins_ssl=YES
ssl_ciphers=HIGH
require_ssl_reuse=YES
rsa_cert_file=%s
rsa_private_key_file=%s
`, first, at.data, empty, first+1, first+399, at.cert, at.key))
	if err != nil {
		return nil, err
	}
	return run(ctx, k, at, first, load.Target{User: "anonymous", Password: "bench@"}, filepath.Join(at.opts.refs, "usr/sbin/vsftpd"), file)
}

func startProftpd(ctx context.Context, k kind, at place) (*server, error) {
	first, err := free(ctx, 400)
	if err != nil {
		return nil, err
	}
	hash, err := exec.CommandContext(ctx, "openssl", "passwd", "-6", password).Output()
	if err != nil {
		return nil, fmt.Errorf("openssl passwd: %w", err)
	}
	users, err := at.file("proftpd.users", fmt.Sprintf("%s:%s:1:1::%s:/bin/sh\n", user, strings.TrimSpace(string(hash)), at.data))
	if err != nil {
		return nil, err
	}
	file, err := at.file("proftpd.conf", fmt.Sprintf(`ModulePath %s
LoadModule mod_tls.c
ServerName bench
ServerType standalone
DefaultAddress 127.0.0.1
DefaultServer on
SocketBindTight on
UseIPv6 off
Port %d
PassivePorts %d %d
User daemon
Group daemon
MaxInstances none
PidFile %s/proftpd.pid
ScoreboardFile none
ControlsEngine off
DelayEngine off
WtmpLog off
TransferLog none
AuthOrder mod_auth_file.c
AuthUserFile %s
RequireValidShell off
AllowOverwrite on
TLSEngine on
TLSRequired on
TLSProtocol TLSv1.3
TLSECCertificateFile %s
TLSECCertificateKeyFile %s
TLSVerifyClient off
TLSSessionTickets on
`, filepath.Join(at.opts.refs, "usr/lib/proftpd"), first, first+1, first+399, at.dir, users, at.cert, at.key))
	if err != nil {
		return nil, err
	}
	return run(ctx, k, at, first, load.Target{}, filepath.Join(at.opts.refs, "usr/sbin/proftpd"), "-n", "-c", file)
}

func startRclone(ctx context.Context, k kind, at place) (*server, error) {
	first, err := free(ctx, 400)
	if err != nil {
		return nil, err
	}
	return run(ctx, k, at, first, load.Target{Implicit: true, ClearData: true}, at.opts.rclone,
		"serve", "ftp", ":s3:"+bucket, "--config", os.DevNull, "--addr", address(first), "--passive-port", fmt.Sprintf("%d-%d", first+1, first+399),
		"--user", user, "--pass", password, "--cert", at.cert, "--key", at.key, "--public-ip", "127.0.0.1",
		"--s3-provider", "Other", "--s3-endpoint", at.store, "--s3-access-key-id", "key", "--s3-secret-access-key", "secret", "--s3-region", "us-east-1",
		"--s3-no-check-bucket", "--s3-list-version", "2", "--s3-list-url-encode", "true")
}
