package host

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Plugins finds plugins: shipped ones, and folders in $VAEGUARD_PLUGIN_DIR,
// beside the executable and in ~/.vaeguard/plugins.
func Plugins() launch.Finder {
	return launch.Finder{Dirs: launch.DefaultDirs(), ReadManifest: readManifest}
}

func readManifest(text []byte) (launch.Manifest, error) {
	m, err := spec.ParseManifest(spec.ManifestName, text)
	if err != nil {
		return launch.Manifest{}, err
	}
	out := launch.Manifest{Name: m.Name, Version: m.Version, Summary: m.Summary, Command: m.Command, Files: m.Files, InputShape: tensor.Shape(m.InputShape)}
	if m.Config != nil {
		if out.Config, err = json.Marshal(m.Config); err != nil {
			return out, err
		}
	}
	return out, nil
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

// pluginOf finds what a spec's section classifier names, with its pin: the
// section's own, else that of vaeguard.lock beside the spec.
func pluginOf(s spec.Classifier, base string) (launch.Plugin, error) {
	var p launch.Plugin
	var err error
	name := s.Plugin
	switch {
	case s.Path != "":
		name = s.Path
		p, err = Plugins().Path(s.Path, base)
	case len(s.Command) > 0:
		p.Command = launch.Argv(s.Command, base)
		p.Name = p.Command.Name
		name = p.Name
	default:
		p, err = Plugins().Find(s.Plugin)
	}
	if err != nil {
		return p, err
	}
	p.Command.SHA256 = s.SHA256
	if s.SHA256 == "" {
		lock, err := launch.ReadLock(filepath.Join(base, LockFile))
		if err != nil {
			return p, err
		}
		p.Command.SHA256 = lock.Pin(name)
	}
	return p, nil
}

// LockFile pins plugins by digest, for every platform; it lies beside the spec.
const LockFile = "vaeguard.lock"
