// Package kubernetes holds what a server is deployed with on Kubernetes. It is a module of its own, so
// that the types of Kubernetes, KServe and Knative, which hold its manifests in tests,
// are no dependency of anything else.
package kubernetes

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	serving "github.com/kserve/kserve/pkg/apis/serving/v1alpha1"
	inference "github.com/kserve/kserve/pkg/apis/serving/v1beta1"
	"github.com/kserve/kserve/pkg/constants"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	eventing "knative.dev/eventing/pkg/apis/eventing/v1"
	kustomize "sigs.k8s.io/kustomize/api/types"
	strict "sigs.k8s.io/yaml"
)

// object makes an empty object of a kind; nil: the manifests have none of it.
func object(version, kind string) any {
	switch version + " " + kind {
	case "apps/v1 Deployment":
		return new(apps.Deployment)
	case "v1 Pod":
		return new(core.Pod)
	case "v1 Service":
		return new(core.Service)
	case "v1 ConfigMap":
		return new(core.ConfigMap)
	case "v1 PersistentVolumeClaim":
		return new(core.PersistentVolumeClaim)
	case "policy/v1 PodDisruptionBudget":
		return new(policy.PodDisruptionBudget)
	case "serving.kserve.io/v1alpha1 ClusterServingRuntime":
		return new(serving.ClusterServingRuntime)
	case "serving.kserve.io/v1beta1 InferenceService":
		return new(inference.InferenceService)
	case "eventing.knative.dev/v1 Trigger":
		return new(eventing.Trigger)
	case "kustomize.config.k8s.io/v1beta1 Kustomization", "kustomize.config.k8s.io/v1alpha1 Component":
		return new(kustomize.Kustomization)
	}
	return nil
}

// documents are the objects of a file, each as its YAML.
func documents(t *testing.T, file string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	r := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		doc, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(doc)) > 0 {
			out = append(out, doc)
		}
	}
}

// decode reads an object by its type, and refuses what the type does not know.
func decode(doc []byte) (any, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := strict.Unmarshal(doc, &head); err != nil {
		return nil, err
	}
	o := object(head.APIVersion, head.Kind)
	if o == nil {
		return nil, fmt.Errorf("%s %s: no type holds it", head.APIVersion, head.Kind)
	}
	return o, strict.UnmarshalStrict(doc, o)
}

