package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/secret"
)

// A detector is data, and its section classifier says more than what is started: where a
// plugin that speaks with other machines sends the rows, which variables of its user's
// environment are put into the config or are told to others, which files the plugin is given. That is its author's
// word. It counts where its user has trained with it, or says so by a digest of the section.

// maxPeerFile is the most bytes of a file that says whom to trust.
const maxPeerFile = 4 << 20

// given reports whether the caller, and not the detector, gives a key of the section
// classifier.
func (o OpenOptions) given(key string) bool {
	return slices.ContainsFunc(o.Classifier, func(one string) bool {
		name, _, _ := strings.Cut(one, "=")
		return within(strings.TrimSpace(name), key)
	})
}

// within reports whether key is name or one below it.
func within(name, key string) bool {
	rest, ok := strings.CutPrefix(key, name)
	return ok && name != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// asks is what the saved detector asks for here besides its plugin p being started and
// configured with conf: of variables, those that are set.
func (e *Experiment) asks(p launch.Plugin, conf sdk.Config) (launch.Asks, error) {
	return e.asksWhere(p, conf, func(name string) bool { _, ok := os.LookupEnv(name); return ok })
}

// asksWhere is asks where some variables are set.
func (e *Experiment) asksWhere(p launch.Plugin, conf sdk.Config, set func(name string) bool) (launch.Asks, error) {
	s := e.stored
	section, err := spec.ReadRaw(e.Spec.File(), s.Spec, "classifier")
	if err != nil {
		return launch.Asks{}, err
	}
	a := &asked{e: e, plugin: p, conf: conf, section: section, schema: schemaOf(p, e.c), set: set}
	a.line("vaeguard detector 1")
	if p.Shipped {
		a.line("shipped %q", p.Name)
	}
	a.line("classifier %s", section.JSON)
	if s.ClassifierDir != "" {
		dir, err := filepath.Abs(s.ClassifierDir)
		if err == nil && dir == conf.BaseDir {
			file := filepath.Join(dir, launch.FitFile)
			a.line("trained %s", fileSum(file))
			text, err := os.ReadFile(file) // as it was read before
			a.trained = err == nil && !bytes.Contains(text, []byte(secret.Redacted))
		}
	}
	a.peers()
	a.variables()
	if err := a.told(); err != nil {
		return launch.Asks{}, err
	}
	a.files()
	return launch.Asks{What: a.what, Text: a.text.String()}, nil
}

// asked gathers what a detector asks for.
type asked struct {
	e       *Experiment
	plugin  launch.Plugin
	conf    sdk.Config
	section spec.Raw
	schema  []byte
	set     func(variable string) bool
	trained bool // the config is the one that a Fit left, and takes nothing from the detector's

	what []string
	text strings.Builder
}

func (a *asked) line(format string, args ...any) { fmt.Fprintf(&a.text, format+"\n", args...) }

// given reports whether the caller gives a key, or the pack has what it names.
func (a *asked) given(key string) bool { return a.e.open != nil && a.e.open.given(key) }

// peers are what decides with whom a plugin speaks that speaks with other machines: what
// its schema marks so, and all of a config if it marks nothing.
func (a *asked) peers() {
	if !a.plugin.Network() {
		return
	}
	marked := secret.Marked(a.schema, a.conf.JSON, "peer")
	if !secret.Uses(a.schema, "peer") {
		marked = nil
		var config map[string]json.RawMessage
		if json.Unmarshal(a.conf.JSON, &config) == nil {
			for key, v := range config {
				marked = append(marked, secret.Value{Pointer: "/" + key, JSON: string(v)})
			}
		}
		slices.SortFunc(marked, func(x, y secret.Value) int { return strings.Compare(x.Pointer, y.Pointer) })
	}
	paths := secret.Paths(a.schema, a.conf.JSON)
	var said []string
	for _, v := range marked {
		key := "config" + dotted(v.Pointer)
		if a.given(key) {
			continue
		}
		said = append(said, fmt.Sprintf("%s %s", key, a.written(key, v.JSON)))
		for _, p := range paths {
			if p.Pointer == v.Pointer { // another file of the same name is another one to trust
				a.line("peer %s %s", key, fileSum(a.conf.Path(p.Value)))
			}
		}
	}
	if len(said) > 0 {
		a.what = append(a.what, fmt.Sprintf("that plugin %s sends rows to other machines, by %s", a.plugin.Name, strings.Join(said, ", ")))
	}
}

// written is a value as the detector has it, its variables by their names.
func (a *asked) written(key, value string) string {
	for _, t := range a.section.Texts {
		if t.Path == key {
			return strconv.Quote(t.Text)
		}
	}
	return value
}

// variables are those of the environment that go to the plugin or into its command.
func (a *asked) variables() {
	for _, t := range a.section.Texts {
		config := within("config", t.Path)
		command := within("plugin", t.Path) || within("path", t.Path) || within("command", t.Path)
		if !config && !command || a.given(t.Path) || a.placed(t.Path) {
			continue
		}
		if config && a.trained && !a.overlaid(t.Path) {
			continue
		}
		a.variable("classifier."+t.Path, t.Text)
	}
}

// variable asks for those in a text.
func (a *asked) variable(path, text string) {
	for _, name := range spec.Variables(text) {
		if a.set(name) {
			a.what = append(a.what, fmt.Sprintf("that %s is given the variable %s of your environment", path, name))
		}
	}
}

// told are the variables in what a detector may tell others: what its spec says of classes and
// columns, which a server may give to its clients, and its own name.
func (a *asked) told() error {
	for _, part := range []string{"data", "name"} {
		raw, err := spec.ReadRaw(a.e.Spec.File(), a.e.stored.Spec, part)
		if err != nil {
			return err
		}
		for _, t := range raw.Texts {
			if len(spec.Variables(t.Text)) == 0 || slices.ContainsFunc(dataset.Roles[:], func(r dataset.Role) bool { return within(string(r), t.Path) }) {
				continue // of its rows, which stay here
			}
			path := strings.TrimSuffix(part+"."+t.Path, ".")
			a.line("told %s %q", path, t.Text)
			a.variable(path, t.Text)
		}
	}
	return nil
}

// overlaid reports whether the caller gives a part of the same key of the config: then all of
// that key counts.
func (a *asked) overlaid(key string) bool {
	top := strings.TrimPrefix(key, "config.")
	if i := strings.IndexAny(top, ".["); i >= 0 {
		top = top[:i]
	}
	return a.e.open != nil && slices.ContainsFunc(a.e.open.Classifier, func(one string) bool {
		name, _, _ := strings.Cut(one, "=")
		return within("config."+top, strings.TrimSpace(name))
	})
}

// placed reports whether a pack has what a key names.
func (a *asked) placed(key string) bool {
	if a.e.stored.pack == nil {
		return false
	}
	for _, p := range a.e.stored.pack.Places {
		if p.Key == key {
			return true
		}
	}
	return false
}

// files are those that the config names and that are not the detector's own.
func (a *asked) files() {
	for _, n := range launch.Named(a.schema, a.conf) {
		key := "config" + dotted(n.Pointer)
		if !a.given(key) {
			a.file(key, a.conf.Path(n.Value), a.conf.BaseDir)
		}
	}
}

// file asks for one of them.
func (a *asked) file(key, name, base string) {
	if a.e.ownFile(name, base) {
		return
	}
	real, err := resolved(name)
	if err != nil {
		real = name
	}
	a.line("reads %q", real)
	a.what = append(a.what, fmt.Sprintf("that classifier.%s reads %q, which is no file of its own", key, real))
}

// ownFile reports whether a file is one of the detector's own: in its folder or its pack, in the
// folder that the caller names, or in that of its spec, base, if that is one of the next above
// it and holds no more than a project.
func (e *Experiment) ownFile(name, base string) bool {
	s := e.stored
	real, err := resolved(name)
	if err != nil {
		return false
	}
	below := func(dir string) bool {
		if dir == "" {
			return false
		}
		dir, err := resolved(dir)
		if err != nil {
			return false
		}
		rel, err := filepath.Rel(dir, real)
		return err == nil && filepath.IsLocal(rel)
	}
	if below(s.dir) || below(s.ClassifierDir) || below(s.root) || e.open != nil && below(e.open.Base) {
		return true
	}
	const levels = 4 // a run's detector is in PROJECT/runs/NAME/detector
	dir, err := resolved(s.dir)
	if err != nil {
		return false
	}
	if base, err = resolved(base); err != nil || launch.Wide(base) {
		return false
	}
	up, err := filepath.Rel(base, dir)
	if err != nil || !filepath.IsLocal(up) || strings.Count(filepath.ToSlash(up), "/") >= levels {
		return false
	}
	rel, err := filepath.Rel(base, real)
	if err != nil || !filepath.IsLocal(rel) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(filepath.ToSlash(rel), "/"), func(part string) bool { return strings.HasPrefix(part, ".") && part != "." })
}

