//go:build e2e

package helm

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// settings is what the tests read of the rendered configuration.
type settings struct {
	Listen  struct{ Explicit, Implicit []string }
	Passive struct{ Ports string }
	Admin   struct{ Listen string }
	Stores  map[string]struct{ Type string }
}

// TestE2EInvariants holds what must be true of every release against each values file.
func TestE2EInvariants(t *testing.T) {
	for _, file := range ciValues(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := render(t, "-f", file)
			if err != nil {
				t.Fatal(err)
			}
			r := decode(t, text)
			var s settings
			if err := yaml.Unmarshal([]byte(r.ConfigMap.Data["sluice.yaml"]), &s); err != nil {
				t.Fatal(err)
			}
			if n := len(r.StatefulSet.Spec.Template.Spec.Containers); n != 1 {
				t.Fatalf("%d containers", n)
			}
			ports(t, r, s)
			probes(t, r, s)
			security(t, r)
			volumes(t, r, s)
			drain(t, r)
			memory(t, r)
		})
	}
}

// ports wants every port of the configuration, and no other, open in the pod, and all but the admin port in the Service.
func ports(t *testing.T, r release, s settings) {
	t.Helper()
	want := map[int32]bool{}
	for _, address := range slices.Concat(s.Listen.Explicit, s.Listen.Implicit) {
		want[port(t, address)] = true
	}
	first, last, _ := strings.Cut(s.Passive.Ports, "-")
	for p := port(t, ":"+first); p <= port(t, ":"+last); p++ {
		want[p] = true
	}

	inPod, byName := map[int32]bool{}, map[string]int32{}
	for _, p := range container(r).Ports {
		if inPod[p.ContainerPort] {
			t.Errorf("container port %d twice", p.ContainerPort)
		}
		inPod[p.ContainerPort] = true
		if p.Name != "" {
			byName[p.Name] = p.ContainerPort
			portName(t, p.Name)
		}
	}
	reached := map[int32]bool{}
	for _, p := range r.Service.Spec.Ports {
		portName(t, p.Name)
		target := p.TargetPort.IntVal
		if p.TargetPort.StrVal != "" {
			target = byName[p.TargetPort.StrVal]
		}
		reached[target] = true
		if strings.HasPrefix(p.Name, "passive-") && (p.Port != target || p.Name != fmt.Sprintf("passive-%d", target)) {
			t.Errorf("passive port %s: %d leads to %d: clients are told the pod's number", p.Name, p.Port, target)
		}
	}
	if !maps.Equal(reached, want) {
		t.Errorf("the Service leads to %v, the program listens on %v", reached, want)
	}
	want[port(t, s.Admin.Listen)] = true
	if !maps.Equal(inPod, want) {
		t.Errorf("the pod has ports %v, the program listens on %v", inPod, want)
	}
	for key, value := range r.Service.Spec.Selector {
		if r.StatefulSet.Spec.Template.Labels[key] != value || r.StatefulSet.Spec.Selector.MatchLabels[key] != value {
			t.Errorf("selector %s=%s does not fit the pod", key, value)
		}
	}
	if !r.Service.Spec.PublishNotReadyAddresses {
		t.Error("a draining pod would lose its data connections")
	}
}

// probes wants them on the admin port.
func probes(t *testing.T, r release, s settings) {
	t.Helper()
	c := container(r)
	for path, probe := range map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		i := -1
		if probe != nil && probe.HTTPGet != nil {
			i = slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal })
		}
		if i < 0 || c.Ports[i].ContainerPort != port(t, s.Admin.Listen) || probe.HTTPGet.Path != path {
			t.Errorf("%s: %+v does not lead to %s", path, probe, s.Admin.Listen)
		}
	}
}

