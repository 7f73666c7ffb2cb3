package launch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// PluginDirEnv names the variable with folders, in the manner of PATH, that
// are searched for plugins first.
const PluginDirEnv = "VAEGUARD_PLUGIN_DIR"

// maxManifest is the most bytes of a manifest.
const maxManifest = 1 << 20

// Plugin is a plugin that was found.
type Plugin struct {
	Name     string
	Shipped  bool     // inside this program
	Dir      string   // of its manifest, "" for shipped ones
	Manifest Manifest // empty for shipped ones
	Command  Command
}

// Network reports whether the plugin says that it speaks with other machines.
func (p Plugin) Network() bool { return p.Command.needs != nil && p.Command.needs.Network }

// Finder finds plugins by name.
type Finder struct {
	Dirs         []string // searched in this order: each has a folder per plugin
	ReadManifest func([]byte) (Manifest, error)
	// NoLock leaves the lock beside a spec alone: a detector's folder is not its
	// user's.
	NoLock bool
}

// DefaultDirs are $VAEGUARD_PLUGIN_DIR, the folders beside the executable and
// ~/.vaeguard/plugins.
func DefaultDirs() []string {
	dirs := filepath.SplitList(os.Getenv(PluginDirEnv))
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dirs = append(dirs, filepath.Dir(exe), filepath.Join(filepath.Dir(exe), "plugins"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".vaeguard", "plugins"))
	}
	return slices.DeleteFunc(dirs, func(d string) bool { return d == "" })
}

// List is all plugins: the shipped ones, then those of Dirs in order. The
// error joins what is wrong with folders that are not plugins.
func (f Finder) List() ([]Plugin, error) {
	var found []Plugin
	var errs []error
	for _, name := range ShippedNames() {
		cmd, err := Self(name)
		if err != nil {
			return nil, err
		}
		found = append(found, Plugin{Name: name, Shipped: true, Command: cmd})
	}
	for _, dir := range f.Dirs {
		names, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*", ManifestName))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, name := range names {
			p, err := f.Open(filepath.Dir(name))
			if err != nil {
				errs = append(errs, err)
				continue
			}
			found = append(found, p)
		}
	}
	return found, errors.Join(errs...)
}

// Find is the plugin of a name: the shipped one, else that of the first folder
// of Dirs that has one. The names of shipped plugins are reserved: a folder
// with such a name is an error, and so are two of one name in one folder.
func (f Finder) Find(name string) (Plugin, error) {
	all, broken := f.List()
	var same []Plugin
	var known []string
	for _, p := range all {
		if p.Name == name {
			same = append(same, p)
		}
		known = append(known, p.Name)
	}
	fault := func(err error) error { return &Error{Op: "find", Plugin: name, Err: err} }
	switch {
	case len(same) == 0:
		err := fmt.Errorf("no such plugin; there are %s", strings.Join(slices.Compact(known), ", "))
		if len(known) == 0 {
			err = fmt.Errorf("no such plugin; there are none in %s", strings.Join(f.Dirs, ", "))
		}
		if linked.Load() == nil {
			err = fmt.Errorf("%w; %w", err, errNoHook)
		}
		if broken != nil {
			err = fmt.Errorf("%w, and what could not be read: %w", err, broken)
		}
		return Plugin{}, fault(err)
	case len(same) > 1 && same[0].Shipped:
		return Plugin{}, fault(fmt.Errorf("the name belongs to the plugin shipped in %s, but %s has it too: rename that one", same[0].Command.Path, same[1].Dir))
	case len(same) > 1 && filepath.Dir(same[0].Dir) == filepath.Dir(same[1].Dir):
		return Plugin{}, fault(fmt.Errorf("both %s and %s have the name", same[0].Dir, same[1].Dir))
	}
	return same[0], nil
}

// Open reads one plugin folder.
func (f Finder) Open(dir string) (Plugin, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Plugin{}, err
	}
	name := filepath.Join(dir, ManifestName)
	fault := func(err error) error { return &Error{Op: "find", Plugin: filepath.Base(dir), Path: name, Err: err} }
	text, err := readSmall(name)
	if err != nil {
		return Plugin{}, fault(err)
	}
	m, err := f.ReadManifest(text)
	if err != nil {
		return Plugin{}, fault(err)
	}
	switch {
	case m.Name == "":
		return Plugin{}, fault(errors.New("it has no name"))
	case len(m.Command) == 0:
		return Plugin{}, fault(errors.New("it has no command"))
	}
	for _, file := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(file)) {
			return Plugin{}, fault(fmt.Errorf("file %q is outside the folder", file))
		}
	}
	cmd := Argv(m.Command, dir)
	cmd.Name, cmd.Files = m.Name, m.Files
	sum := sha256.Sum256(text)
	cmd.manifest = hex.EncodeToString(sum[:])
	cmd.needs = m.Confine
	if schema := m.Schema(); schema != nil {
		cmd.schema = func() []byte { return schema }
	}
	return Plugin{Name: m.Name, Dir: dir, Manifest: m, Command: cmd}, nil
}

// Path is what classifier.path names: a plugin folder, or a program.
func (f Finder) Path(path, base string) (Plugin, error) {
	name := path
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, filepath.FromSlash(path))
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return f.Open(path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Plugin{}, err
	}
	return Plugin{Name: name, Command: Command{Name: name, Path: abs}}, nil
}

// Argv is what classifier.command names: a program and its arguments, run in
// base. A program that is a file in base is that one, else it is looked up in
// PATH; one with a separator, such as ./prog, is a path and never looked up.
func Argv(argv []string, base string) Command {
	c := Command{Name: strings.Join(argv, " "), Dir: base}
	if len(argv) == 0 {
		return c
	}
	c.Path, c.Args, c.words = argv[0], slices.Clone(argv[1:]), slices.Clone(argv)
	name := filepath.FromSlash(c.Path)
	if !filepath.IsLocal(name) {
		return c
	}
	file, err := filepath.Abs(filepath.Join(base, name)) // joined alone it would lose the ./ that makes it a path
	if err != nil {
		return c
	}
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() || strings.ContainsAny(c.Path, `/\`) {
		c.Path = file
	}
	return c
}

func readSmall(name string) ([]byte, error) { return readWhole(name, maxManifest) }

// readWhole reads a file of at most most bytes.
func readWhole(name string, most int64) (text []byte, err error) {
	f, _, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err = io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("more than %d bytes", most)
	}
	return text, err
}

// escapeGlob makes dir stand for itself in a pattern.
func escapeGlob(dir string) string {
	if os.PathSeparator == '\\' {
		return dir // Windows has no escapes, and its names no stars
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
