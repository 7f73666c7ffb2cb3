package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var serverURL = regexp.MustCompile(`^([a-z]+)://[^/]+`)

// findClassifier writes the section classifier's first lines, and starts the
// plugin to hear what it takes.
func (d *draft) findClassifier(ctx context.Context) error {
	c := d.classifier
	if c == "" || d.trained(c) {
		return d.trainHere()
	}
	s, err := d.drafted(c)
	if err != nil {
		return err
	}
	if !s.Named() {
		if s, err = d.named(c); err != nil {
			return err
		}
	}
	return d.start(ctx, s)
}

// trained reports whether a name is that of a plugin that is trained here.
func (d *draft) trained(name string) bool {
	return slices.ContainsFunc(d.app.c.Drafts, func(p host.ClassifierDraft) bool { return p.Plugin == name && p.Untrained != nil })
}

// drafted is the plugin for a file or a URL, if one has a draft for it.
func (d *draft) drafted(c string) (launch.Section, error) {
	at := serverURL.FindStringSubmatch(c)
	for _, p := range d.app.c.Drafts {
		switch {
		case at != nil && slices.Contains(p.Schemes, at[1]):
			name := d.serverModel()
			if name == "" {
				return launch.Section{}, usagef("--model is missing: the name of the model on the server %s", at[0])
			}
			d.config = []string{p.Server + ": " + spec.Text(at[0]), p.Model + ": " + spec.Text(name)}
			d.model = commented{"plugin: " + spec.Text(p.Plugin), "asks the server"}
			return launch.Section{Plugin: p.Plugin, Config: map[string]any{p.Server: at[0], p.Model: name}}, nil
		case at == nil && slices.Contains(p.Endings, strings.ToLower(filepath.Ext(c))):
			d.config, d.legal = []string{p.File + ": " + spec.Text(d.relative(c))}, p.Range
			d.model.text = "plugin: " + spec.Text(p.Plugin)
			return launch.Section{Plugin: p.Plugin, Config: map[string]any{p.File: d.relative(c)}}, there(c)
		}
	}
	if at != nil {
		return launch.Section{}, usagef("--classifier %s: no plugin here asks servers by %s", c, at[1])
	}
	return launch.Section{}, nil
}

// named is the plugin of a name, a path or a Python program.
func (d *draft) named(c string) (launch.Section, error) {
	if strings.HasSuffix(c, ".py") {
		if _, err := os.Stat(filepath.Join(filepath.Dir(c), launch.ManifestName)); err != nil {
			s := launch.Section{Command: []string{"python3", d.relative(c)}}
			d.model = commented{"command: " + flow(s.Command), "a program that serves a model: see sdk/python"}
			return s, there(c)
		}
		s := launch.Section{Path: d.relative(filepath.Dir(c))}
		d.model = commented{"path: " + spec.Text(s.Path), "the folder with its " + launch.ManifestName}
		return s, there(c)
	}
	if filepath.Base(c) == c {
		_, err := host.Plugins().Find(c)
		if err == nil {
			d.model.text = "plugin: " + spec.Text(c)
			return launch.Section{Plugin: c}, nil
		}
		if _, stat := os.Stat(c); stat != nil {
			return launch.Section{}, err
		}
	}
	d.model.text = "path: " + spec.Text(d.relative(c))
	return launch.Section{Path: d.relative(c)}, there(c)
}

