package sdk_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// modules are those whose packages a plugin may link, and why. What an author
// of a plugin has to trust and to build does not grow by accident.
var modules = map[string]string{
	"github.com/vaeguard/vaeguard":              "the SDK itself; host/direction_test.go says which packages",
	"github.com/hashicorp/go-plugin":            "handshake and process",
	"github.com/hashicorp/go-hclog":             "go-plugin's log",
	"github.com/hashicorp/yamux":                "go-plugin",
	"github.com/oklog/run":                      "go-plugin",
	"github.com/golang/protobuf":                "go-plugin",
	"github.com/fatih/color":                    "go-hclog",
	"github.com/mattn/go-colorable":             "go-hclog",
	"github.com/mattn/go-isatty":                "go-hclog",
	"google.golang.org/grpc":                    "the wire",
	"google.golang.org/protobuf":                "the wire",
	"google.golang.org/genproto/googleapis/rpc": "grpc's errors",
	"github.com/santhosh-tekuri/jsonschema/v6":  "configs against their schema",
	"golang.org/x/net":                          "grpc",
	"golang.org/x/sys":                          "grpc, and standard output's descriptor",
	"golang.org/x/text":                         "messages of jsonschema",
}

// TestDependencies bounds what `go list -deps` names, on every system that a
// plugin is built for.
func TestDependencies(t *testing.T) {
	for _, system := range []string{"linux", "darwin", "windows"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.Module.Path}} {{.ImportPath}}{{end}}", ".")
		cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list for %s: %v", system, err)
		}
		var linked []string
		for line := range strings.Lines(string(out)) {
			path, pkg, _ := strings.Cut(strings.TrimSpace(line), " ")
			linked = append(linked, pkg)
			if modules[path] == "" {
				t.Errorf("on %s a plugin links %s of module %s, which is new", system, pkg, path)
			}
		}
		if !slices.Contains(linked, "google.golang.org/grpc") {
			t.Errorf("on %s go list names %d packages, and grpc is not among them", system, len(linked))
		}
		for _, not := range []string{"github.com/vaeguard/vaeguard/sdk/remote", "github.com/vaeguard/vaeguard/sdk/sdktest"} {
			if slices.Contains(linked, not) {
				t.Errorf("on %s a plugin links %s", system, not)
			}
		}
	}
}
