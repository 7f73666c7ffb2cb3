package kubernetes

import (
	"os"
	"path/filepath"
	"testing"

	apps "k8s.io/api/apps/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
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
	for dir, want := range map[string]int{"base": 5, "kserve": 2, "knative": 2} {
		if got := len(build(t, dir)); got != want {
			t.Errorf("%s: %d objects, want %d", dir, got, want)
		}
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
