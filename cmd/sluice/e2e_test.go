//go:build e2e

package main_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"sluice/backend/storetest/azurite"
	"sluice/backend/storetest/fakegcs"
	"sluice/backend/storetest/versitygw"
)

// program is the built binary, made once; git ignores where it lies.
var program = sync.OnceValues(func() (string, error) {
	bin, err := filepath.Abs("../../bin/sluice-e2e")
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

func binary(t *testing.T) string {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// tool is the path of a program that a test needs.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: run `make tools`", name)
	}
	return path
}

// daemon is a running `sluice serve`.
type daemon struct {
	place
	t        *testing.T
	dir      string // of its configuration
	data     string // directory of the file store; empty for others
	args     []string
	ca       string // PEM file
	explicit int
	implicit int
	cmd      *exec.Cmd
	log      *syncBuffer
}

const (
	user     = "alice"
	password = "correct horse"
)

// stores runs a test over every kind of store that the program can serve here, at the same time.
func stores(t *testing.T, f func(t *testing.T, d *daemon), edits ...edit) {
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, start(t, edits...))
		})
	}
}

// inTurn runs a test over kinds of store one after the other: what depends on time would not bear company.
func inTurn(t *testing.T, kinds []string, f func(t *testing.T, d *daemon), edits ...edit) {
	for _, name := range kinds {
		t.Run(name, func(t *testing.T) { f(t, starts[name](t, edits...)) })
	}
}

var everywhere = []string{"file", "s3", "gcs"}

// starts run the program on a store of its own, by the kind of store.
var starts = map[string]func(t *testing.T, edits ...edit) *daemon{
	"file": func(t *testing.T, edits ...edit) *daemon { return start(t, nil, edits...) },
	"s3":   func(t *testing.T, edits ...edit) *daemon { return start(t, versitygw.Start(t), edits...) },
	"gcs": func(t *testing.T, edits ...edit) *daemon {
		server := fakegcs.Start(t)
		return startOn(t, place{
			config:  fmt.Sprintf("{type: gcs, bucket: %s, endpoint: %q, anonymous: true}", server.Bucket, server.Endpoint),
			uploads: func() []string { return server.Names(t, ".sluice/parts/") },
			records: func() []string { return server.Names(t, ".sluice/") },
			bytes:   func() int64 { return int64(len(server.Names(t, ".sluice/parts/"))-1) * 8 << 20 },
		}, edits...)
	},
	"azure": func(t *testing.T, edits ...edit) *daemon {
		server := azurite.Start(t)
		key, err := container.NewSharedKeyCredential(server.Account, server.AccountKey)
		must(t, err)
		client, err := container.NewClientWithSharedKeyCredential(server.Endpoint+"/"+server.Container, key, nil)
		must(t, err)
		names := func(prefix string, which container.ListBlobsInclude) (names []string) {
			for pages := client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix, Include: which}); pages.More(); {
				page, err := pages.NextPage(t.Context())
				must(t, err)
				for _, b := range page.Segment.BlobItems {
					names = append(names, *b.Name)
				}
			}
			return names
		}
		uploads := func() []string { // blobs that have nothing but blocks
			committed := names("", container.ListBlobsInclude{})
			return slices.DeleteFunc(names("", container.ListBlobsInclude{UncommittedBlobs: true}), func(n string) bool { return slices.Contains(committed, n) })
		}
		return startOn(t, place{
			config:  fmt.Sprintf("{type: azure, account: %s, container: %s, endpoint: %q, accountKey: %q}", server.Account, server.Container, server.Endpoint, server.AccountKey),
			uploads: uploads,
			records: func() []string { return names(".sluice/", container.ListBlobsInclude{}) },
			bytes: func() (n int64) {
				for _, name := range uploads() {
					blocks, err := client.NewBlockBlobClient(name).GetBlockList(t.Context(), blockblob.BlockListTypeUncommitted, nil)
					must(t, err)
					for _, b := range blocks.UncommittedBlocks {
						n += *b.Size
					}
				}
				return n
			},
		}, edits...)
	},
}

// place is a store, and what can be seen of it behind the program's back.
type place struct {
	config  string          // as the configuration tells it
	uploads func() []string // names what there is of uploads that are not finished
	bytes   func() int64    // of those
	records func() []string // names the objects that the program keeps for itself
}

// edit changes the configuration that a daemon gets.
type edit func(config string) string

// adding puts lines behind it.
func adding(lines string) edit { return func(config string) string { return config + lines + "\n" } }

// start runs the program on the file store, or on an S3 server.
func start(t *testing.T, s3 *versitygw.Gateway, edits ...edit) *daemon {
	t.Helper()
	if s3 == nil {
		data := filepath.Join(t.TempDir(), "data")
		uploads := filepath.Join(data, ".sluice", "uploads")
		d := startOn(t, place{
			config:  "{type: file, path: " + data + "}",
			uploads: func() []string { return versitygw.Files(t, uploads) },
			bytes:   func() int64 { return versitygw.Bytes(t, uploads) },
			records: func() []string { return versitygw.Files(t, filepath.Join(data, ".sluice.dir..sluice")) },
		}, edits...)
		d.data = data
		return d
	}
	return startOn(t, place{
		config: fmt.Sprintf("{type: s3, bucket: %s, region: us-east-1, endpoint: %q, pathStyle: true, accessKey: %s, secretKey: %s}",
			s3.Bucket, s3.Endpoint, s3.AccessKey, s3.SecretKey),
		uploads: func() []string { return s3.Uploads(t) },
		bytes:   func() int64 { return s3.Uploaded(t) },
		records: func() []string { return s3.Objects(t, ".sluice") },
	}, edits...)
}

