package host_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vaeguard/vaeguard/"

// allowed lists, for packages with a rule, the packages of this module that
// they may import (transitively).
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
	"host/spec":     {"host/registry"},
	"host/nn":       {"host/kernel", "host/registry", "sdk/tensor"},
	"host/oracle":   append([]string{"host/kernel", "sdk"}, author...),
}

// author is what the author of a plugin gets beside package sdk: nothing of
// the host's end.
var author = []string{"sdk/tensor", "sdk/proto", "sdk/wire", "sdk/secret"}

// TestDirection holds the direction of imports: the sdk knows nothing of the
// host, the host nothing of what ships in the box, and only host/spec reads YAML.
func TestDirection(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Deps,Imports", "../...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen, ruled := 0, 0
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
		seen++
		if _, ok := allowed[name]; ok {
			ruled++
		}
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, "gopkg.in/yaml") && name != "host/spec" {
				t.Errorf("%s imports %s: only host/spec may", name, imp)
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
	if seen < 20 {
		t.Fatalf("go list named only %d packages of this module", seen)
	}
}
