package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/launch"
)

var (
	url      = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://`)
	variable = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`) // without a default
)

// needs notes what a pack does not hold and the other machine must have.
func (b *bundle) needs(parts []part) {
	need := func(format string, args ...any) { b.m.Needs = append(b.m.Needs, fmt.Sprintf(format, args...)) }
	model := b.e.Spec.Classifier.Model
	if p := b.plugin; !p.Shipped {
		who := "the classifier"
		if p.Dir != "" {
			who = "plugin " + p.Name
		}
		if name := b.system(); name != "" {
			need("the program %s, with what %s uses of it", name, who)
		}
		if slices.ContainsFunc(parts, func(p part) bool { return p.key == "path" || p.key == "command[0]" }) && b.compiled() {
			need("%s, for which the program of %s was built", launch.Platform(), who)
		}
		if p.Dir == "" {
			need("all that %s reads besides the files that its spec names", who)
		}
	}
	config, err := model.ConfigJSON()
	var doc any
	if err == nil && json.Unmarshal(config, &doc) == nil {
		for _, text := range urls(doc) {
			need("the server %s", b.e.Spec.Unexpand(text))
		}
	}
	for _, p := range parts {
		if p.private {
			need("a file of its own for classifier.%s, which stays here: --classifier %s=FILE", p.key, p.key)
		}
	}
	names := map[string]bool{}
	for _, m := range variable.FindAllSubmatch(b.s.Spec, -1) {
		if !bytes.HasPrefix(m[0], []byte("$$")) {
			names[string(m[1])] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		need("the environment variable %s", name)
	}
}

// system is the program of the plugin if it is none of the pack's files, or "".
func (b *bundle) system() string {
	d, err := b.plugin.Command.Digest()
	if err != nil {
		return b.plugin.Command.Path
	}
	for _, s := range b.sources {
		if s.Path == "" {
			continue
		}
		if a, err := os.Stat(s.Path); err == nil {
			if own, err := os.Stat(d.Path); err == nil && os.SameFile(a, own) {
				return ""
			}
		}
	}
	return filepath.Base(b.plugin.Command.Path)
}

// compiled reports whether the plugin's own program is one for a machine, not a
// script.
func (b *bundle) compiled() bool {
	if b.system() != "" {
		return false
	}
	d, err := b.plugin.Command.Digest()
	if err != nil {
		return false
	}
	f, err := os.Open(d.Path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // only read from
	head := make([]byte, 2)
	_, err = f.ReadAt(head, 0)
	return err == nil && string(head) != "#!"
}

// urls are the texts of a config that name something on a network.
func urls(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		if url.MatchString(strings.ToLower(v)) {
			out = append(out, v)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, urls(v[k])...)
		}
	case []any:
		for _, x := range v {
			out = append(out, urls(x)...)
		}
	}
	return out
}
