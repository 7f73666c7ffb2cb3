package cli

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
)

// settle is the spec with its layers, for which the header of the data is asked
// once more by way of a file beside --out.
func (d *draft) settle() (text []byte, err error) {
	f, err := os.CreateTemp(d.dir, ".init-*.yaml")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(d.text("auto"))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	e, loadErr := host.Load(f.Name(), nil, d.app.c, d.app.options())
	if loadErr != nil { // lint says the same of the file itself, by its name
		return []byte(d.text("auto")), nil
	}
	in := e.InputShape()
	if in == nil || d.app.c.AutoEncoder == nil {
		return []byte(d.text("auto # layers for the shape of the rows, once it is known")), e.Close()
	}
	chosen := e.Spec.VAE.With(d.app.c.AutoEncoder(in, vae.Sampled, d.unit))
	return []byte(d.text(d.layers(chosen))), e.Close()
}

// layers is a section vae, a layer a line.
func (d *draft) layers(v *vae.Section) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  latent_dim: %d\n", v.LatentDim)
	if d.normalize != "" {
		fmt.Fprintf(&b, "  normalize: %s # for the auto-encoder alone: the classifier gets its own units\n", d.normalize)
	}
	for _, part := range []struct {
		name string
		list []nn.Maker
	}{{"encoder", v.Encoder}, {"decoder", v.Decoder}} {
		fmt.Fprintf(&b, "  %s:\n", part.name)
		for _, l := range part.list {
			fmt.Fprintf(&b, "    - %s\n", spec.Brief(l, d.app.c.Tables()...))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// text is the spec with a section vae.
func (d *draft) text(code string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Written by vaeguard init from %s: look it through; vaeguard explain KEY says more of each key.", plainComment(d.data))
	line("api_version: vaeguard/v1\nkind: Experiment\nname: %s\nseed: 42", d.name)
	for i, p := range d.app.c.Presets.Entries() {
		if i == 0 {
			line("preset: %s # vaeguard explain %[1]s prints the keys that it stands for; keys written here win", p.Name)
		}
		line("# %s: %s", p.Name, spec.Summary(p.Doc))
	}
	line("")
	d.dataText(line)
	line("classifier: # the model to guard")
	line("  %s", d.model.line())
	if d.config != nil {
		line("  config: {%s}", strings.Join(d.config, ", "))
	}
	if d.pre != "" {
		line("  preprocess: %s # from the rows of the guard to the units that the model says it takes", d.pre)
	} else if d.unsure != "" {
		line("  # %s", d.unsure)
	} else if d.info != nil && d.image && len(d.info.Hi) == 0 {
		line("  # preprocess: {scale: 255, mean: [104, 117, 123], channels: bgr} # where the model takes other units than these intensities")
	}
	if d.train != "" {
		line("  train: %s", d.train)
	}
	line("")
	line("vae: %s\n", strings.Replace(code, "\n", "# an auto-encoder that fits the shape of the rows\n", 1))
	if fpr := d.fpr(); fpr != usualRate {
		line("threshold: {fpr: %g} # at most %g %% of clean rows are flagged, in expectation: few rows promise no less\n", fpr, math.Round(100*fpr))
	}
	line("detector: {data_type: %s}\n", d.kind())
	blind := d.info != nil && d.info.Gradient == sdk.NoGradient
	if blind && d.image {
		line("train: # a surrogate's gradients alone would make reconstructions that please the surrogate\n  loss: {adversarial: {w_model: 1, w_recon: 0.1}}\n  recon: mse\n")
	}
	eps := d.eps()
	line("attacks: # what run and evaluate judge the detector with; the last one knows the detector")
	if blind {
		line("  - square: {norm: linf, eps: %s, queries: 300} # from predictions alone: the others follow the surrogate's gradients", eps)
	} else {
		line("  - fgsm: {norm: linf, eps: %s}", eps)
	}
	line("  - pgd: {norm: linf, eps: %s}\n  - multi_targeted: {norm: linf, eps: %[1]s}", eps)
	line("evaluate: {adaptive_limit: 100} # rows for attacks that know the detector")
	return b.String()
}

// kind is detector.data_type.
func (d *draft) kind() string {
	if d.image {
		return "image"
	}
	return "tabular"
}

// eps is the radius of the attacks, with its unit.
func (d *draft) eps() string {
	switch {
	case !d.unit:
		return "0.5, eps_unit: std"
	case d.image && len(d.in) == 3 && d.in[2] == 3:
		return "0.03" // about 8/255
	}
	return "0.1"
}

func (d *draft) dataText(line func(string, ...any)) {
	line("data: # rows by role; no row serves two")
	whole := []string{}
	for _, k := range []struct{ key, value string }{{"dataset", d.src.Dataset}, {"file", d.src.File}, {"folder", d.src.Folder}, {"y", d.src.Y}, {"labels", d.src.Labels}, {"label", d.src.Label}, {"id", d.src.ID}, {"header", d.header}} {
		switch {
		case k.value == "":
		case k.key == "header":
			whole = append(whole, "header: "+k.value)
		default:
			whole = append(whole, k.key+": "+spec.Text(k.value))
		}
	}
	whole = append(whole, d.keys...)
	given := map[dataset.Role]string{dataset.RoleCalibration: d.calibration, dataset.RoleTest: d.test}
	split := (d.calibration == "" || d.test == "") && d.ranged == 0
	bound := 0
	for _, role := range dataset.Roles {
		keys := whole
		switch {
		case role == dataset.RoleValidation && (!split && d.ranged == 0 || !d.validates()):
			continue
		case given[role] != "":
			keys = append([]string{}, whole...)
			for i, k := range keys {
				if name, _, _ := strings.Cut(k, ":"); name == "file" || name == "folder" {
					keys[i] = name + ": " + spec.Text(d.relative(given[role]))
				}
			}
		case d.ranged > 0 && role == dataset.RoleTest:
			keys = append(append([]string{}, whole...), "split: test")
		case d.ranged > 0:
			at := d.parts()
			i := map[dataset.Role]int{dataset.RoleTrain: 0, dataset.RoleValidation: 1, dataset.RoleCalibration: 2}[role]
			keys = append(append([]string{}, whole...), "split: train", "shuffle: true", fmt.Sprintf("range: [%d, %d]", at[i], at[i+1]))
		case split:
			keys = append(append([]string{}, whole...), "split: "+string(role))
			if most := d.inMemory(); most > 0 && role != dataset.RoleTrain {
				keys, bound = append(keys, fmt.Sprintf("limit: %d", most)), most
			}
		}
		line("  %-12s {%s}", string(role)+":", strings.Join(keys, ", "))
	}
	if (split || d.ranged > 0) && d.validates() {
		line("  # validation: rows by which train.harden.keep chooses the epoch whose guard stands most attacks")
	}
	if d.ranged > 0 {
		line("  # shuffle: the ranges are of a fixed permutation of the split train: whatever it is sorted by, rows of all roles are alike")
	}
	if split {
		line("  # split: a stratified partition, 60 %% train, 10 %% validation, 15 %% calibration, 15 %% test")
	}
	if bound > 0 {
		line("  # limit: as many of each class, since these rows are kept in memory; those of train are read whenever they are due")
	}
	if d.src.Labels == "" || d.info != nil {
		d.classText(line)
	}
	if d.order != "" {
		line("  # %s", d.order)
	}
	if columns := d.columnLines(); columns != nil {
		line("  columns: # a column without a word here is a number that must be there; integer, min, max, immutable: what attacks must keep")
		for _, c := range columns {
			line("    %s", c.line())
		}
	}
	if d.prepare != nil {
		line("  prepare: # what is made of the rows, in order, here and whenever rows come later")
		for _, p := range d.prepare {
			line("    - %s", p.line())
		}
	}
	line("")
}

// validates reports whether there are rows enough for validation: ten, of a tenth.
func (d *draft) validates() bool { return d.rows <= 0 || d.rows >= 100 }

// parts are where train, validation and calibration begin in the shuffled official split
// train of a named set, which are 75, 10 and 15 % of it, and where the last ends.
func (d *draft) parts() [4]int {
	n := d.rows
	if !d.validates() {
		return [4]int{0, n * 4 / 5, n * 4 / 5, n}
	}
	return [4]int{0, n * 75 / 100, n * 85 / 100, n}
}

// initNumbers is how many numbers the rows of a role may take that init keeps in
// memory: 1 GiB.
const initNumbers = 1 << 28

// inMemory is how many rows of a role other than train are kept in memory, 0 for as
// many as there are.
func (d *draft) inMemory() int {
	in := d.in
	if in == nil {
		in = d.example
	}
	most := max(1, initNumbers/max(1, in.Size()))
	if d.rows <= 0 || d.rows*15/100 <= most {
		return 0
	}
	return most
}

// classText are the classes: a comment where the labels say them, data.classes
// where the classifier has names for them in an order of its own.
func (d *draft) classText(line func(string, ...any)) {
	if d.info != nil && len(d.info.Classes) > 0 {
		known := map[string]bool{}
		for _, c := range d.info.Classes {
			known[c] = true
		}
		all := true
		for _, c := range d.classes {
			all = all && known[c]
		}
		if all {
			line("  classes: %s # in the classifier's order", flow(d.info.Classes))
			return
		}
	}
	if n := len(d.classes); n > 0 && n <= 20 {
		line("  # classes: %s", plainComment(strings.Join(d.classes, ", ")))
	}
}

const initBatch = 64

// epochs are as many as make about 2,000 steps, 5 to 60.
func (d *draft) epochs() int {
	rows := d.rows
	if d.calibration == "" || d.test == "" {
		rows = rows * 60 / 100
	}
	if rows <= 0 {
		return 20
	}
	return max(5, min(60, 2000*initBatch/rows))
}

// usualRate is the rate of false alarms of the presets.
const usualRate = 0.05

// fpr is 5 %, or the least that the rows for calibration can promise.
func (d *draft) fpr() float64 {
	if d.holds <= 0 || d.calibration != "" || d.holds >= 19 {
		return usualRate
	}
	return math.Ceil(100/float64(d.holds+1)) / 100
}

func (d *draft) summary() string {
	what := "rows"
	switch {
	case d.columns != nil:
		what = fmt.Sprintf("rows of %d columns", len(d.features()))
	case d.in != nil:
		what = fmt.Sprintf("rows of %v", d.in)
	}
	if d.rows > 0 {
		what = fmt.Sprintf("%d %s", d.rows, what)
	}
	return fmt.Sprintf("%s in %d classes, %s", what, len(d.classes), d.target())
}

// line is the text with its comment.
func (c commented) line() string {
	if c.why == "" {
		return c.text
	}
	return c.text + " # " + plainComment(c.why)
}

// plainComment is a text that stays in its comment.
func plainComment(s string) string { return strings.Join(strings.Fields(s), " ") }

// flow is a list of texts as YAML on one line; numbers stay numbers.
func flow(list []string) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = spec.Text(s)
		if v, err := strconv.ParseFloat(s, 64); err == nil && strconv.FormatFloat(v, 'g', -1, 64) == s {
			words[i] = s
		}
	}
	return "[" + strings.Join(words, ", ") + "]"
}
