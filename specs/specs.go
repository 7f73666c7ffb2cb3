// Package specs holds the ready specs, embedded in the binary.
package specs

import (
	"embed"
	"io/fs"
	"strings"
)

// FS holds the files, by name: demo.yaml; and, in templates, the commented
// starting points of `vaeguard new spec` by kind, with NAME where a name goes.
//
//go:embed *.yaml templates/*.yaml
var FS embed.FS

// Demo is the file that `vaeguard demo` runs.
const Demo = "demo.yaml"

// Names lists the specs without .yaml, sorted.
func Names() []string {
	files, err := fs.Glob(FS, "*.yaml")
	if err != nil {
		panic("specs: bad pattern")
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".yaml")
	}
	return files
}
