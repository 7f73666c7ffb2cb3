package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/launch"
)

// The folders of a pack beside the detector's.
const (
	packedPlugin  = "plugin"
	packedCommand = "command"
	packedFiles   = "files"
)

// Packed is what Pack wrote.
type Packed struct {
	Manifest pack.Manifest
	// Digest is the packed detector's identity. It is that of the original, Was,
	// unless that named absolute paths, which a pack does not, or the caller gave
	// other values than places for its classifier.
	Digest, Was string
	// Allow is what OpenOptions.AllowCommand needs to open the pack, "sha256:…", or two with a
	// comma between them; "" for a shipped classifier that asks for nothing, or if the pack does not open here.
	Allow string
	// Asks are what the pack asks for besides its classifier being started, in words: servers that
	// rows are sent to, variables of the environment, files that are not its own.
	Asks []string
	// LeftOut are files and folders of a plugin's folder that were not packed.
	LeftOut []string
}

// Pack writes a detector with what its classifier is made of to out: X.vg, a tar,
// or X/, a folder, which must not exist. Opened elsewhere, by another user, it
// gives the same verdicts. What the other machine must have nevertheless is in
// Manifest.Needs. A classifier whose config cannot be told without it is started.
func Pack(ctx context.Context, detector, out string, c Components, o OpenOptions) (*Packed, error) {
	is, folder := pack.Named(out)
	if !is {
		return nil, fmt.Errorf("pack: %q: want X%s, or a folder X/", out, pack.Extension)
	}
	s, err := findDetector(detector)
	if err != nil {
		return nil, err
	}
	defer s.remove()
	e, err := reopen(s, c, o)
	if err != nil {
		return nil, err
	}
	trained := false
	if s.ClassifierDir != "" {
		_, trained = launch.ReadFit(s.ClassifierDir, e.Spec.Classifier.Model.Config)
	}
	plugin, err := e.Spec.Classifier.Model.Find(e.finder(), e.Spec.Abs("."))
	if err != nil {
		return nil, e.Spec.Unexpanded(e.hintParts(s.Dir, trained, err))
	}
	schema := schemaOf(plugin, c)
	if schema == nil && !plugin.Shipped && !trained && len(e.Spec.Classifier.Model.Config) > 0 {
		if schema, err = s.askSchema(ctx, c, o); err != nil {
			return nil, err
		}
	}
	parts, err := e.parts(plugin, schema, trained)
	if err != nil {
		return nil, err
	}
	if err := e.packable(ctx, plugin, parts); err != nil {
		return nil, e.Spec.Unexpanded(err)
	}
	b := &bundle{e: e, s: s, plugin: plugin, out: out}
	for _, p := range parts {
		if err := b.add(p); err != nil {
			return nil, fmt.Errorf("packing classifier.%s: %w", p.key, e.Spec.Unexpanded(err))
		}
	}
	b.needs(parts)
	if b.given, err = b.lasting(o.Classifier); err != nil {
		return nil, err
	}
	digest, err := b.detector(c)
	if b.ended != nil {
		defer b.ended()
	}
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"report.json", "scores.json"} { // of a run, which `runs compare` reads
		if info, err := os.Stat(filepath.Join(s.run, name)); s.run != "" && err == nil && info.Mode().IsRegular() {
			b.sources = append(b.sources, pack.Source{Name: name, Path: filepath.Join(s.run, name)})
		}
	}
	m, err := pack.Write(out, folder, b.m, b.sources)
	if err != nil {
		return nil, err
	}
	packed := &Packed{Manifest: m, Digest: digest, Was: s.Digest, LeftOut: b.leftOut}
	packed.Allow, packed.Asks = e.allowOf(out)
	return packed, nil
}

// allowOf is the digest of what a pack runs and asks for, as it is once it is extracted, and
// what it asks for; nothing if that cannot be told here. If the user allows what the detector
// asks for that was packed, the pack may have it too.
func (e *Experiment) allowOf(path string) (sum string, what []string) {
	s, err := findDetector(path)
	if err != nil {
		return "", nil
	}
	defer s.remove()
	packed, err := reopen(s, e.c, OpenOptions{})
	if err != nil {
		return "", nil
	}
	if sum, err = packed.CommandDigest(); err != nil {
		return "", nil
	}
	asks, more, err := packed.asksOf(s)
	if err != nil || !more {
		return sum, nil
	}
	was, _, err := e.asksOf(e.stored)
	if err != nil {
		return sum, asks.What
	}
	if ok, err := e.consent().Permits(was); ok && err == nil {
		if err := asks.Remember(launch.UserList()); err != nil {
			e.o.logger().Warn("what the pack asks for cannot be noted as allowed: opening it will need --allow-command", "cause", err)
		}
	}
	return sum, asks.What
}

