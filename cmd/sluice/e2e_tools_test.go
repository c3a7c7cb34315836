//go:build e2e

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// address is the server as a URL; every tool has its own scheme for implicit FTPS.
func (d *daemon) address(g dialogue, explicit, implicit string) string {
	if g.implicit {
		return fmt.Sprintf("%s://127.0.0.1:%d/", implicit, d.implicit)
	}
	return fmt.Sprintf("%s://127.0.0.1:%d/", explicit, d.explicit)
}

// tree makes a local directory with files of every size and with awkward names, some in subdirectories.
func tree(t *testing.T, big string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "sub dir", "tiefer ü"), 0o755))
	for name, text := range map[string]string{"empty": "", "with space.txt": smallText, "sub dir/tiefer ü/日本": "deep\n", "sub dir/100% & more": "x"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	must(t, os.Symlink(big, filepath.Join(dir, oddName)))
	return dir
}

// same fails the test unless two directories hold the same files.
func same(t *testing.T, want, got string) {
	t.Helper()
	run(t, exec.Command("diff", "-r", want, got))
}

// TestE2ECurl has curl do what it can: create directories on the way, transfer, list, resume both ways, and quote commands.
func TestE2ECurl(t *testing.T) {
	big, sum := randomFile(t, 10<<20)
	d := start(t, nil)
	dialogues(t, d, big, "curl", false, func(t *testing.T, g dialogue) {
		base := d.address(g, "ftp", "ftps") + url.PathEscape(g.dir) + "/"
		curl := func(args ...string) *exec.Cmd {
			return d.curl(append([]string{"--tlsv" + g.version, "--tls-max", g.version, "--ftp-create-dirs"}, args...)...)
		}
		empty := filepath.Join(t.TempDir(), "empty")
		must(t, os.WriteFile(empty, nil, 0o600))
		odd := base + url.PathEscape(oddName)
		run(t, curl("-T", big, odd, "-T", empty, base))
		small := curl("-T", "-", base+"with%20space.txt")
		small.Stdin = strings.NewReader(smallText)
		run(t, small)
		if got := run(t, curl("-l", base)); !reflect.DeepEqual(strings.Split(got, "\n"), []string{"empty", "with space.txt", oddName, ""}) {
			t.Errorf("NLST: %q", got)
		}
		if got := run(t, curl(base)); strings.Count(got, "\n") != 3 || !strings.Contains(got, " 10485760 ") {
			t.Errorf("LIST: %q", got)
		}
		if got := run(t, curl("-I", odd)); !strings.Contains(got, "Content-Length: 10485760") || !strings.Contains(got, "Last-Modified: ") {
			t.Errorf("SIZE and MDTM: %q", got)
		}
		if got := output(t, curl(odd)); got != sum {
			t.Errorf("the big file came back as %s, want %s", got, sum)
		}
		if got := run(t, curl(base+"with%20space.txt", base+"empty")); got != smallText {
			t.Errorf("the small files came back as %q", got)
		}
		half := filepath.Join(t.TempDir(), "half")
		must(t, os.WriteFile(half, nil, 0o600))
		run(t, curl("-r", "0-4999999", "-o", half, odd))
		run(t, curl("-T", half, base+"resumed"))
		run(t, curl("-C", "-", "-T", big, base+"resumed"))
		run(t, curl("-C", "-", "-o", half, odd))
		if a, b := fileSum(t, half), fileSum(t, d.stored(g.dir, "resumed")); a != sum || b != sum {
			t.Errorf("resumed: %s down, %s up, want %s", a, b, sum)
		}
		run(t, curl("-l", "-Q", "RNFR "+g.dir+"/with space.txt", "-Q", "RNTO "+g.dir+"/"+smallName, "-Q", "DELE "+g.dir+"/empty", base))
		for _, name := range []string{"with space.txt", "empty"} {
			if _, err := os.Stat(d.stored(g.dir, name)); !os.IsNotExist(err) {
				t.Errorf("%s is there still: %v", name, err)
			}
		}
		if err := curl(base + "missing").Run(); exitCode(err) != 78 { // file not found
			t.Errorf("a missing file: %v", err)
		}
	})
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return -1
	}
	return exit.ExitCode()
}

// TestE2EWget downloads single files and a tree, which wget learns from LIST. It cannot upload.
func TestE2EWget(t *testing.T) {
	big, sum := randomFile(t, 10<<20)
	d := start(t, nil)
	src := tree(t, big)
	must(t, exec.Command("cp", "-rL", src, d.stored("tree")).Run())
	dialogues(t, d, big, "wget", false, func(t *testing.T, g dialogue) {
		down := t.TempDir()
		wget := func(args ...string) *exec.Cmd {
			all := []string{"--no-config", "-nv", "--ca-certificate", d.ca, "--secure-protocol=TLSv1_" + g.version[2:],
				"--user", user, "--password", password, "--tries=1", "-P", down}
			if g.implicit {
				all = append(all, "--ftps-implicit")
			}
			return exec.Command(tool(t, "wget"), append(all, args...)...)
		}
		base := d.address(g, "ftps", "ftps") + "tree/"
		run(t, wget("-r", "-nH", "--cut-dirs=1", "--restrict-file-names=nocontrol", "--no-remove-listing", base))
		for _, l := range listings(t, down) {
			must(t, os.Remove(l))
		}
		same(t, src, down)
		one := filepath.Join(t.TempDir(), "one")
		run(t, wget("-O", one, base+url.PathEscape(oddName)))
		if got := fileSum(t, one); got != sum {
			t.Errorf("the big file came back as %s, want %s", got, sum)
		}
		if err := wget("-O", one, base+"missing").Run(); exitCode(err) != 8 { // the server said no
			t.Errorf("a missing file: %v", err)
		}
	})
}

