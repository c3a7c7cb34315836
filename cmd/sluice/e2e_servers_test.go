//go:build e2e

package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// peer is an FTPS server that serves a directory to one user.
type peer struct {
	name string
	port int
	user string
	home string
	cwd  string // where the probes begin, if it is not the user's root
	ca   string
}

// debian is where the Makefile unpacks the servers of Debian.
const debian = "../../.tools/ftpservers"

// servant is whom the servers of Debian serve files as: the user "daemon", who has a home everywhere. They want to be started by root.
const servant = 1

// peers starts the servers of Debian and ours. Each lets its user in with password over explicit FTPS, and without TLS too where
// that is a setting of its own; nothing else is changed from how they come.
func peers(t *testing.T) []*peer {
	t.Helper()
	d := start(t, nil, forgiving, adding("transfer: {resume: 0s}")) // no other server has that
	must(t, os.MkdirAll(d.data, 0o755))
	ours := &peer{name: "sluice", port: d.explicit, user: user, home: d.data, ca: d.ca}
	return []*peer{proftpd(t), vsftpd(t), pureftpd(t), ours}
}

// newPeer prepares a directory with certificate.
func newPeer(t *testing.T, name string) (p *peer, dir string, passive int) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755)) // the server's user has to pass
	ports := freePorts(t, 9)
	p = &peer{name: name, port: ports[0], user: user, home: filepath.Join(dir, "home"), ca: certificate(t, dir)}
	must(t, os.Mkdir(p.home, 0o755))
	must(t, os.Chown(p.home, servant, servant))
	return p, dir, ports[1]
}

// launch runs a server until the test ends.
func (p *peer) launch(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	root, err := filepath.Abs(debian)
	must(t, err)
	bin := filepath.Join(root, "usr/sbin", program)
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v: run `make tools`", err)
	}
	log := &syncBuffer{}
	cmd := exec.Command(bin, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = []string{"LD_LIBRARY_PATH=" + filepath.Join(root, "usr/lib/x86_64-linux-gnu"), "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", p.name, log)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %v\n%s", p.name, err, log)
		}
	}
}

func proftpd(t *testing.T) *peer {
	t.Helper()
	p, dir, passive := newPeer(t, "proftpd")
	root, err := filepath.Abs(debian)
	must(t, err)
	hashed := strings.TrimSpace(run(t, exec.Command(tool(t, "openssl"), "passwd", "-6", password)))
	must(t, os.WriteFile(filepath.Join(dir, "passwd"), fmt.Appendf(nil, "%s:%s:%d:%d::%s:/bin/sh\n", user, hashed, servant, servant, p.home), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "conf"), fmt.Appendf(nil, `ServerType standalone
ServerName probe
DefaultAddress 127.0.0.1
Port %[1]d
UseIPv6 off
UseReverseDNS off
User nobody
Group nogroup
ModulePath %[4]s/usr/lib/proftpd
LoadModule mod_tls.c
PidFile %[3]s/pid
ScoreboardFile %[3]s/scoreboard
DelayEngine off
WtmpLog off
TransferLog none
SystemLog none
AuthOrder mod_auth_file.c
AuthUserFile %[3]s/passwd
RequireValidShell off
DefaultRoot ~
AllowOverwrite on
PassivePorts %[2]d %[5]d
<IfModule mod_tls.c>
TLSEngine on
TLSRequired off
TLSECCertificateFile %[3]s/cert.pem
TLSECCertificateKeyFile %[3]s/key.pem
TLSProtocol TLSv1.2 TLSv1.3
</IfModule>
`, p.port, passive, dir, root, passive+7), 0o600))
	p.launch(t, dir, "proftpd", "-n", "-c", filepath.Join(dir, "conf"))
	return p
}

// vsftpd knows users of the system and anonymous ones only, so it serves these. Their root must not be writable, so the directory
// lies below it.
func vsftpd(t *testing.T) *peer {
	t.Helper()
	p, dir, passive := newPeer(t, "vsftpd")
	p.user, p.cwd = "ftp", "/home"
	must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "conf"), fmt.Appendf(nil, `listen=YES
background=NO
listen_address=127.0.0.1
listen_port=%[1]d
pasv_min_port=%[2]d
pasv_max_port=%[4]d
anonymous_enable=YES
local_enable=NO
ftp_username=daemon
anon_root=%[3]s
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_world_readable_only=NO
anon_umask=022
secure_chroot_dir=%[3]s/empty
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
xferlog_enable=NO
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=NO
force_anon_data_ssl=NO
ssl_ciphers=HIGH
rsa_cert_file=%[3]s/cert.pem
rsa_private_key_file=%[3]s/key.pem
`, p.port, passive, dir, passive+7), 0o600))
	p.launch(t, dir, "vsftpd", filepath.Join(dir, "conf"))
	return p
}

func pureftpd(t *testing.T) *peer {
	t.Helper()
	p, dir, passive := newPeer(t, "pure-ftpd")
	var both []byte
	for _, name := range []string{"key.pem", "cert.pem"} {
		pem, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		both = append(both, pem...)
	}
	must(t, os.WriteFile(filepath.Join(dir, "both.pem"), both, 0o600))
	root, err := filepath.Abs(debian)
	must(t, err)
	hashed := strings.TrimSpace(run(t, exec.Command(tool(t, "openssl"), "passwd", "-6", password)))
	must(t, os.WriteFile(filepath.Join(dir, "passwd"), fmt.Appendf(nil, "%s:%s:%d:%d::%s/./::::::::::::\n", user, hashed, servant, servant, p.home), 0o600))
	pw := exec.Command(filepath.Join(root, "usr/bin/pure-pw"), "mkdb", filepath.Join(dir, "users.pdb"), "-f", filepath.Join(dir, "passwd"))
	pw.Env = []string{"LD_LIBRARY_PATH=" + filepath.Join(root, "usr/lib/x86_64-linux-gnu")}
	run(t, pw)
	p.launch(t, dir, "pure-ftpd", "-S", "127.0.0.1,"+strconv.Itoa(p.port), "-l", "puredb:"+filepath.Join(dir, "users.pdb"), "-A", "-E", "-H", "-u", "1",
		"-Y", "1", "-2", filepath.Join(dir, "both.pem"), "-p", fmt.Sprintf("%d:%d", passive, passive+7), "-g", filepath.Join(dir, "pid"))
	return p
}
