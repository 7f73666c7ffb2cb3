package host

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/secret"
)

// stored is a saved detector and what it lies in.
type stored struct {
	*artifact.Detector
	dir    string // where its files lie; Dir is how the caller names it
	run    string // the run that it was found in, or ""
	root   string // of the pack that it was in, extracted; "": none
	pack   *pack.Manifest
	remove func() // what was extracted
}

// packedDetector is where a pack keeps its detector.
const packedDetector = "detector"

// findDetector reads and verifies a detector: a folder, that of a run, or a
// pack, which is extracted into a private folder until remove is called.
func findDetector(path string) (_ *stored, err error) {
	if !pack.Is(path) {
		saved, err := artifact.Load(path)
		if err != nil {
			return nil, err
		}
		return storedIn(saved, path), nil
	}
	m, root, remove, err := unpack(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			remove()
		}
	}()
	dir := filepath.Join(root, packedDetector)
	saved, err := artifact.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", path, err)
	}
	saved.Dir = path
	return &stored{Detector: saved, dir: dir, run: root, root: root, pack: &m, remove: remove}, nil
}

// Unpack extracts a pack into a private folder, verified. The caller must call
// remove.
func Unpack(path string) (dir string, remove func(), err error) {
	_, dir, remove, err = unpack(path)
	return dir, remove, err
}

func unpack(path string) (pack.Manifest, string, func(), error) {
	root, remove, err := launch.TempDir()
	if err != nil {
		return pack.Manifest{}, "", nil, err
	}
	m, err := pack.Extract(path, root)
	if err != nil {
		remove()
		return m, "", nil, err
	}
	return m, root, remove, nil
}

// storedIn is a detector that was loaded from a folder, which path names.
func storedIn(saved *artifact.Detector, path string) *stored {
	s := &stored{Detector: saved, dir: saved.Dir, remove: func() {}}
	if filepath.Clean(path) != filepath.Clean(saved.Dir) {
		s.run = path
	}
	return s
}

// base is the folder that relative paths of the spec start from. note says what
// is to be said of it, if anything.
func (s *stored) base(o OpenOptions) (dir, note string) {
	switch {
	case o.Base != "":
		return o.Base, ""
	case s.pack != nil:
		return s.root, ""
	case s.Meta.Base == "":
		return s.dir, ""
	case filepath.IsAbs(s.Meta.Base):
		note = "the detector was saved by an earlier version, which wrote the folder of its spec as an absolute path: vaeguard calibrate --out and vaeguard pack write one without"
		dir = s.Meta.Base
	default:
		real, err := filepath.Abs(s.dir)
		if err == nil {
			real, err = filepath.EvalSymlinks(real)
		}
		if err != nil {
			return s.dir, ""
		}
		dir = filepath.Join(real, filepath.FromSlash(s.Meta.Base))
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return s.dir, note
	}
	return dir, note
}

// relativeBase is the folder base as the detector in dir names it: "" if there
// is no way from one to the other.
func relativeBase(dir, base string) string {
	from, err := resolved(dir)
	if err != nil {
		return ""
	}
	to, err := resolved(base)
	if err != nil {
		return ""
	}
	rel, err := filepath.Rel(from, to)
	if err != nil {
		return ""
	}
	return filepath.ToSlash(rel)
}

// resolved is a path that may not exist yet, absolute and without links.
func resolved(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err == nil {
		return real, nil
	}
	parent := filepath.Dir(abs)
	if !os.IsNotExist(err) || parent == abs {
		return "", err
	}
	if parent, err = resolved(parent); err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(abs)), nil
}

// Reopen reads the resolved spec of a saved detector, without starting
// anything.
func Reopen(saved *artifact.Detector, c Components) (*Experiment, error) {
	return reopen(storedIn(saved, saved.Dir), c, OpenOptions{})
}

// Stored is what a saved detector says of itself, without its classifier.
type Stored struct {
	Experiment *Experiment
	Saved      *artifact.Detector
	// Pack is what the detector lies in: nil unless it is a pack.
	Pack *pack.Manifest
}

// Inspect verifies a detector, a run's or that of a pack, and reads it. Nothing
// is started.
func Inspect(path string, c Components) (*Stored, error) {
	s, err := findDetector(path)
	if err != nil {
		return nil, err
	}
	defer s.remove()
	e, err := reopen(s, c, OpenOptions{})
	if err != nil {
		return nil, err
	}
	return &Stored{Experiment: e, Saved: s.Detector, Pack: s.pack}, nil
}

