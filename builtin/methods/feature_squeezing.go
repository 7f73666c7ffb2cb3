package methods

import (
	"errors"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// FeatureSqueezing asks the classifier about versions of an input with less
// detail, one per squeezer: rounded to a number of bits, and smoothed by a
// median (Xu, Evans and Qi 2018, arXiv:1704.01155, without its non-local
// means). It needs the classifier's legal range, on which bits are counted.
type FeatureSqueezing struct {
	BitDepth   int `yaml:"bit_depth" check:">= -1, <= 16" doc:"bits of a feature; 0: the paper's, 1 for grey images, 5 for colour, 4 for inputs that are not images; -1: no such version"`
	MedianSize int `yaml:"median_size" check:">= 0, <= 64" doc:"height and width of the median's window on images; 0 or 1: no such version"`
}

// Validate implements registry.Validator.
func (m FeatureSqueezing) Validate() error {
	if m.BitDepth < 0 && m.MedianSize < 2 {
		return errors.New("want bit_depth, median_size or both: nothing is squeezed")
	}
	return nil
}

// Make implements detect.Method.
func (m FeatureSqueezing) Make(p detect.Parts) (detect.Opinion, error) {
	o := &squeezing{shape: p.Input}
	image := len(p.Input) == 3
	if m.BitDepth >= 0 {
		b := BitDepth{Bits: m.BitDepth}
		switch {
		case b.Bits > 0:
		case image && p.Input[2] == 1:
			b.Bits = 1
		case image:
			b.Bits = 5
		default:
			b.Bits = 4
		}
		if p.Info != nil {
			if len(p.Info.Lo) == 0 || len(p.Info.Hi) == 0 {
				return nil, errors.New("the classifier declares no range to squeeze: set bit_depth to -1, or declare one")
			}
			b.Lo, b.Hi = slices.Min(p.Info.Lo), slices.Max(p.Info.Hi)
		}
		o.squeezers = append(o.squeezers, b)
	}
	if image && m.MedianSize > 1 {
		o.squeezers = append(o.squeezers, Median{Size: m.MedianSize})
	}
	if o.squeezers == nil {
		return nil, errors.New("a median is for images: set bit_depth")
	}
	return o, nil
}

// Scores implements detect.Method.
func (FeatureSqueezing) Scores() ([]string, detect.FusionRule) {
	return []string{"squeeze_l1"}, detect.NoFusion
}

// squeezing is the opinion of squeezers.
type squeezing struct {
	shape     tensor.Shape
	squeezers []Squeezer
}

// Form implements detect.Opinion.
func (o *squeezing) Form() detect.Form { return detect.Form{Rebuilt: len(o.squeezers)} }

// Params implements detect.Opinion.
func (*squeezing) Params() []*nn.Param { return nil }

// Approximate implements detect.Approximate: rounding has no useful gradient.
func (*squeezing) Approximate() bool { return true }

// NewPass implements detect.Opinion: there is nothing to plan.
func (o *squeezing) NewPass(*kernel.Engine) detect.Pass { return o }

// Forward implements detect.Pass.
func (o *squeezing) Forward(s *detect.Second, x, _ *tensor.Tensor) {
	n := len(o.squeezers)
	for r := range x.N() * n {
		o.squeezers[r%n].Squeeze(s.Rebuilt.Row(r), x.Row(r/n), o.shape)
	}
}

// Backward implements detect.Pass.
func (o *squeezing) Backward(dx *tensor.Tensor, d *detect.Second, x, _ *tensor.Tensor) {
	n := len(o.squeezers)
	for r := range x.N() * n {
		o.squeezers[r%n].Pull(dx.Row(r/n), d.Rebuilt.Row(r), x.Row(r/n), o.shape)
	}
}

// Squeezer removes detail from an input. Feature squeezing (Xu, Evans and Qi
// 2018, arXiv:1704.01155) compares the predictions on an input and on its
// squeezed versions.
type Squeezer interface {
	// Squeeze writes the squeezed x, one example of the given shape.
	Squeeze(dst, x []float32, shape tensor.Shape)
	// Pull adds to dx what comes back from dy, the gradient at dst. Where
	// squeezing has no useful gradient it is that of the identity (BPDA:
	// Athalye, Carlini and Wagner 2018, arXiv:1802.00420).
	Pull(dx, dy, x []float32, shape tensor.Shape)
}

var (
	_ Squeezer = BitDepth{}
	_ Squeezer = Median{}
)

// BitDepth rounds to 2^Bits levels over [Lo, Hi].
type BitDepth struct {
	Bits   int // 1 … 16
	Lo, Hi float32
}

// Squeeze implements Squeezer.
func (b BitDepth) Squeeze(dst, x []float32, _ tensor.Shape) {
	lo, width := float64(b.Lo), float64(b.Hi)-float64(b.Lo)
	levels := float64(int(1)<<b.Bits - 1)
	for i, v := range x {
		dst[i] = float32(lo + float64(math.RoundToEven((float64(v)-lo)/width*levels)/levels*width))
	}
}

// Pull implements Squeezer: straight through.
func (BitDepth) Pull(dx, dy, _ []float32, _ tensor.Shape) { add(dx, dy) }

// Median replaces each pixel of each channel by the median of the Size×Size
// window whose last row and column, for an even size, are its own; of an even
// number of values the upper median. Edges reflect, the border pixel included.
// (As scipy's median_filter does.) What is not an image passes unchanged.
type Median struct{ Size int }

// Squeeze implements Squeezer.
func (m Median) Squeeze(dst, x []float32, shape tensor.Shape) {
	m.each(x, shape, func(at, from int) { dst[at] = x[from] })
}

// Pull implements Squeezer: to the pixel that is the median.
func (m Median) Pull(dx, dy, x []float32, shape tensor.Shape) {
	m.each(x, shape, func(at, from int) { dx[from] += dy[at] })
}

// each calls f with every element and the one that is its window's median.
func (m Median) each(x []float32, shape tensor.Shape, f func(at, from int)) {
	if len(shape) != 3 {
		for i := range x {
			f(i, i)
		}
		return
	}
	h, w, ch := shape[0], shape[1], shape[2]
	window := make([]int, 0, m.Size*m.Size)
	for r := range h {
		for c := range w {
			for k := range ch {
				window = window[:0]
				for dr := range m.Size {
					for dc := range m.Size {
						y, z := reflect(r+dr-m.Size/2, h), reflect(c+dc-m.Size/2, w)
						window = append(window, (y*w+z)*ch+k)
					}
				}
				slices.SortStableFunc(window, func(a, b int) int {
					switch {
					case x[a] < x[b]:
						return -1
					case x[a] > x[b]:
						return 1
					}
					return 0
				})
				f((r*w+c)*ch+k, window[len(window)/2])
			}
		}
	}
}

// reflect maps an index outside [0, n) as d c b a | a b c d | d c b a.
func reflect(i, n int) int {
	i = ((i % (2 * n)) + 2*n) % (2 * n)
	if i >= n {
		return 2*n - 1 - i
	}
	return i
}
