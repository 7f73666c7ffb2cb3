// Package presets holds the recipes that preset: NAME in a spec stands for.
package presets

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Table lists the recipes, the one for everybody first.
func Table() registry.Table[host.Preset] {
	return registry.NewTable("preset",
		entry("recommended", Recommended{}, "The best recipe that was measured: hardened against attackers who know the guard, with a promised false-alarm rate. Images have fused scores, tables the margin."),
		entry("fast", Fast{}, "Recommended without hardening, in about a third of the time: attackers evade it more often."),
		entry("reference", Reference{}, "The recipe of alibi-detect 0.2.0's AdversarialVAE, our port of it, to compare with."),
	)
}

// entry is a recipe with its keys for a kind of rows each, which explain shows.
func entry(name string, p host.Preset, doc string) registry.Entry[host.Preset] {
	for _, r := range []struct {
		what string
		rows host.PresetRows
	}{
		{"50,000 grey images of 28×28 in [0, 1]", host.PresetRows{Shape: tensor.Shape{28, 28, 1}, Image: true, Unit: true, N: 50_000}},
		{"a table of 1,000 rows and 30 columns", host.PresetRows{Shape: tensor.Shape{30}, N: 1000}},
	} {
		doc += fmt.Sprintf("\n\nFor %s it stands for\n\n  %s", r.what, strings.ReplaceAll(strings.TrimSpace(p.Recipe(r.rows)), "\n", "\n  "))
	}
	return registry.Entry[host.Preset]{Name: name, Default: p, Doc: doc}
}

// method is what all recipes guard by.
const method = "vae"

// batch is the usual number of rows of a step, rate the promised rate of false alarms.
const (
	batch = 64
	rate  = 0.05

	classTimes = 3 // the rate at most of a class: more is what package health warns of

	fewCalibration = 40 // rows: half of them are 20, which a fusion needs, and 19 the rate
)

// Recommended is hardened in two balls, of whose epochs it keeps the one that validation
// rows, where there are any, show to be most robust (train.harden.keep), and scores by how far the reconstruction's
// prediction is from the input's: see specs/tracks/RESULTS.md for images and
// specs/tracks/TABLES.md for tables, where each choice was measured.
type Recommended struct{}

// Fast is Recommended without hardening.
type Fast struct{}

// Reference is the recipe of the AdversarialVAE of alibi-detect v0.2.0, with a
// conformal threshold where that takes a percentile.
type Reference struct{}

var (
	_ host.Preset = Recommended{}
	_ host.Preset = Fast{}
	_ host.Preset = Reference{}
)

// Method implements host.Preset.
func (Recommended) Method() string { return method }

// Method implements host.Preset.
func (Fast) Method() string { return method }

// Method implements host.Preset.
func (Reference) Method() string { return method }

// Recipe implements host.Preset.
func (Recommended) Recipe(r host.PresetRows) string {
	if r.Image {
		return recipe(r, 0.002, reconImages(r), hardenImages(r))
	}
	return recipe(r, 0.001, 0.1, hardenTable(r))
}

// Recipe implements host.Preset.
func (Fast) Recipe(r host.PresetRows) string {
	if r.Image {
		return recipe(r, 0.001, reconImages(r), "")
	}
	return recipe(r, 0.001, 1, "")
}

// Recipe implements host.Preset.
func (Reference) Recipe(r host.PresetRows) string {
	return fmt.Sprintf(`compat: alibi_detect_0_2_0
vae: {layers: auto}
detector: {method: %s, samples: 10, score: kl, data_type: %s}
train:
  loss: {adversarial: {w_model: 1, w_recon: 0}}
  optimizer: {adam: {learning_rate: 0.001}}
  epochs: 20
  batch_size: %d
threshold: {fpr: %g}
`, method, kind(r), batch, rate)
}