// serverModel is the model's name on a server: --model, or as the URL has it.
func (d *draft) serverModel() string {
	if d.initFlags.model != "" {
		return d.initFlags.model
	}
	_, rest, _ := strings.Cut(d.classifier, "/models/")
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func there(file string) error {
	if _, err := os.Stat(file); err != nil {
		return usagef("--classifier %s: no such file, and no plugin of that name: see vaeguard plugin list", file)
	}
	return nil
}

// trainHere is a classifier that vaeguard trains: the one that is named, or the
// first that is for such rows.
func (d *draft) trainHere() error {
	in := d.raw()
	if d.varied && d.sides[0] == 0 {
		in = tensor.Shape{initSide, initSide, d.example[2]}
	}
	for _, p := range d.app.c.Drafts {
		if p.Untrained == nil || d.classifier != "" && d.classifier != p.Plugin {
			continue
		}
		config, ok := p.Untrained(in)
		if !ok && d.classifier == "" {
			continue
		}
		why := "trained here on the labels of data.train; drop train and name weights in config for one that is trained already"
		if d.classifier == "" {
			why = "trained here on the labels of data.train, for want of one: --classifier names yours"
		}
		d.model, d.config, d.legal = commented{"plugin: " + spec.Text(p.Plugin), why}, config, p.Range
		d.train = fmt.Sprintf("{epochs: %d, batch_size: %d}", min(40, d.epochs()), initBatch)
		return nil
	}
	return usagef("--classifier is missing: no plugin here is trained on rows of %v", in)
}

// parseSize takes --size.
func (d *draft) parseSize() error {
	if d.size == "" {
		return nil
	}
	height, width, ok := strings.Cut(d.size, "x")
	var err1, err2 error
	d.sides[0], err1 = strconv.Atoi(height)
	d.sides[1], err2 = strconv.Atoi(width)
	if !ok || err1 != nil || err2 != nil || d.sides[0] < 1 || d.sides[1] < 1 {
		return usagef("--size %q: want height and width, such as 48x192", d.size)
	}
	return nil
}

// raw is the shape of a row before it is resized, or of --size, flat for tables;
// nil: images of several sizes.
func (d *draft) raw() tensor.Shape {
	switch {
	case d.sides[0] > 0 && d.image:
		return tensor.Shape{d.sides[0], d.sides[1], d.example[2]}
	case d.varied:
		return nil
	case d.columns != nil:
		return tensor.Shape{d.width()}
	}
	return d.example
}

// reconcile says what is made of the rows so that the classifier can take them.
func (d *draft) reconcile() error {
	if d.info != nil && len(d.classes) > d.info.NumClasses {
		return usagef("--classifier %s: it knows %d classes, and the labels have %d: %s", d.classifier, d.info.NumClasses, len(d.classes), strings.Join(d.classes[:min(10, len(d.classes))], ", "))
	}
	if d.in = d.raw(); d.image {
		if err := d.reconcileImages(); err != nil {
			return err
		}
	} else if err := d.reconcileRows(); err != nil {
		return err
	}
	d.unit = d.unit || d.columns == nil && d.least >= 0 && d.most <= 1 && d.most > d.least && (d.image || d.example.Size() >= 16)
	if d.info == nil && d.unit && d.legal != "" {
		d.config = append(d.config, d.legal+": [0, 1]")
	}
	switch {
	case d.info != nil && (d.image || d.unit):
		d.reconcileUnits()
	case d.info != nil: // the classifier has its own units, and the auto-encoder needs equal ones
		d.normalize = "standard"
	case !d.unit && len(d.in) == 1:
		d.prepare = append(d.prepare, commented{"standard", "zero mean and unit deviation, learnt from data.train"})
	}
	return nil
}

// initSide is the side of images of several sizes where no classifier says one.
const initSide = 32

func (d *draft) reconcileImages() error {
	to := tensor.Shape{d.example[0], d.example[1], d.example[2]}
	why := ""
	switch {
	case d.info != nil:
		want := d.info.InputShape
		if len(want) != 3 {
			if d.varied || want.Size() != to.Size() {
				return usagef("--classifier %s: it takes rows of %v, the images are %v", d.classifier, want, to)
			}
			if d.files && to[2] > 1 { // whose order only arrays say
				return usagef("--classifier %s: it takes rows of %v, the images are files of %v: write them as an array in the order of the model, such as .npy", d.classifier, want, to)
			}
			d.keys, d.in = []string{"reshape: " + ints(want)}, want // of the numbers in the file's order
			return d.bytes()
		}
		to, why = want, "what the classifier takes"
	case d.sides[0] > 0:
		to[0], to[1], why = d.sides[0], d.sides[1], "as asked"
	case d.varied:
		to[0], to[1], why = initSide, initSide, "the images have several sizes; a classifier of yours may want another"
	}
	if err := d.bytes(); err != nil {
		return err
	}
	if to[2] != d.example[2] || d.varied {
		mode := map[int]string{1: "grey", 3: "rgb"}[to[2]]
		if mode == "" {
			return usagef("--classifier %s: it takes images of %d channels, these have %d", d.classifier, to[2], d.example[2])
		}
		d.prepare = append(d.prepare, commented{"color: " + mode, why})
	}
	if d.varied || to[0] != d.example[0] || to[1] != d.example[1] {
		d.prepare = append(d.prepare, commented{fmt.Sprintf("resize: {height: %d, width: %d, method: area}", to[0], to[1]), why})
	}
	d.in = to
	return nil
}

func (d *draft) reconcileRows() error {
	if d.columns == nil && d.whole && d.least >= 0 && d.most == 255 && d.example.Size() >= 16 {
		if err := d.bytes(); err != nil {
			return err
		}
	}
	if d.info == nil || d.in == nil || d.info.InputShape.Equal(d.in) {
		return nil
	}
	want := d.info.InputShape
	if d.columns != nil {
		var names []string
		for _, c := range d.features() {
			names = append(names, c.name)
		}
		return usagef("--classifier %s: it takes %v numbers, the columns make %v (%s): --ignore a,b leaves columns out, --id names the one that names a row", d.classifier, want, d.in, strings.Join(names, ", "))
	}
	if want.Size() != d.in.Size() {
		return usagef("--classifier %s: it takes rows of %v, these are %v", d.classifier, want, d.in)
	}
	d.keys, d.in = []string{"reshape: " + ints(want)}, want
	if len(want) == 3 && want[2] > 1 {
		d.order = fmt.Sprintf("reshape: rows are taken as height × width × channels; where they hold channel by channel: reshape: %s, layout: nchw", ints(tensor.Shape{want[2], want[0], want[1]}))
	}
	return nil
}
