package detect

import (
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

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
// (As scipy's median_filter does.) What is no image passes unchanged.
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

// DefaultSqueezers are those of the paper without its non-local means: one bit
// and a 2×2 median for grey images (its choice for MNIST), five bits and a 2×2
// median for colour (CIFAR-10), and four bits for what is no image. lo and hi
// are the legal range.
func DefaultSqueezers(shape tensor.Shape, lo, hi float32) []Squeezer {
	switch {
	case len(shape) == 3 && shape[2] == 1:
		return []Squeezer{BitDepth{Bits: 1, Lo: lo, Hi: hi}, Median{Size: 2}}
	case len(shape) == 3:
		return []Squeezer{BitDepth{Bits: 5, Lo: lo, Hi: hi}, Median{Size: 2}}
	}
	return []Squeezer{BitDepth{Bits: 4, Lo: lo, Hi: hi}}
}
