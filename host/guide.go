package host

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
)

// Guide documents all that a spec can say with the given components: its keys,
// the components, the plugins (shipped ones and those that are found), the
// sources of gradients, the ready specs and the trackers. The error joins what is wrong with
// folders of plugins, which are left out; the guide is usable all the same.
func Guide(c Components) (spec.Guide, error) {
	plugins, err := c.pluginKind()
	return spec.Guide{Root: Spec{}, Tables: c.Tables(), Kinds: []spec.Kind{plugins, c.gradientKind(), c.specKind(), c.trackerKind()}}, err
}

// Explain documents what spec.Guide.Explain does. Folders of plugins that
// cannot be read are ignored.
func Explain(name string, c Components) (string, error) {
	g, _ := Guide(c)
	return g.Explain(name)
}

// pluginKind are the plugins that classifier.plugin can name.
func (c Components) pluginKind() (spec.Kind, error) {
	kind := spec.Kind{Name: "classifier"}
	for _, e := range c.Classifiers.Entries() {
		version := ""
		if info, err := e.Default.New().Info(context.Background()); err == nil {
			version = info.Version
		}
		kind.Topics = append(kind.Topics, spec.Topic{
			Name: e.Name, Summary: fmt.Sprintf("%s (%s, shipped)", spec.Summary(e.Doc), version),
			Page: func() string {
				p := pluginPage{name: e.Name, doc: e.Doc, from: fmt.Sprintf("Shipped in this program, version %s.", version), schema: shippedSchema(e.Name, c), noSchema: "It takes no classifier.config."}
				if e.Default.Train != nil {
					p.train = spec.OptionTable(e.Default.Train, c.Tables()...)
				}
				return p.String()
			},
		})
	}
	found, err := Plugins().List()
	for _, p := range found {
		if p.Shipped || slices.Contains(kind.Names(), p.Name) { // the first is the one that a spec gets
			continue
		}
		kind.Topics = append(kind.Topics, foundTopic(p))
	}
	return kind, err
}

// foundTopic documents a plugin of a folder.
func foundTopic(p launch.Plugin) spec.Topic {
	m := p.Manifest
	summary := m.Summary
	if summary == "" {
		summary = "A plugin."
	}
	return spec.Topic{
		Name: p.Name, Summary: fmt.Sprintf("%s (%s, %s)", summary, m.Version, p.Dir),
		Page: func() string {
			return pluginPage{
				name: p.Name, doc: summary, from: fmt.Sprintf("A plugin in %s, version %s.", p.Dir, m.Version), schema: m.Schema(),
				noSchema: "Its plugin.yaml does not say what classifier.config may hold.",
			}.String()
		},
	}
}

// pluginPage is what explain prints of a plugin.
type pluginPage struct {
	name, doc, from string
	schema          []byte // of classifier.config; nil: it tells none
	noSchema        string // what that means
	train           string // table of classifier.train's options; "": none is known
}

// String is the page.
func (p pluginPage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (classifier)\n\n%s\n\n%s\n\n", p.name, strings.TrimSpace(p.doc), p.from)
	example := "plugin: " + p.name
	if options := spec.SchemaOptions(p.schema); options != "" {
		fmt.Fprintf(&b, "Options of classifier.config:\n\n%s\n", options)
		if config := spec.SchemaExample(p.schema); config != "" {
			example += ", config: " + config
		}
	} else {
		b.WriteString(p.noSchema + "\n\n")
	}
	if p.train != "" {
		fmt.Fprintf(&b, "Options of classifier.train:\n\n%s\n", p.train)
		example += ", train: {epochs: 5}"
	}
	fmt.Fprintf(&b, "Example:\n\n  classifier: {%s}\n", example)
	return b.String()
}

// gradientKind are the values of classifier.gradient.
func (c Components) gradientKind() spec.Kind {
	kind := spec.Kind{Name: "gradient"}
	for _, d := range gradient.Docs() {
		kind.Topics = append(kind.Topics, spec.Topic{
			Name: string(d.Kind), Summary: spec.Summary(d.Text),
			Page: func() string {
				var b strings.Builder
				fmt.Fprintf(&b, "%s (gradient)\n\n%s\n\n", d.Kind, d.Text)
				if d.Options != nil {
					fmt.Fprintf(&b, "Options of classifier.%s:\n\n%s\n", d.Key, spec.OptionTable(d.Options, c.Tables()...))
				}
				fmt.Fprintf(&b, "Example:\n\n  classifier: {path: ./my-model, %s}\n", d.Example)
				return b.String()
			},
		})
	}
	return kind
}

// trackerKind are the values of the flag --track.
func (c Components) trackerKind() spec.Kind {
	kind := spec.Kind{Name: c.Trackers.Kind()}
	for _, e := range c.Trackers.Entries() {
		kind.Topics = append(kind.Topics, spec.Topic{
			Name: e.Name, Summary: spec.Summary(e.Doc),
			Page: func() string {
				return fmt.Sprintf("%s (tracker)\n\n%s\n\nExample:\n\n  vaeguard run SPEC --track %s\n", e.Name, strings.TrimSpace(e.Doc), e.Name)
			},
		})
	}
	return kind
}

// specKind are the ready specs. The comment that one begins with says what it
// is.
func (c Components) specKind() spec.Kind {
	kind := spec.Kind{Name: "spec"}
	for _, name := range c.SpecNames() {
		text, err := fs.ReadFile(c.Specs, name+".yaml")
		if err != nil {
			continue // it is gone since it was listed
		}
		comment := leadingComment(string(text))
		first, _, _ := strings.Cut(comment, "\n ") // what is indented is a command
		kind.Topics = append(kind.Topics, spec.Topic{
			Name: name, Summary: strings.TrimSuffix(spec.Summary(first), ":"),
			Page: func() string {
				return fmt.Sprintf("%s (spec)\n\n%s\n\nvaeguard run %s runs it, vaeguard new spec --from %[1]s prints it.\n", name, comment, name)
			},
		})
	}
	return kind
}

// SpecNames are the ready specs, without .yaml, sorted.
func (c Components) SpecNames() []string {
	if c.Specs == nil {
		return nil
	}
	files, err := fs.Glob(c.Specs, "*.yaml")
	if err != nil {
		panic("host: bad pattern")
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".yaml")
	}
	return files
}

// leadingComment is the comment at the head of a file, without its #s.
func leadingComment(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line, comment := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !comment {
			break
		}
		lines = append(lines, strings.TrimPrefix(line, " "))
	}
	return strings.Join(lines, "\n")
}
