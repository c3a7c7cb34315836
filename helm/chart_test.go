//go:build e2e

// Package helm holds the chart. Its tests render the chart as Helm does, decode every object strictly into the types of the
// Kubernetes API, and have the program check the configuration that comes out.
package helm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// release is what the chart renders to.
type release struct {
	StatefulSet    appsv1.StatefulSet
	Service        corev1.Service
	ConfigMap      corev1.ConfigMap
	Secret         *corev1.Secret
	ServiceAccount *corev1.ServiceAccount
}

// helm runs Helm. The error is Helm's own text.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	const program = "../.tools/bin/helm"
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("helm is missing: run `make tools` (%v)", err)
	}
	var stderr strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s%s", err, stderr.String(), out)
	}
	return string(out), err
}

// render returns the objects of a release.
func render(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return helm(t, append([]string{"template", "rel", "sluice", "--namespace", "ftp"}, args...)...)
}

// decode takes every document for the object that it says it is. Unknown and doubled fields are errors.
func decode(t *testing.T, text string) release {
	t.Helper()
	var r release
	seen := map[string]bool{}
	for doc := range strings.SplitSeq("\n"+text, "\n---\n") {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if head.Kind == "" && strings.TrimSpace(doc) == "" {
			continue
		}
		var into any
		switch head.APIVersion + " " + head.Kind {
		case "apps/v1 StatefulSet":
			into = &r.StatefulSet
		case "v1 Service":
			into = &r.Service
		case "v1 ConfigMap":
			into = &r.ConfigMap
		case "v1 Secret":
			r.Secret = &corev1.Secret{}
			into = r.Secret
		case "v1 ServiceAccount":
			r.ServiceAccount = &corev1.ServiceAccount{}
			into = r.ServiceAccount
		default:
			t.Fatalf("unexpected object in\n%s", doc)
		}
		if seen[head.Kind] {
			t.Errorf("a second %s", head.Kind)
		}
		seen[head.Kind] = true
		data, err := yaml.YAMLToJSONStrict([]byte(doc))
		if err != nil {
			t.Fatalf("%s: %v in\n%s", head.Kind, err, doc)
		}
		unknown, err := json.UnmarshalStrict(data, into) // as the API server: names differ by case, too
		if err != nil || len(unknown) > 0 {
			t.Errorf("%s: %v %v in\n%s", head.Kind, err, unknown, doc)
		}
	}
	for _, kind := range []string{"StatefulSet", "Service", "ConfigMap"} {
		if !seen[kind] {
			t.Errorf("no %s", kind)
		}
	}
	return r
}

// ciValues are the values files that the chart is held against.
func ciValues(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("sluice/ci/*-values.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no values files: %v", err)
	}
	return files
}

func TestE2ELint(t *testing.T) {
	for _, file := range ciValues(t) {
		if _, err := helm(t, "lint", "--strict", "sluice", "-f", file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestE2EConfig has the program check each rendered configuration, with secrets and certificates where the pod would have them.
func TestE2EConfig(t *testing.T) {
	program := filepath.Join(t.TempDir(), "sluice")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "../cmd/sluice")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, file := range ciValues(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := render(t, "-f", file)
			if err != nil {
				t.Fatal(err)
			}
			r := decode(t, text)
			if err := check(t, program, r); err != nil {
				t.Error(err)
			}
			r.ConfigMap.Data["sluice.yaml"] += "\nunheardOf: true\n"
			if err := check(t, program, r); err == nil || !strings.Contains(err.Error(), "unheardOf") {
				t.Errorf("an unknown key: %v", err)
			}
		})
	}
}

// check lays out the pod's files below a folder of its own and runs `sluice config check` there.
func check(t *testing.T, program string, r release) error {
	t.Helper()
	const (
		certificates = "../testdata/certificates/"
		hash         = "$6$sluice$I/DCuOOiUuiji9/bFVLrFscDgjBzLaeoIHFvIslMByQ9Muadxl7HoLoODLN9h90a1u1TdZxSStwbhl0qmoS4M/"
	)
	dir := t.TempDir()
	files := map[string]string{"secrets/accessKey": "key", "secrets/secretKey": "secret", "secrets/acme": hash}
	for name, from := range map[string]string{"tls/tls.crt": "localhost.crt", "tls/tls.key": "localhost.key", "client-ca/ca.crt": "localhost.crt"} {
		data, err := os.ReadFile(certificates + from)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(data)
	}
	if r.Secret != nil {
		for name, value := range r.Secret.StringData {
			files["secrets/"+name] = value
		}
	}
	files["config/sluice.yaml"] = strings.ReplaceAll(r.ConfigMap.Data["sluice.yaml"], "/etc/sluice", dir)
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "config", "check", "--config", filepath.Join(dir, "config/sluice.yaml"))
	cmd.Env = []string{"ACME_HASH=" + hash}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// TestE2ERefused tells the chart what cannot work, one thing at a time, and wants to hear why.