// recipe is what recommended and fast have in common. Margin and reverse KL see what
// the other is blind to, but a fusion keeps half of the calibration rows for itself, and
// KL, either way, follows how certain the classifier is: on a table whose classes
// overlap, attacked rows are those that it is least certain of, and their KL is below
// that of clean ones. So tables have the margin alone, and so do images where half of
// the calibration rows are too few for the rate.
//
// Tables have a little of the reconstruction error in their loss: models of tables often
// are trees, reached through a surrogate, and without it the guard learns to please the
// surrogate with rows that the trees take for one class. Hardening needs less of it.
//
// Tables bound the share of a class that is flagged: what hardening makes of a rare class
// that lies near a frequent one is the frequent one, so that the guard would flag the
// rare class whole. Images were measured without, on classes of one size: the same bound
// would bind for one of ten, by a sixth at most (specs/tracks/TABLES.md).
//
// Tables correct where that did no harm on calibration rows: of their rare classes the
// second opinion is wrong.
func recipe(r host.PresetRows, learning, recon float64, harden string) string {
	score := "[margin, reverse_kl], fusion: cauchy"
	if few := r.Calibration > 0 && r.Calibration < fewCalibration; !r.Image || few {
		score = "margin"
	}
	loss := fmt.Sprintf("{adversarial: {w_model: 1, w_recon: %g}}", recon)
	if recon > 0 {
		loss += "\n  recon: mse"
	}
	var b strings.Builder
	correct, bound := "", ""
	if !r.Image {
		if most := classTimes * cmp.Or(r.FPR, rate); most < 1 {
			bound = fmt.Sprintf(", class_fpr: %.3g", most)
		}
		correct = ", correct: {loss: 0.005, class_loss: 0.1}"
	}
	fmt.Fprintf(&b, "vae: {layers: auto}\ndetector: {method: %s, samples: 10, score: %s, data_type: %s%s}\n", method, score, kind(r), correct)
	fmt.Fprintf(&b, "train:\n  loss: %s\n  optimizer: {adam: {learning_rate: %g}}\n", loss, learning)
	if harden != "" {
		fmt.Fprintf(&b, "  harden: %s\n", harden)
	}
	fmt.Fprintf(&b, "  epochs: %d\n  batch_size: %d\nthreshold: {fpr: %g%s}\n", epochs(r), batchOf(r), rate, bound)
	return b.String()
}

// reconImages is the weight of the reconstruction error for images. Few rows are few
// steps, in which it is a better start than none: on 240 rows of Fashion-MNIST the AUC
// of PGD is .92 with it and .88 without. On 2,000 it changes nothing once the steps
// are enough, and 50,000 were measured without.
func reconImages(r host.PresetRows) float64 {
	const many = 10_000
	if r.N > 0 && r.N < many {
		return 0.3
	}
	return 0
}

// batchOf is the number of rows of a step. Of few images it is small, for as many steps
// as they allow: on 240 rows of Fashion-MNIST the AUC of PGD is .97 with 16, .92 with 64.
func batchOf(r host.PresetRows) int {
	const few, small = 1_000, 16
	if r.Image && r.N > 0 && r.N < few {
		return small
	}
	return batch
}

func kind(r host.PresetRows) string {
	if r.Image {
		return "image"
	}
	return "tabular"
}

// hardenImages are the balls for images. Those of grey images of 28×28 were chosen by
// measurement; an L2 ball grows with the root of the number of pixels, so that it
// stands to the Linf ball as it does there. Colours are usually attacked within
// 8/255, a third of what is usual for grey images, and so are their balls. Numbers
// that are no intensities are measured in their deviations, of which an intensity
// has about a third.
func hardenImages(r host.PresetRows) string {
	linf, unit := 0.16, ""
	if len(r.Shape) == 3 && r.Shape[2] > 1 {
		linf = 0.05
	}
	if !r.Unit {
		linf, unit = 3*linf, ", eps_unit: std"
	}
	return balls(linf, 12.5*linf/28, unit, r)
}

// hardenTable are the balls for tables, in deviations. Half a deviation in every
// column; a whole one takes rows of a small class to where the large one is, and the
// guard learns to see the large one everywhere.
func hardenTable(r host.PresetRows) string { return balls(0.5, 0.19, ", eps_unit: std", r) }

// balls are an Linf ball and an L2 ball of so much times the root of the number of
// features.
func balls(linf, l2 float64, unit string, r host.PresetRows) string {
	also := ""
	if r.Shape != nil {
		also = fmt.Sprintf(", also: [{norm: l2, eps: %s}]", short(l2*math.Sqrt(float64(r.Shape.Size()))))
	}
	return fmt.Sprintf("{norm: linf, eps: %s%s%s}", short(linf), unit, also)
}

// short is a number with two digits.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 2, 64) }

// epochs make about as many steps as the recipe was measured with, whatever the
// number of rows.
func epochs(r host.PresetRows) int {
	steps, least, most, unknown := 7_800, 10, 60, 20
	if !r.Image {
		steps, least, most, unknown = 3_000, 20, 240, 100
	}
	if r.N == 0 {
		return unknown
	}
	return max(least, min(most, steps*batch/r.N))
}
