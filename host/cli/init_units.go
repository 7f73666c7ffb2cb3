package cli

import (
	"fmt"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// bytes brings bytes to intensities.
func (d *draft) bytes() error {
	if d.whole && d.least >= 0 && d.most > 1 && d.most <= 255 {
		d.prepare = append(d.prepare, commented{"rescale: {scale: 0.00392156862745098}", "bytes, 1/255: intensities from 0 to 1"})
		d.unit = true
	}
	return nil
}

// reconcileUnits brings intensities to the units that the classifier says it wants:
// (x·scale − mean)/std is from lo to hi for x from 0 to 1.
func (d *draft) reconcileUnits() {
	switch {
	case !d.unit:
		return
	case len(d.info.Hi) == 0 && d.legal != "":
		d.config = append(d.config, d.legal+": [0, 1]")
		return
	case len(d.info.Hi) == 0:
		return
	}
	lo, hi, ok := channelRange(d.info)
	if !ok {
		d.unsure = "the model says another legal range of each number: preprocess, which has one scale for all or one a channel, is left out"
		return
	}
	var scale, mean []string
	for c := range lo {
		scale = append(scale, strconv.FormatFloat(float64(hi[c])-float64(lo[c]), 'g', 7, 64))
		mean = append(mean, strconv.FormatFloat(0-float64(lo[c]), 'g', 7, 64))
	}
	keys := []string{}
	for _, k := range []struct {
		key, usual string
		values     []string
	}{{"scale", "1", scale}, {"mean", "0", mean}} {
		switch all := slices.Compact(slices.Clone(k.values)); {
		case len(all) > 1:
			keys = append(keys, k.key+": ["+strings.Join(k.values, ", ")+"]")
		case all[0] != k.usual:
			keys = append(keys, k.key+": "+all[0])
		}
	}
	if len(keys) > 0 {
		d.pre = "{" + strings.Join(keys, ", ") + "}"
	}
}

// channelRange is the legal range of each channel of images, the last dimension, or of
// all numbers; false where the numbers of a channel have several, or none that is
// finite. Rows of one dimension have one range or none.
func channelRange(info *sdk.Info) (lo, hi []float32, ok bool) {
	if len(info.Lo) != len(info.Hi) {
		return nil, nil, false
	}
	channels := 1
	if n := len(info.InputShape); n == 3 && len(info.Lo) > 1 {
		channels = info.InputShape[n-1]
	}
	for i := range info.Lo {
		a, b := info.Lo[i], info.Hi[i]
		if math.IsInf(float64(b-a), 0) || !(a < b) {
			return nil, nil, false
		}
		if i < channels {
			lo, hi = append(lo, a), append(hi, b)
		} else if lo[i%channels] != a || hi[i%channels] != b {
			return nil, nil, false
		}
	}
	return lo, hi, true
}

// ints is a shape as YAML.
func ints(s tensor.Shape) string {
	words := make([]string, len(s))
	for i, n := range s {
		words[i] = fmt.Sprint(n)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// target is the base name of the classifier, for the summary.
func (d *draft) target() string {
	if d.classifier == "" {
		return "a classifier trained here"
	}
	return path.Base(filepath.ToSlash(d.classifier))
}
