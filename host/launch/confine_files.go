package launch

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/secret"
)

// surroundings are what a program that is not this one may execute and load: its own
// folder, the files that its command names with what lies beside them, the system's
// programs, and where an interpreter has its library.
func (v *verified) surroundings() []string {
	found := []string{"/usr", "/bin", "/sbin", "/etc/alternatives"}
	bins := append(filepath.SplitList(os.Getenv("PATH")), filepath.Dir(v.file))
	if real, err := filepath.EvalSymlinks(v.file); err == nil {
		bins = append(bins, filepath.Dir(real))
	}
	for _, bin := range bins {
		if filepath.IsAbs(bin) {
			found = append(found, prefix(filepath.Dir(bin))...)
		}
	}
	for _, name := range []string{"PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "PYENV_ROOT"} {
		if at := os.Getenv(name); at != "" {
			found = append(found, prefix(at)...)
		}
	}
	found = append(found, filepath.SplitList(os.Getenv("PYTHONPATH"))...)
	if v.manifest != "" {
		found = append(found, v.Dir)
	} else {
		found = append(found, beside(v.file)...)
	}
	for _, name := range slices.Concat(v.Args, v.Files) {
		if info, err := os.Stat(v.at(name)); err == nil && info.Mode().IsRegular() {
			found = append(found, beside(v.at(name))...)
		}
	}
	if v.shadow != nil {
		found = append(found, v.shadow.root)
	}
	return found
}

// prefix are the folders that programs installed under one have their parts in.
func prefix(at string) []string {
	var found []string
	for _, part := range []string{"bin", "lib", "lib64", "libexec", "share", "versions", "version", "pyvenv.cfg"} {
		found = append(found, filepath.Join(at, part))
	}
	return found
}

// beside is a file with what lies in its folder. Of a folder that holds more than a model
// or a program, such as the user's home or that of all temporary files, it is only what
// begins with the file's name without extension.
func beside(file string) []string {
	dir := filepath.Dir(file)
	if !Wide(dir) {
		return []string{file, dir}
	}
	found := []string{file}
	stem := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return found
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stem) && e.Type().IsRegular() {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found
}

// Wide reports whether a folder holds more than a model or a program: the user's home, that
// of all temporary files, and those above them.
func Wide(dir string) bool {
	home, _ := os.UserHomeDir()
	return dir == filepath.Clean(os.TempDir()) || dir == "/tmp" || filepath.Dir(dir) == dir || home != "" && (dir == home || within(dir, home))
}

// Named are the files and folders that a config names: by the plugin's schema or, where none
// is known before the start, every string that is the name of one.
func Named(schema []byte, conf sdk.Config) []secret.Path {
	if schema != nil {
		return secret.Paths(schema, conf.JSON)
	}
	var found []secret.Path
	for _, p := range secret.Strings(conf.JSON) {
		if len(p.Value) >= maxPath || strings.ContainsRune(p.Value, 0) {
			continue
		}
		if _, err := os.Stat(conf.Path(p.Value)); err == nil {
			found = append(found, p)
		}
	}
	return found
}

// configured are the files and folders that a config names: by the plugin's schema or, where
// none is known before the start, every string that is the name of one. A file that belongs to the machine
// comes alone, a model with what lies beside it.
func configured(schema func() []byte, conf sdk.Config) []string {
	at := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(conf.BaseDir, filepath.FromSlash(name))
	}
	var found []string
	add := func(file string, alone bool) {
		info, err := os.Stat(file)
		switch {
		case err != nil:
		case info.IsDir() || alone:
			found = append(found, file)
		default:
			found = append(found, beside(file)...)
		}
	}
	if schema != nil {
		for _, p := range secret.Paths(schema(), conf.JSON) {
			add(at(p.Value), p.Private)
		}
		return found
	}
	var doc any
	if json.Unmarshal(conf.JSON, &doc) != nil {
		return nil
	}
	for _, text := range texts(nil, doc) {
		if len(text) < maxPath && !strings.ContainsRune(text, 0) {
			add(at(text), false)
		}
	}
	return found
}

// texts are the strings of a document of JSON that are not empty.
func texts(found []string, v any) []string {
	switch v := v.(type) {
	case string:
		if v != "" {
			found = append(found, v)
		}
	case map[string]any:
		for _, x := range v {
			found = texts(found, x)
		}
	case []any:
		for _, x := range v {
			found = texts(found, x)
		}
	}
	return found
}
