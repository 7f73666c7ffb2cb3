package host_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vaeguard/vaeguard/"

// floor is a part of the house. A package may import what stands on lower
// floors; nothing imports its neighbours.
type floor struct {
	name     string
	packages string
}

// floors are the whole module, from the ground up. A new package gets its place
// here first: where it stands says what may use it.
var floors = []floor{
	{"ground: imports nothing of the module", "host/graph sdk/tensor sdk/proto sdk/secret host/kernel host/registry host/atomicfile host/picture/jpeg host/health builtin/formats/parquet builtin/formats/arrow host/serve/inference builtin/classifiers/tape host/cli/scaffold specs"},
	{"tools of one job", "sdk/wire host/spec host/nn host/dataset host/picture host/artifact/safetensors host/artifact/pack host/track"},
	{"networks and the contract of plugins", "sdk host/signature host/vae host/nn/nntest host/dataset/datasettest host/serve/tensors"},
	{"both ends of the wire", "sdk/remote sdk/check host/oracle host/preprocess"},
	{"rooms that ask the classifier", "sdk/sdktest host/attack host/launch host/train"},
	{"the second opinion", "host/detect host/gradient host/rundir"},
	{"what is done with it", "host/artifact host/bench host/evaluate host/results host/attack/attacktest host/detect/methodtest"},
	{"what is told of it", "host/evaluate/report"},
	{"the host", "host"},
	{"many runs, and suites that need the host", "host/grid host/classifiertest host/scoring"},
	{"a request to the server", "host/serve/judge"},
	{"suites of the server", "host/serve/servetest"},
	{"ways into the server, and those who watch it", "host/serve/oip host/serve/watch host/serve/traffic"},
	{"ways by another way's door", "host/serve/proxy"},
	{"ways that read what another reads", "host/serve/events"},
	{"the server", "host/serve"},
	{"the command line", "host/cli"},
	{"components that ship", "builtin/layers builtin/optimizers builtin/losses builtin/metrics builtin/formats builtin/scores builtin/attacks builtin/steps builtin/trackers builtin/presets"},
	{"components built from others", "builtin/methods builtin/corruptions builtin/datasets builtin/classifiers/network builtin/classifiers/onnx builtin/classifiers/oip builtin/classifiers/oip/oiptest builtin/classifiers/oip/tritontest builtin/classifiers/caller builtin/classifiers/caller/callertest"},
	{"classifiers that are networks", "builtin/classifiers/mlp builtin/classifiers/cnn"},
	{"the classifiers that ship", "builtin/classifiers"},
	{"the box", "builtin"},
	{"programs", "host/cmd/vaeguard host/cli/clitest host/docs host/evaluate/outside builtin/datasets/gen plugins/classifier-mlp plugins/classifier-cnn plugins/classifier-onnx plugins/classifier-oip host/serve/deploy/image host/serve/servetest/load " +
		"examples examples/embed examples/quickstart examples/model-server examples/own-attack examples/own-layer examples/own-method examples/own-verb examples/own-format examples/table sdk/python"},
}

// allowed lists, for packages with a stricter rule than their floor, the
// packages of this module that they may import (transitively).
var allowed = map[string][]string{
	"sdk/tensor":    {},
	"sdk/proto":     {},
	"sdk/secret":    {},
	"sdk/wire":      {"sdk/proto", "sdk/tensor"},
	"sdk":           author,
	"sdk/remote":    append([]string{"sdk"}, author...),
	"sdk/check":     append([]string{"sdk"}, author...),
	"sdk/sdktest":   append([]string{"sdk", "sdk/remote", "sdk/check"}, author...),
	"host/registry": {},
	"host/kernel":   {},
	"host/graph":    {},
	"host/spec":     {"host/registry"},
	"host/nn":       {"host/graph", "host/kernel", "host/registry", "sdk/tensor"},
	"host/oracle":   append([]string{"host/kernel", "sdk"}, author...),
}

// author is what the author of a plugin gets besides package sdk: nothing of
// the host's end.
var author = []string{"sdk/tensor", "sdk/proto", "sdk/wire", "sdk/secret"}

// TestDirection holds the direction of imports: each package imports only what
// stands below it, the sdk knows nothing of the host, the host nothing of what
// ships in the box, and only host/spec reads YAML.
func TestDirection(t *testing.T) {
	height := make(map[string]int)
	for i, f := range floors {
		for _, name := range strings.Fields(f.packages) {
			if _, twice := height[name]; twice {
				t.Errorf("floors: %s has two places", name)
			}
			height[name] = i
		}
	}
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Deps,Imports", "../...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen, ruled := make(map[string]bool), 0
	for dec.More() {
		var p struct {
			ImportPath    string
			Deps, Imports []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		seen[name] = true
		_, placed := height[name]
		if !placed {
			t.Errorf("%s has no place in the house: put it on a floor", name)
		}
		if _, ok := allowed[name]; ok {
			ruled++
		}
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, "gopkg.in/yaml") && name != "host/spec" {
				t.Errorf("%s imports %s: only host/spec may", name, imp)
			}
			if d, ours := strings.CutPrefix(imp, module); ours && placed && height[d] >= height[name] {
				t.Errorf("%s imports %s, which does not stand below it: %q, %q", name, d, floors[height[name]].name, floors[height[d]].name)
			}
		}
		for _, dep := range p.Deps {
			d, ours := strings.CutPrefix(dep, module)
			if !ours {
				continue
			}
			if (strings.HasPrefix(d, "builtin") || strings.HasPrefix(d, "plugins")) && strings.HasPrefix(name, "host") && name != "host/cmd/vaeguard" {
				t.Errorf("%s depends on %s: the host never imports what ships in the box", name, d)
			}
			if rule, ok := allowed[name]; ok && !slices.Contains(rule, d) {
				t.Errorf("%s depends on %s, want only %v", name, d, rule)
			}
		}
	}
	if ruled != len(allowed) {
		t.Errorf("%d of the %d packages with a rule exist", ruled, len(allowed))
	}
	for name := range height {
		if !seen[name] {
			t.Errorf("floors: there is no package %s", name)
		}
	}
}