// listings are the files in which wget has kept what LIST said.
func listings(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if filepath.Base(path) == ".listing" {
			found = append(found, path)
		}
		return err
	}))
	if len(found) != 3 {
		t.Errorf("wget kept the listings %q", found)
	}
	return found
}

// TestE2ERclone copies, checks, lists, moves and purges with rclone, four files at a time. Its sessions present each other's TLS
// tickets.
func TestE2ERclone(t *testing.T) {
	big, sum := randomFile(t, 10<<20)
	d := start(t, nil)
	src := tree(t, big)
	obscured := strings.TrimSpace(run(t, exec.Command(tool(t, "rclone"), "obscure", password)))
	dialogues(t, d, big, "rclone", false, func(t *testing.T, g dialogue) {
		port, how := d.explicit, "explicit_tls=true"
		if g.implicit {
			port, how = d.implicit, "tls=true"
		}
		remote := fmt.Sprintf(":ftp,host=127.0.0.1,port=%d,user=%s,pass=%s,%s,disable_tls13=%v:%s", port, user, obscured, how, g.version == "1.2", g.dir)
		rclone := func(args ...string) *exec.Cmd {
			cmd := exec.Command(tool(t, "rclone"), append(args, "--config=", "--copy-links", "--retries=1", "--low-level-retries=1")...)
			cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+d.ca)
			return cmd
		}
		run(t, rclone("copy", src, remote))
		run(t, rclone("check", "--download", src, remote))
		var files []struct {
			Path string
			Size int64
		}
		must(t, json.Unmarshal([]byte(run(t, rclone("lsjson", "-R", "--files-only", remote))), &files))
		sizes := map[string]int64{}
		for _, f := range files {
			sizes[f.Path] = f.Size
		}
		want := map[string]int64{"empty": 0, "with space.txt": 13, oddName: 10 << 20, "sub dir/tiefer ü/日本": 5, "sub dir/100% & more": 1}
		if !reflect.DeepEqual(sizes, want) {
			t.Errorf("listed: %v", sizes)
		}
		run(t, rclone("moveto", remote+"/with space.txt", remote+"/"+smallName))
		run(t, rclone("deletefile", remote+"/empty"))
		if err := rclone("cat", remote+"/missing").Run(); exitCode(err) == 0 {
			t.Error("a missing file is no error")
		}
		down := t.TempDir()
		run(t, rclone("sync", remote, down))
		if got := fileSum(t, filepath.Join(down, oddName)); got != sum {
			t.Errorf("the big file came back as %s, want %s", got, sum)
		}
		if got, err := os.ReadFile(filepath.Join(down, smallName)); err != nil || string(got) != smallText {
			t.Errorf("the small file came back as %q, %v", got, err)
		}
		run(t, rclone("purge", remote+"/sub dir"))
		if _, err := os.Stat(d.stored(g.dir, "sub dir")); !os.IsNotExist(err) {
			t.Errorf("purged, and still there: %v", err)
		}
	})
}

// TestE2EDuplicity backs up, changes, backs up again, verifies and restores both states, over its lftp backend.
func TestE2EDuplicity(t *testing.T) {
	big, _ := randomFile(t, 10<<20)
	d := start(t, nil)
	for _, g := range []dialogue{{dir: "explicit"}, {dir: "implicit", implicit: true}} {
		t.Run(g.dir, func(t *testing.T) {
			t.Parallel()
			remote := d.address(g, "ftpes", "lftp+ftps")
			remote = strings.Replace(remote, "//", "//"+user+"@", 1) + "backups/" + g.dir
			work := t.TempDir()
			duplicity := func(args ...string) *exec.Cmd {
				cmd := exec.Command(tool(t, "duplicity"), append(args, "--no-encryption", "--ssl-cacert-file", d.ca, "--archive-dir", filepath.Join(work, "cache"),
					"--tempdir", work, "--num-retries", "1", "--volsize", "4")...)
				cmd.Env = append(os.Environ(), "FTP_PASSWORD="+password, "HOME="+work)
				return cmd
			}
			src := filepath.Join(work, "src")
			run(t, exec.Command("cp", "-rL", tree(t, big), src))
			run(t, duplicity("full", src, remote))
			first := filepath.Join(work, "first")
			run(t, exec.Command("cp", "-r", src, first))
			must(t, os.WriteFile(filepath.Join(src, "new"), []byte("new\n"), 0o600))
			must(t, os.Remove(filepath.Join(src, "empty")))
			run(t, duplicity("incremental", src, remote))
			must(t, os.RemoveAll(filepath.Join(work, "cache"))) // all that is known comes from the server now
			run(t, duplicity("verify", "--compare-data", remote, src))
			for want, at := range map[string]string{src: "now", first: since(t, d.stored("backups", g.dir))} {
				restored := filepath.Join(work, "restored "+at)
				run(t, duplicity("restore", "--time", at, remote, restored))
				same(t, want, restored)
			}
		})
	}
}

// since is when the full backup in dir began, as its names tell.
func since(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "duplicity-full.*.manifest"))
	if err != nil || len(found) != 1 {
		t.Fatalf("manifests of full backups: %q, %v", found, err)
	}
	return strings.Split(filepath.Base(found[0]), ".")[1]
}