// reopen reads the resolved spec of a saved detector, with the places that its
// pack and the caller name.
func reopen(s *stored, c Components, o OpenOptions) (*Experiment, error) {
	base, note := s.base(o)
	if note != "" {
		o.logger().Warn(note, "detector", s.Dir)
	}
	set, err := s.overrides(o)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(base, artifact.SpecFile)
	sp, err := parseStored(s, file, set, c)
	if err != nil {
		return nil, err
	}
	if more := relativeToHere(sp, o.Classifier, c); len(more) > 0 {
		if sp, err = parseStored(s, file, append(set, more...), c); err != nil {
			return nil, err
		}
	}
	e := newExperiment(sp, c, o.Options)
	e.open, e.stored, e.root, e.lent = &o, s, s.root, o.Model
	if s.Meta.Signature == nil && len(s.Meta.InputShape) == 1 {
		e.o.logger().Warn("the detector was saved by an earlier version, which kept no names: columns go by position, so give them in the order of data.train; training it again keeps the names", "detector", s.Dir)
	}
	if e.rows.door, err = savedDoor(sp, s.Detector); err != nil {
		return nil, fmt.Errorf("detector %s: %w", s.Dir, err)
	}
	return e, nil
}

// parseStored reads the spec of a saved detector, as if from file, with
// overrides. Of several that say which classifier it is, the last counts.
func parseStored(s *stored, file string, set []string, c Components) (*Spec, error) {
	o := spec.Options{Foreign: true}
	which := func(one string) string { // of plugin, path and command
		key, _, _ := strings.Cut(strings.TrimPrefix(one, "classifier."), "=")
		key, _, _ = strings.Cut(key, "[")
		if slices.Contains([]string{"plugin", "path", "command"}, key) {
			return key
		}
		return ""
	}
	last := ""
	for _, one := range set {
		last = cmp.Or(which(one), last)
	}
	for _, one := range set {
		if key := which(one); key == "" || key == last {
			o.Set = append(o.Set, one)
		}
	}
	if last != "" {
		for _, key := range []string{"plugin", "path", "command"} {
			if key != last {
				o.Drop = append(o.Drop, "classifier."+key)
			}
		}
	}
	sp, err := parse(file, s.Spec, c, o)
	if err != nil {
		return nil, fmt.Errorf("detector %s: %w", s.Dir, err)
	}
	return sp, nil
}

// noPin is the override that removes the spec's pin.
const noPin = `classifier.sha256=""`

// overrides are those of the spec's section classifier: what the pack has in
// another place than the spec says, then what the caller gives.
func (s *stored) overrides(o OpenOptions) ([]string, error) {
	var set []string
	if s.pack != nil {
		for _, p := range s.pack.Places {
			to := filepath.FromSlash(p.Path)
			if o.Base != "" {
				to = filepath.Join(s.root, to)
			}
			set = append(set, setClassifier(p.Key, to))
		}
		if slices.ContainsFunc(s.pack.Places, func(p pack.Place) bool { return p.Key == "path" || strings.HasPrefix(p.Key, "command") }) {
			set = append(set, noPin) // its digest has the names of its files, which are others now
		}
	}
	given, err := givenOverrides(o.Classifier)
	return append(set, given...), err
}

// givenOverrides are those that a caller gives, KEY=VALUE.
func givenOverrides(given []string) ([]string, error) {
	var set []string
	pinned := slices.ContainsFunc(given, func(one string) bool { return strings.HasPrefix(strings.TrimSpace(one), "sha256=") })
	for _, one := range given {
		key, value, ok := strings.Cut(one, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return nil, spec.Errors{{File: "--classifier " + one, Message: "want KEY=VALUE, such as config.model=net.onnx"}}
		}
		if key == "plugin" && strings.ContainsAny(value, `/\`) {
			key = "path"
		}
		switch key {
		case "path":
			abs, err := filepath.Abs(value)
			if err != nil {
				return nil, err
			}
			set = append(set, setClassifier(key, abs))
		default:
			set = append(set, "classifier."+key+"="+value)
		}
		if !pinned && (key == "path" || key == "plugin" || key == "command") {
			set = append(set, noPin) // the pin was of another one
		}
	}
	return set, nil
}

// setClassifier is the override that gives a key of the section classifier a
// text.
func setClassifier(key, text string) string { return "classifier." + key + "=" + quoted(text) }

// quoted is a text as the value of an override: no YAML and no variable.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic("host: a string has a JSON form")
	}
	return strings.ReplaceAll(string(b), "${", "$${")
}

// relativeToHere are overrides for the paths among those of a caller: like
// those of every flag, they start from the working folder, not the spec's.
func relativeToHere(s *Spec, given []string, c Components) []string {
	if len(given) == 0 {
		return nil
	}
	p, err := s.Classifier.Model.Find(launch.Finder{Dirs: launch.DefaultDirs(), ReadManifest: ReadManifest, NoLock: true}, s.Abs("."))
	if err != nil {
		return nil // the start says so
	}
	config, err := s.Classifier.Model.ConfigJSON()
	if err != nil {
		return nil
	}
	var set []string
	for _, path := range secret.Paths(schemaOf(p, c), config) {
		key := "config" + dotted(path.Pointer)
		for _, one := range given {
			name, _, _ := strings.Cut(one, "=")
			if name = strings.TrimSpace(name); key != name && !strings.HasPrefix(key, name+".") && !strings.HasPrefix(key, name+"[") {
				continue
			}
			if abs, err := filepath.Abs(path.Value); err == nil && abs != path.Value {
				set = append(set, setClassifier(key, abs))
			}
		}
	}
	return set
}