func TestE2ERefused(t *testing.T) {
	balanced := []string{"--set", "service.type=LoadBalancer", "--set", "config.passive.address=198.51.100.7"}
	for _, c := range []struct {
		set  []string
		want string
	}{
		{[]string{"--set", "tls.existingSecret="}, "tls.existingSecret: name a Secret"},
		{[]string{"--set", "replicaCount=2"}, "replicaCount: this version runs one pod"},
		{[]string{"--set", "ports.explicit=0,ports.implicit=0"}, "nobody could connect"},
		{[]string{"--set", "ports.explicit=990"}, "explicit and implicit are the same"},
		{[]string{"--set", "ports.explicit=21003"}, "ports.explicit: 21003 lies within the passive ports 21000-21007"},
		{[]string{"--set", "ports.passive.first=2985"}, "2985-2992 covers 2990"},
		{[]string{"--set", "ports.passive.first=65530"}, "ends at 65537"},
		{[]string{"--set", "ports.passive.first=29999"}, "touches the node ports 30000-32767"},
		{[]string{"--set", "ports.passive.first=50000"}, "touches 32768-60999"},
		{append(balanced, "--set", "ports.passive.count=49"), "51 ports in all, but the load balancer takes 50"},
		{[]string{"--set", "service.type=LoadBalancer"}, "config.passive.address: behind a load balancer"},
		{[]string{"--set", "config.stores=null"}, "config.stores: is empty"},
		{[]string{"--set", "config.users=null"}, "config.users: is empty"},
		{[]string{"--set", "config.stores.local.path=/srv/files"}, "config.stores.local.path: must begin with /var/lib/sluice/"},
		{[]string{"--set", "config.stores.local.path=/var/lib/sluice/../x"}, "config.stores.local.path: must begin with /var/lib/sluice/"},
		{[]string{"--set", "config.stores.s.secretKey=hidden"}, "config.stores.s.secretKey: a ConfigMap keeps no secrets"},
		{[]string{"--set", "config.stores.s.accountKey=hidden"}, "config.stores.s.accountKey: a ConfigMap keeps no secrets"},
		{[]string{"--set", "config.stores.s.connectionString=hidden"}, "config.stores.s.connectionString: a ConfigMap keeps no secrets"},
		{[]string{"--set", "config.users[0].name=ann,config.users[0].password=$2b$10$x"}, "the password of ann stands in a ConfigMap"},
		{[]string{"--set", "config.listen.explicit[0]=:21"}, "config.listen: is written by the chart; set ports"},
		{[]string{"--set", "config.passive.ports=1-2"}, "config.passive.ports: is written by the chart; set ports.passive"},
		{[]string{"--set", "config.tls.clientCA=x"}, "config.tls.clientCA: is written by the chart; set tls.clientCA.existingSecret"},
		{[]string{"--set", "config.tls.certificates[0].cert=x"}, "config.tls.certificates: is written by the chart; set tls.existingSecret"},
		{[]string{"--set", "config.admin.listen=:1"}, "config.admin: is written by the chart"},
		{[]string{"--set", "replicaCount=2,tls.existingSecret="}, "tls.existingSecret: name a Secret"}, // every reason, not the first

		// the schema
		{[]string{"--set", "replicas=2"}, "'replicas' not allowed"},
		{[]string{"--set", "service.typ=LoadBalancer"}, "'typ' not allowed"},
		{[]string{"--set", "service.type=NodePort"}, "/service/type"},
		{[]string{"--set", "ports.implicit=70000"}, "/ports/implicit"},
		{[]string{"--set", "ports.passive.count=0"}, "/ports/passive/count"},
		{[]string{"--set", "resources.limits.memory=512M"}, "/resources/limits/memory"},
		{[]string{"--set", "image.digest=latest"}, "/image/digest"},
		{[]string{"--set", "secrets.create.a/b=x"}, "invalid propertyName 'a/b'"},
		{[]string{"--set", "drain.gracePeriodSeconds=5"}, "/drain/gracePeriodSeconds"},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, err := render(t, slices.Concat([]string{"-f", "sluice/ci/file-values.yaml"}, c.set)...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: %v\nwant %q", c.set, err, c.want)
			}
		})
	}
	if _, err := render(t, slices.Concat([]string{"-f", "sluice/ci/file-values.yaml"}, balanced, []string{"--set", "ports.passive.count=48"})...); err != nil {
		t.Errorf("50 ports: %v", err)
	}
}
