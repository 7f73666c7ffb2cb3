package kubernetes

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	inference "github.com/kserve/kserve/pkg/apis/serving/v1beta1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	eventing "knative.dev/eventing/pkg/apis/eventing/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	strict "sigs.k8s.io/yaml"
)

// guarded is a deployment that the sidecar is put into.
const guarded = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: model
  labels: {vaeguard: guarded}
spec:
  selector: {matchLabels: {app: model}}
  template:
    metadata: {labels: {app: model}}
    spec:
      containers: [{name: model, image: model}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other}
spec:
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec:
      containers: [{name: other, image: other}]
`

// build puts a folder together, as kubectl apply -k does.
func build(t *testing.T, dir string) []any {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	var out []any
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		o, err := decode(text)
		if err != nil {
			t.Errorf("%s: %v\n%s", dir, err, text)
			continue
		}
		out = append(out, o)
	}
	return out
}

// TestBuild: kustomize makes objects of each folder that their types hold.
func TestBuild(t *testing.T) {
	for dir, want := range map[string]int{"base": 5, "claim": 1, "models": 2, "kserve": 3, "knative": 7, "triton": 4} {
		if got := len(build(t, dir)); got != want {
			t.Errorf("%s: %d objects, want %d", dir, got, want)
		}
	}
}

// the reports whether a folder makes one object of a type, and gives it.
func the[T any](t *testing.T, dir string) T {
	t.Helper()
	var found []T
	for _, o := range build(t, dir) {
		if o, ok := o.(T); ok {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s makes %d of %T", dir, len(found), found)
	}
	return found[0]
}

// listening is what of a server's file the manifests have to fit.
type listening struct {
	Listen map[string]string `json:"listen"`
	Events map[string]any    `json:"events"`
	Limits map[string]string `json:"limits"`
	Auth   map[string]string `json:"auth"`
	Models []struct {
		Detector string
		Upstream struct{ URL, GRPC string }
	}
}

func file(t *testing.T, dir string) listening {
	t.Helper()
	var out listening
	if err := strict.Unmarshal([]byte(the[*core.ConfigMap](t, dir).Data["server.yaml"]), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFits: what is asked of each server is there: by probes, by the Service, by the logger's events, by who copies a
// detector, and at the end for as long as Kubernetes gives it.
func TestFits(t *testing.T) {
	for _, dir := range []string{"base", "knative", "triton"} {
		s, d := file(t, dir), the[*apps.Deployment](t, dir)
		for _, at := range []string{"http", "grpc", "admin"} {
			if !strings.HasPrefix(s.Listen[at], "0.0.0.0:") {
				t.Errorf("%s: %s listens at %q, and is asked from elsewhere", dir, at, s.Listen[at])
			}
		}
		linger, err := time.ParseDuration(s.Limits["linger"])
		const drain = 25 * time.Second // the default
		if grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second; err != nil || linger < time.Second || linger+drain >= grace {
			t.Errorf("%s: it lingers %v and drains %v, and has %v", dir, linger, drain, grace)
		}
		if s.Auth["admin"] != "${VAEGUARD_ADMIN:}" {
			t.Errorf("%s: admin's token is %q", dir, s.Auth["admin"])
		}
		ports, numbers, claims := map[string]bool{}, map[string]bool{}, 0
		for _, c := range slices.Concat(d.Spec.Template.Spec.InitContainers, d.Spec.Template.Spec.Containers) {
			for _, p := range c.Ports {
				ports[p.Name], numbers[strconv.Itoa(int(p.ContainerPort))] = true, true
			}
			if strings.Contains(c.Image, "vaeguard") && (c.Image != "ghcr.io/vaeguard/vaeguard:latest" || len(c.Env) != 1 || c.Env[0].Name != "VAEGUARD_ADMIN" || !*c.Env[0].ValueFrom.SecretKeyRef.Optional) {
				t.Errorf("%s: the image %s with %+v", dir, c.Image, c.Env)
			}
		}
		for _, m := range s.Models {
			at, err := url.Parse(m.Upstream.URL)
			_, grpc, _ := strings.Cut(m.Upstream.GRPC, ":")
			if err != nil || !numbers[at.Port()] || !numbers[grpc] || !strings.HasPrefix(m.Detector, "/mnt/models/") {
				t.Errorf("%s: the model is %+v, and its server is at %v", dir, m, numbers)
			}
		}
		for _, p := range the[*core.Service](t, dir).Spec.Ports {
			if !ports[p.TargetPort.StrVal] {
				t.Errorf("%s: the Service sends to %s, where nothing listens", dir, p.TargetPort.StrVal)
			}
		}
		config, claim := the[*core.ConfigMap](t, dir).Name, the[*core.PersistentVolumeClaim](t, dir).Name
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.ConfigMap != nil && v.ConfigMap.Name != config {
				t.Errorf("%s: the file is of %s, not of %s", dir, v.ConfigMap.Name, config)
			}
			if c := v.PersistentVolumeClaim; c != nil {
				if claims++; c.ClaimName != claim {
					t.Errorf("%s: the claim is %s, not %s", dir, c.ClaimName, claim)
				}
			}
		}
		if claims != 1 {
			t.Errorf("%s: %d claims", dir, claims)
		}
	}
	for _, o := range build(t, "knative") {
		if trigger, ok := o.(*eventing.Trigger); ok {
			path := "/events" // the default
			if p, ok := file(t, "knative").Events["path"].(string); ok {
				path = p
			}
			to := trigger.Spec.Subscriber
			if name := the[*core.Service](t, "knative").Name; to.Ref.Name != name || to.URI.Path != path || file(t, "knative").Events == nil {
				t.Errorf("%s sends to %s%v, and events are taken at %s%s", trigger.Name, to.Ref.Name, to.URI, name, path)
			}
		}
	}
	claim := the[*core.PersistentVolumeClaim](t, "kserve").Name
	if at := *the[*inference.InferenceService](t, "kserve").Spec.Predictor.Model.StorageURI; !strings.HasPrefix(at, "pvc://"+claim+"/") {
		t.Errorf("KServe reads %s, and the claim is %s", at, claim)
	}
	pod := the[*core.Pod](t, "models")
	if v := pod.Spec.Volumes[0].PersistentVolumeClaim; v.ClaimName != claim || v.ReadOnly {
		t.Errorf("detectors are copied onto %+v", v)
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	copies := regexp.MustCompile(`kubectl cp \S+ ([^:\s]+):(\S+)`).FindAllStringSubmatch(string(readme), -1)
	for _, c := range copies {
		if c[1] != pod.Name || !strings.HasPrefix(c[2], pod.Spec.Containers[0].VolumeMounts[0].MountPath+"/") {
			t.Errorf("the README: %s", c[0])
		}
	}
	if len(copies) == 0 {
		t.Error("the README copies nothing")
	}
}

// TestSidecar: the component puts the guard beside the models that ask for it, and
// beside no other.
func TestSidecar(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "sidecar"), os.DirFS("sidecar")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"models.yaml": guarded, "kustomization.yaml": "resources: [models.yaml]\ncomponents: [../sidecar]\n"} {
		if err := os.WriteFile(filepath.Join(dir, "mine", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range build(t, filepath.Join(dir, "mine")) {
		d := o.(*apps.Deployment)
		beside := d.Spec.Template.Spec.InitContainers
		switch {
		case d.Name == "other" && len(beside) > 0:
			t.Error("the guard stands beside a model that did not ask")
		case d.Name == "model" && (len(beside) != 1 || beside[0].Name != "vaeguard" || beside[0].RestartPolicy == nil || len(d.Spec.Template.Spec.Containers) != 1):
			t.Errorf("beside the model: %+v", beside)
		}
	}
}