// startOn runs the program on a store.
func startOn(t *testing.T, store place, edits ...edit) *daemon {
	t.Helper()
	bin := binary(t)
	d := &daemon{t: t, dir: t.TempDir(), place: store, log: &syncBuffer{}}
	d.ca = certificate(t, d.dir)
	ports := freePorts(t, 10)
	d.explicit, d.implicit = ports[0], ports[1]
	hash := exec.Command(bin, "user", "hash")
	hash.Stdin = strings.NewReader(password + "\n")
	hashed, err := hash.Output()
	if err != nil {
		t.Fatalf("user hash: %v", err)
	}
	config := fmt.Sprintf(`listen: {explicit: ["127.0.0.1:%d", "[::1]:%d"], implicit: ["127.0.0.1:%d"]}
passive: {ports: %d-%d}
tls: {certificates: [{cert: %s/cert.pem, key: %s/key.pem}]}
stores:
  main: %s
users:
  - {name: %s, password: %q, mounts: [{path: /, store: main}]}
`, d.explicit, d.explicit, d.implicit, ports[2], ports[9], d.dir, d.dir, store.config, user, strings.TrimSpace(string(hashed)))
	for _, edit := range edits {
		config = edit(config)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "sluice.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	d.serve()
	return d
}

// serve runs the program with the configuration that is there.
func (d *daemon) serve() {
	d.t.Helper()
	d.launch()
	d.wait(d.explicit)
}

// launch is serve for who does not wait until it listens.
func (d *daemon) launch() {
	d.t.Helper()
	d.cmd = exec.Command(binary(d.t), append([]string{"serve", "--config", filepath.Join(d.dir, "sluice.yaml")}, d.args...)...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) wait(port int) {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("the program does not listen: %v\n%s", err, d.log)
		}
	}
}

// stop ends the program as a service manager does, and expects it to end well.
func (d *daemon) stop() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("the program ended badly: %v\n%s", err, d.log)
	}
	if d.t.Failed() {
		d.t.Logf("log of the program:\n%s", d.log)
	}
}

// peak is the largest resident memory that the program has had, in bytes.
func (d *daemon) peak() int64 {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64)
			if err != nil {
				d.t.Fatal(err)
			}
			return n << 10
		}
	}
	d.t.Fatal("no VmHWM")
	return 0
}

// url is the address of a name; implicit FTPS has a scheme of its own.
func (d *daemon) url(implicit bool, name string) string {
	if implicit {
		return fmt.Sprintf("ftps://127.0.0.1:%d/%s", d.implicit, name)
	}
	return fmt.Sprintf("ftp://127.0.0.1:%d/%s", d.explicit, name)
}

// curl runs curl with what it needs to trust the server and to log in.
func (d *daemon) curl(args ...string) *exec.Cmd {
	d.t.Helper()
	return exec.Command(tool(d.t, "curl"), append([]string{"-sS", "--ssl-reqd", "--cacert", d.ca, "-u", user + ":" + password}, args...)...)
}

// lftp runs commands in lftp.
func (d *daemon) lftp(implicit bool, commands string) *exec.Cmd {
	d.t.Helper()
	url := fmt.Sprintf("ftp://127.0.0.1:%d", d.explicit)
	if implicit {
		url = fmt.Sprintf("ftps://127.0.0.1:%d", d.implicit)
	}
	script := fmt.Sprintf("set cmd:fail-exit yes; set net:max-retries 2; set net:timeout 120; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ssl:ca-file %q; open -u %q,%q %s; %s",
		d.ca, user, password, url, commands)
	return exec.Command(tool(d.t, "lftp"), "--norc", "-c", script)
}

// run runs a command and fails the test if it fails.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd.Args, err, out.String(), errs.String())
	}
	return out.String()
}

// certificate writes cert.pem and key.pem for this machine into dir and returns the file to trust.
func certificate(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cert.pem")
}

var (
	portsMutex sync.Mutex
	givenPorts = map[int]bool{} // that some test has got, whether or not its server runs at the moment
)

// freePorts returns n ports in a row below the ephemeral range, free for IPv4 and IPv6, and for nobody else.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	portsMutex.Lock()
	defer portsMutex.Unlock()
	for range 200 {
		b := make([]byte, 2)
		_, _ = rand.Read(b)
		first := 15000 + (int(b[0])<<8|int(b[1]))%16000
		var ports []int
		for p := first; p < first+n && !givenPorts[p]; p++ {
			l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", ":"+strconv.Itoa(p))
			if err != nil {
				break
			}
			_ = l.Close()
			ports = append(ports, p)
		}
		if len(ports) == n {
			for _, p := range ports {
				givenPorts[p] = true
			}
			return ports
		}
	}
	t.Fatal("no free ports")
	return nil
}

// syncBuffer is a buffer that a process may write while a test reads it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