// fileSum is the sha256 of a small file, "none" if there is none.
func fileSum(name string) string {
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() || info.Size() > maxPeerFile {
		return "none"
	}
	f, err := os.Open(name)
	if err != nil {
		return "none"
	}
	h := sha256.New()
	_, err = io.Copy(h, io.LimitReader(f, maxPeerFile+1))
	if errors.Join(err, f.Close()) != nil {
		return "none"
	}
	return hex.EncodeToString(h.Sum(nil))
}

// asksOf is what a saved detector asks for wherever its variables are set, and whether it or its limits are more than any
// detector may have.
func (e *Experiment) asksOf(s *stored) (asks launch.Asks, more bool, err error) {
	p, err := e.Spec.Classifier.Model.Find(e.finder(), e.Spec.Abs("."))
	if err != nil {
		return asks, false, err
	}
	deps, _, err := e.storedDeps(s)
	if err != nil {
		return asks, false, err
	}
	if asks, err = e.asksWhere(p, deps.Config, func(string) bool { return true }); err != nil {
		return asks, false, err
	}
	return asks, len(asks.What) > 0 || launch.Beyond(e.Spec.Classifier.Process, p, deps.Config.JSON), nil
}

// rememberAsks notes in the user's own list what a detector that was made here asks for.
func (e *Experiment) rememberAsks(s *stored) {
	made, err := reopen(s, e.c, OpenOptions{})
	if err != nil {
		return // whoever opens it is told
	}
	asks, more, err := made.asksOf(s)
	if err != nil || !more {
		return
	}
	if err := asks.Remember(launch.UserList()); err != nil {
		e.o.logger().Warn("what the detector asks for cannot be noted as allowed: opening it will need --allow-command", "cause", err)
	}
}

