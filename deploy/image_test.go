//go:build e2e

package deploy

import (
	"bytes"
	"crypto/rand"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// passwordHash is of the password "wonderland".
const passwordHash = "$6$sluice$I/DCuOOiUuiji9/bFVLrFscDgjBzLaeoIHFvIslMByQ9Muadxl7HoLoODLN9h90a1u1TdZxSStwbhl0qmoS4M/"

// inImage starts the program in the image's root, read-only but for the data, as the image's user. Its arguments: the root,
// the folder with the configuration, the folder for data, and those of the program.
const inImage = `
	root=$1 config=$2 data=$3; shift 3
	mount --bind "$root" "$root"
	mount --bind "$config" "$root/etc/sluice"
	mount --bind "$data" "$root/var/lib/sluice"
	mount -o remount,bind,ro "$root"
	if touch "$root/x" 2>/dev/null; then echo "the root is writable" >&2; exit 1; fi
	exec chroot --userspec=65532:65532 "$root" /usr/bin/sluice "$@"
`

// TestE2EImage builds the image without a network and runs it as a cluster would: without rights and on a read-only root.
func TestE2EImage(t *testing.T) {
	need(t, "buildah", "make", "unshare", "chroot", "curl")
	if os.Geteuid() != 0 {
		t.Fatal("mounting the image needs root: run this test with sudo")
	}
	dir := t.TempDir()
	storage := []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}
	buildah := func(args ...string) string {
		t.Helper()
		return run(t, exec.Command("buildah", slices.Concat(storage, args)...))
	}

	run(t, exec.Command("make", "-C", "..", "image", "VERSION=v0.0.0-test", "IMAGE=sluice:test",
		"BUILDER=buildah "+strings.Join(storage, " ")+" bud --isolation chroot"))

	var image struct {
		OCIv1 struct {
			Config struct {
				User         string
				Entrypoint   []string
				Cmd          []string
				ExposedPorts map[string]any
			}
		}
	}
	if err := json.Unmarshal([]byte(buildah("inspect", "--type", "image", "sluice:test")), &image); err != nil {
		t.Fatal(err)
	}
	config := image.OCIv1.Config
	if config.User != "65532:65532" || !reflect.DeepEqual(config.Entrypoint, []string{"/usr/bin/sluice"}) ||
		len(config.Cmd) == 0 || config.ExposedPorts["2121/tcp"] == nil {
		t.Fatalf("image: %+v", config)
	}

	root := buildah("mount", buildah("from", "--pull-never", "sluice:test"))
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, name)
		}
		return err
	})
	want := []string{"etc/passwd", "etc/ssl/certs/ca-certificates.crt", "usr/bin/sluice"}
	if err != nil || !reflect.DeepEqual(files, want) {
		t.Errorf("files in the image: %v, %v; want %v", files, err, want)
	}
	if interpreter(t, filepath.Join(root, "usr/bin/sluice")) {
		t.Error("the program needs a dynamic linker, which the image does not have")
	}

	ports := freePorts(t, 4)
	etc, data := filepath.Join(dir, "etc"), filepath.Join(dir, "data")
	for _, d := range []string{etc, data} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(data, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	copyFile(t, certificates+"localhost.crt", filepath.Join(etc, "tls.crt"))
	copyFile(t, certificates+"localhost.key", filepath.Join(etc, "tls.key"))
	write(t, filepath.Join(etc, "sluice.yaml"), fmt.Sprintf(`
listen: {explicit: ["127.0.0.1:%s"], implicit: ["127.0.0.1:%s"]}
passive: {ports: %s}
admin: {listen: "127.0.0.1:%s"}
tls: {certificates: [{cert: tls.crt, key: tls.key}]}
stores: {local: {type: file, path: /var/lib/sluice/files}}
users: [{name: acme, password: %q, mounts: [{path: /, store: local}]}]
`, ports[0], ports[1], ports[2], ports[3], passwordHash))
	sluice := func(args ...string) *exec.Cmd {
		return exec.Command("unshare", slices.Concat([]string{"--mount", "sh", "-ec", inImage, "sh", root, etc, data}, args)...)
	}

	if out := run(t, sluice("version")); !strings.Contains(out, "v0.0.0-test") {
		t.Errorf("version: %q", out)
	}
	run(t, sluice("config", "check", "--config", "/etc/sluice/sluice.yaml"))

	serve := sluice(config.Cmd...)
	var log bytes.Buffer
	serve.Stderr = &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	t.Cleanup(func() {
		_ = serve.Process.Kill()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	awaitReady(t, "http://127.0.0.1:"+ports[3]+"/readyz", ended)

	sent := make([]byte, 3<<20)
	rand.Read(sent)
	local := filepath.Join(dir, "sent")
	write(t, local, string(sent))
	curl := func(args ...string) string {
		t.Helper()
		return run(t, exec.Command("curl", slices.Concat([]string{"-sS", "--ssl-reqd", "--cacert", certificates + "localhost.crt",
			"-u", "acme:wonderland", "--max-time", "60"}, args)...))
	}
	curl("-T", local, "ftp://127.0.0.1:"+ports[0]+"/received")
	curl("-o", local+".back", "ftps://127.0.0.1:"+ports[1]+"/received")
	if got, err := os.ReadFile(local + ".back"); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("what came back is not what was sent: %d bytes, %v", len(got), err)
	}

	if stored := size(t, data); stored < int64(len(sent)) {
		t.Errorf("%d bytes lie in the volume, of %d sent", stored, len(sent))
	}

	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("SIGTERM: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("still there 30 s after SIGTERM")
	}
}

// interpreter reports whether a program asks for a dynamic linker.
func interpreter(t *testing.T, name string) bool {
	t.Helper()
	f, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	return slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// size returns how many bytes the files below dir hold.
func size(t *testing.T, dir string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// awaitReady returns when url answers 200.
func awaitReady(t *testing.T, url string, ended <-chan error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("the program ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal("not ready within a minute")
}
