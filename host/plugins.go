package host

import (
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
)

// Plugins finds plugins: shipped ones, and folders in $VAEGUARD_PLUGIN_DIR,
// beside the executable and in ~/.vaeguard/plugins.
func Plugins() launch.Finder {
	return launch.Finder{Dirs: launch.DefaultDirs(), ReadManifest: ReadManifest}
}

// ReadManifest reads the text of a plugin.yaml. Variables are not expanded. All
// faults come back at once, as spec.Errors.
func ReadManifest(text []byte) (launch.Manifest, error) {
	var m launch.Manifest
	_, err := spec.Parse(launch.ManifestName, text, &m, spec.Options{Literal: true, Checks: []spec.Check{{
		Find: func(d *spec.Document, _ spec.Errors) spec.Errors {
			if m.Config == nil {
				return nil
			}
			return d.Faults("config", spec.CheckSchema(m.Schema()))
		},
	}}})
	return m, err
}

// FindPlugin resolves what a command line names: a path (an executable, or a
// folder with plugin.yaml), or a name (shipped, or discovered).
func FindPlugin(nameOrPath string) (launch.Plugin, error) {
	if filepath.Base(nameOrPath) == nameOrPath {
		p, err := Plugins().Find(nameOrPath)
		if err == nil {
			return p, nil
		}
		if _, stat := os.Stat(nameOrPath); stat != nil {
			return p, err
		}
	}
	return Plugins().Path(nameOrPath, ".")
}

// ReadConfig reads a plugin's config, YAML or JSON, as JSON.
func ReadConfig(file string) ([]byte, error) { return spec.ReadConfig(file, os.LookupEnv) }