// rememberBase notes what a detector asks for that was written anew: its caller named the folder that its
// paths start from, which it has now.
func (e *Experiment) rememberBase(d *artifact.Detector, dir string) {
	if e.open != nil && e.open.Base != "" {
		e.rememberAsks(storedIn(d, dir))
	}
}

// packable refuses to pack files that are not the detector's own, but for those that its user
// names or allows.
func (e *Experiment) packable(ctx context.Context, p launch.Plugin, parts []part) error {
	c := e.consent()
	asks, _, err := e.asksOf(e.stored)
	if err != nil {
		return err
	}
	var outside []string
	asked, started := false, false
	for _, part := range parts {
		config := within("config", part.key)
		file := part.file
		if real, err := resolved(file); err == nil {
			file = real
		}
		switch {
		case part.private, e.open.given(part.key), e.ownFile(part.file, e.Spec.Abs(".")):
		case config:
			if ok, err := c.Permits(asks); !ok || err != nil {
				outside, asked = append(outside, fmt.Sprintf("classifier.%s %q", part.key, file)), true
			}
		case part.key == "path" && e.Spec.Classifier.Model.Plugin != "": // one of the user's own folders of plugins
		default:
			if ok, err := c.Starts(ctx, p); !ok || err != nil {
				outside, started = append(outside, fmt.Sprintf("classifier.%s %q", part.key, file)), true
			}
		}
	}
	if outside == nil {
		return nil
	}
	text := fmt.Sprintf("the detector would have files packed that are not its own, and that you have not allowed: %s; if they belong to it, name their folder with --base DIR, or each with --classifier KEY=VALUE", strings.Join(outside, ", "))
	var flags []string
	if asked {
		flags = append(flags, "sha256:"+asks.SHA256())
	}
	if d, err := c.Digest(p); started && err == nil {
		flags = append(flags, "sha256:"+d.SHA256)
	}
	if flags != nil {
		text += ", or allow them with --allow-command " + strings.Join(flags, ",")
	}
	return &launch.Error{Op: launch.OpAllow, Plugin: p.Name, Err: errors.New(text)}
}