// manifests are all objects of the folder, by file.
func manifests(t *testing.T) map[string][]any {
	t.Helper()
	out := make(map[string][]any)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" || filepath.Base(path) == "server.yaml" {
			return err
		}
		for i, doc := range documents(t, path) {
			o, err := decode(doc)
			if err != nil {
				t.Errorf("%s, object %d: %v", path, i+1, err)
				continue
			}
			out[path] = append(out[path], o)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestStrict: each object has only what its type knows, and a kustomization what is there.
func TestStrict(t *testing.T) {
	all := manifests(t)
	var kinds []string
	for path, objects := range all {
		for _, o := range objects {
			kinds = append(kinds, reflect.TypeOf(o).Elem().Name())
			k, ok := o.(*kustomize.Kustomization)
			if !ok {
				continue
			}
			var files []string
			for _, p := range k.Patches {
				files = append(files, p.Path)
			}
			for _, g := range k.ConfigMapGenerator {
				files = append(files, g.FileSources...)
			}
			for _, f := range append(files, k.Resources...) {
				if _, err := os.Stat(filepath.Join(filepath.Dir(path), f)); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
		}
	}
	slices.Sort(kinds)
	kinds = slices.Compact(kinds)
	want := []string{"ClusterServingRuntime", "Deployment", "InferenceService", "Kustomization", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "Service", "Trigger"}
	if !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
}

// TestRefused: the test above can fail.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"apiVersion: v1\nkind: Service\nspec: {prots: []}\n":                                                                    `unknown field "prots"`,
		"apiVersion: serving.kserve.io/v1alpha1\nkind: ClusterServingRuntime\nspec: {containers: [{name: a, imgae: b}]}\n":      `unknown field "imgae"`,
		"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nspec: {predictor: {model: {format: {name: vaeguard}}}}": `unknown field "format"`,
		"apiVersion: v1\nkind: Secret\n": "no type holds it",
	} {
		if _, err := decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// containers are all that run the guard, by file, with the volumes of their pods.
func containers(t *testing.T) map[string]core.PodSpec {
	t.Helper()
	out := make(map[string]core.PodSpec)
	for path, objects := range manifests(t) {
		for _, o := range objects {
			switch o := o.(type) {
			case *apps.Deployment:
				if strings.HasPrefix(path, "triton") {
					continue // the model's own, beside which the sidecar is put
				}
				out[path] = o.Spec.Template.Spec
			case *core.Pod:
				out[path] = o.Spec
			case *serving.ClusterServingRuntime:
				out[path] = core.PodSpec{Containers: o.Spec.Containers, Volumes: o.Spec.Volumes}
			}
		}
	}
	if len(out) != 4 {
		t.Fatalf("pods in %d files, want 4", len(out))
	}
	return out
}

// TestPods: the guard needs no root, writes nothing but below /tmp, and is asked where it listens.
func TestPods(t *testing.T) {
	for path, pod := range containers(t) {
		all := slices.Concat(pod.InitContainers, pod.Containers)
		if len(all) != 1 {
			t.Fatalf("%s: %d containers", path, len(all))
		}
		c := all[0]
		s := c.SecurityContext
		switch {
		case s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem:
			t.Errorf("%s: its files can be written", path)
		case s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation:
			t.Errorf("%s: it may gain privileges", path)
		case s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}):
			t.Errorf("%s: it keeps capabilities", path)
		}
		asRoot := func(user *int64, not *bool) bool { return user == nil || *user == 0 || not == nil || !*not }
		if asRoot(s.RunAsUser, s.RunAsNonRoot) && (pod.SecurityContext == nil || asRoot(pod.SecurityContext.RunAsUser, pod.SecurityContext.RunAsNonRoot)) {
			t.Errorf("%s: it may be root", path)
		}
		mounted := func(at string) *core.VolumeMount {
			for i, m := range c.VolumeMounts {
				if m.MountPath == at && slices.ContainsFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == m.Name }) {
					return &c.VolumeMounts[i]
				}
			}
			return nil
		}
		if c.Name == "copy" { // which is no server
			continue
		}
		if m := mounted("/tmp"); m == nil || m.ReadOnly {
			t.Errorf("%s: it has no /tmp to write", path)
		}
		for _, probe := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			if probe != nil && !slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool {
				return p.Name == probe.HTTPGet.Port.String() || p.ContainerPort == probe.HTTPGet.Port.IntVal
			}) {
				t.Errorf("%s: a probe asks %v, where nothing listens", path, probe.HTTPGet.Port.String())
			}
		}
		if c.ReadinessProbe == nil {
			t.Errorf("%s: nobody asks whether it is ready", path)
		}
	}
}

// TestRuntime: the InferenceService finds the runtime, which speaks its protocol.
func TestRuntime(t *testing.T) {
	all := manifests(t)
	runtime := all["kserve/runtime.yaml"][0].(*serving.ClusterServingRuntime)
	service := all["kserve/guard.yaml"][0].(*inference.InferenceService)
	m := service.Spec.Predictor.Model
	if *m.Runtime != runtime.Name || m.ModelFormat.Name != runtime.Spec.SupportedModelFormats[0].Name {
		t.Errorf("the service asks for %s, %s", *m.Runtime, m.ModelFormat.Name)
	}
	for _, p := range []string{"v2", "grpc-v2"} {
		if !slices.Contains(runtime.Spec.ProtocolVersions, constants.InferenceServiceProtocol(p)) {
			t.Errorf("the runtime does not speak %s", p)
		}
	}
	if !slices.Contains(runtime.Spec.Containers[0].Args, "/mnt/models") {
		t.Error("the runtime does not serve /mnt/models, where KServe puts models")
	}
}