// security wants the pod without any right that it does not need.
func security(t *testing.T, r release) {
	t.Helper()
	spec, c := r.StatefulSet.Spec.Template.Spec, container(r).SecurityContext
	pod := spec.SecurityContext
	for what, ok := range map[string]bool{
		"no root":                   *pod.RunAsNonRoot && *pod.RunAsUser == 65532,
		"seccomp":                   pod.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"read-only root":            *c.ReadOnlyRootFilesystem,
		"no escalation":             !*c.AllowPrivilegeEscalation && !*c.Privileged,
		"no capabilities":           slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(c.Capabilities.Add) == 0,
		"no token":                  !*spec.AutomountServiceAccountToken,
		"no host":                   !spec.HostNetwork && !spec.HostPID && !spec.HostIPC,
		"no token by the account":   r.ServiceAccount == nil || !*r.ServiceAccount.AutomountServiceAccountToken,
		"no ports below 1024":       !slices.ContainsFunc(container(r).Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort < 1024 }),
		"an account that is there":  r.ServiceAccount == nil || r.ServiceAccount.Name == spec.ServiceAccountName,
		"no addresses of others":    spec.EnableServiceLinks != nil && !*spec.EnableServiceLinks,
		"no secret in the settings": !strings.Contains(r.ConfigMap.Data["sluice.yaml"], "$6$"),
	} {
		if !ok {
			t.Errorf("not kept: %s", what)
		}
	}
}

// volumes wants each mount to have its volume, all but the data read-only, and data for file stores alone.
func volumes(t *testing.T, r release, s settings) {
	t.Helper()
	spec := r.StatefulSet.Spec
	have := map[string]bool{}
	for _, v := range spec.Template.Spec.Volumes {
		have[v.Name] = true
	}
	for _, v := range spec.VolumeClaimTemplates {
		have[v.Name] = true
	}
	mounted := map[string]bool{}
	for _, m := range container(r).VolumeMounts {
		if !have[m.Name] || mounted[m.Name] {
			t.Errorf("mount %s: no volume, or the second one", m.Name)
		}
		mounted[m.Name] = true
		if m.SubPath != "" || m.SubPathExpr != "" {
			t.Errorf("mount %s: a subPath never sees a change", m.Name)
		}
		if m.ReadOnly == (m.Name == "data") {
			t.Errorf("mount %s: read-only is %v", m.Name, m.ReadOnly)
		}
	}
	if !maps.Equal(have, mounted) {
		t.Errorf("volumes %v, mounts %v", have, mounted)
	}
	files := false
	for _, store := range s.Stores {
		files = files || store.Type == "file"
	}
	if mounted["data"] != files {
		t.Errorf("a volume for data: %v; a file store: %v", mounted["data"], files)
	}
}

// drain wants the program to cut transfers a while before Kubernetes kills it.
func drain(t *testing.T, r release) {
	t.Helper()
	args := container(r).Args
	grace, err := time.ParseDuration(args[slices.Index(args, "--grace")+1])
	kill := time.Duration(*r.StatefulSet.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	if err != nil || grace <= 0 || grace > kill-10*time.Second {
		t.Errorf("--grace %v (%v), killed after %v", grace, err, kill)
	}
}

// memory wants GOMEMLIMIT to stay below a limit, and none without one.
func memory(t *testing.T, r release) {
	t.Helper()
	limits := container(r).Resources.Limits
	limit := limits.Memory().Value()
	var goLimit int64
	for _, e := range container(r).Env {
		if e.Name == "GOMEMLIMIT" {
			mebibytes, err := strconv.ParseInt(strings.TrimSuffix(e.Value, "MiB"), 10, 64)
			if err != nil {
				t.Error(err)
			}
			goLimit = mebibytes << 20
		}
	}
	if goLimit > limit*9/10 || goLimit < limit*8/10 {
		t.Errorf("GOMEMLIMIT %d of %d", goLimit, limit)
	}
}

func container(r release) corev1.Container { return r.StatefulSet.Spec.Template.Spec.Containers[0] }

// port returns the number behind the last colon.
func port(t *testing.T, address string) int32 {
	t.Helper()
	n, err := strconv.ParseInt(address[strings.LastIndex(address, ":")+1:], 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(n)
}

func portName(t *testing.T, name string) {
	t.Helper()
	if problems := validation.IsValidPortName(name); len(problems) > 0 {
		t.Errorf("port name %s: %v", name, problems)
	}
}