// askSchema starts the detector's classifier and asks for its schema.
func (s *stored) askSchema(ctx context.Context, c Components, o OpenOptions) (_ []byte, err error) {
	again := *s
	again.remove = func() {}
	d, err := again.open(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	info, err := d.Classifier.Info(ctx)
	return info.Schema, err
}

// bundle gathers what goes into a pack.
type bundle struct {
	e      *Experiment
	s      *stored
	plugin launch.Plugin
	out    string

	m       pack.Manifest
	sources []pack.Source
	leftOut []string
	places  map[string]string // by key of the section classifier, in the pack
	ended   func()            // removes what is packed from a temporary place; nil: nothing is
	given   []string          // overrides that the packed spec is to have
}

// lasting are a caller's overrides if any says more than where a part is: those
// the manifest cannot say.
func (b *bundle) lasting(given []string) ([]string, error) {
	set, err := givenOverrides(given)
	if err != nil {
		return nil, err
	}
	for _, one := range set {
		key, _, _ := strings.Cut(strings.TrimPrefix(one, "classifier."), "=")
		if _, ok := b.places[key]; !ok && one != noPin {
			return set, nil
		}
	}
	return nil, nil
}

// add packs a part of the classifier.
func (b *bundle) add(p part) error {
	if p.private {
		return nil
	}
	info, err := os.Stat(p.file)
	if err != nil {
		return fmt.Errorf("%s is not there (--base DIR and --classifier KEY=VALUE name other places): %w", p.value, err)
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return fmt.Errorf("%q is neither a file nor a folder", p.file)
	}
	dir := packedFiles + "/" + flat(p.key)
	switch {
	case p.key == "path" && info.IsDir():
		return b.addFolder(p, packedPlugin)
	case p.key == "path":
		dir = packedPlugin
	case strings.HasPrefix(p.key, "command"):
		// Beside each other as they were, since programs look for files beside them.
		name := filepath.ToSlash(p.value)
		if b.s.pack != nil {
			name = strings.TrimPrefix(name, packedCommand+"/")
		}
		if filepath.IsAbs(p.value) || !filepath.IsLocal(p.value) {
			name = filepath.Base(p.file)
		}
		return b.addFile(p, packedCommand+"/"+path.Clean(name))
	case info.IsDir():
		return b.addFolder(p, dir+"/"+filepath.Base(p.file))
	}
	if err := b.addFile(p, dir+"/"+filepath.Base(p.file)); err != nil {
		return err
	}
	shipped, err := b.e.c.Classifiers.Lookup(b.plugin.Name)
	if err != nil || !b.plugin.Shipped || shipped.Beside == nil {
		return nil //nolint:nilerr // no plugin of these components: nothing is known of its files
	}
	beside, err := shipped.Beside(p.file)
	if err != nil {
		return err
	}
	for _, name := range beside {
		b.sources = append(b.sources, pack.Source{Name: dir + "/" + name, Path: filepath.Join(filepath.Dir(p.file), filepath.FromSlash(name))})
	}
	return nil
}

// flat is a key as the name of a folder.
func flat(key string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '.'
	}, strings.TrimRight(strings.TrimPrefix(key, "config."), "]"))
}

func (b *bundle) addFile(p part, name string) error {
	info, err := os.Stat(p.file)
	if err != nil {
		return err
	}
	b.place(p.key, name)
	if slices.ContainsFunc(b.sources, func(s pack.Source) bool { return s.Name == name && s.Path == p.file }) {
		return nil // one file, named twice
	}
	b.sources = append(b.sources, pack.Source{Name: name, Path: p.file, Program: info.Mode()&0o111 != 0})
	return nil
}

func (b *bundle) place(key, name string) {
	if b.places == nil {
		b.places = map[string]string{}
	}
	b.places[key] = name
	b.m.Places = append(b.m.Places, pack.Place{Key: key, Path: name})
}

// detector packs the detector, byte for byte unless it names absolute paths, and
// gives its digest.
func (b *bundle) detector(c Components) (string, error) {
	dir := b.s.dir
	set := append(b.given, b.absolutes()...)
	if len(set) > 0 || filepath.IsAbs(b.s.Meta.Base) {
		work, remove, err := launch.TempDir()
		if err != nil {
			return "", err
		}
		b.ended = remove
		clean, err := parseStored(b.s, b.e.Spec.Abs(artifact.SpecFile), set, c)
		if err != nil {
			return "", err
		}
		changed := *b.s.Detector
		changed.Spec, changed.Meta.Base = clean.Resolved(), ""
		dir = filepath.Join(work, packedDetector)
		if err := artifact.Save(dir, &changed, false); err != nil {
			return "", err
		}
	}
	saved, sources, err := detectorSources(dir)
	if err != nil {
		return "", err
	}
	b.sources = append(b.sources, sources...)
	return saved.Digest, nil
}

// absolutes are overrides of what the detector's own spec names by absolute
// paths: where the pack has it, else by its name alone.
func (b *bundle) absolutes() []string {
	own, err := parseStored(b.s, b.e.Spec.Abs(artifact.SpecFile), b.given, b.e.c)
	if err != nil {
		return nil // it was read before
	}
	var set []string
	for key, text := range own.Texts() {
		if !filepath.IsAbs(text) {
			continue
		}
		short := filepath.Base(text)
		if rel, err := filepath.Rel(b.e.Spec.Abs("."), text); err == nil && filepath.IsLocal(rel) {
			short = filepath.ToSlash(rel)
		}
		inner, classifier := strings.CutPrefix(key, "classifier.")
		if place, ok := b.places[inner]; ok && classifier {
			short = place
		} else if classifier && inner == "command[0]" {
			continue // a program of the system
		}
		set = append(set, key+"="+quoted(short))
	}
	slices.Sort(set)
	return set
}

// detectorSources are the files of the detector in dir, as a pack has them.
func detectorSources(dir string) (*artifact.Detector, []pack.Source, error) {
	saved, err := artifact.Load(dir)
	if err != nil {
		return nil, nil, err
	}
	files, classifier, err := artifact.Files(dir)
	if err != nil {
		return nil, nil, err
	}
	if sum := sha256.Sum256(files[artifact.MetaFile]); "sha256:"+hex.EncodeToString(sum[:]) != saved.Digest {
		return nil, nil, fmt.Errorf("detector %s changed while it was packed", dir)
	}
	var out []pack.Source
	for name, data := range files {
		out = append(out, pack.Source{Name: packedDetector + "/" + name, Data: data})
	}
	for _, name := range classifier {
		out = append(out, pack.Source{Name: packedDetector + "/" + name, Path: filepath.Join(dir, filepath.FromSlash(name))})
	}
	return saved, out, nil
}
