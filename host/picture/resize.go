package picture

import "math"

// Method is a way to resize.
type Method string

// The methods, by Pillow's names BOX, BILINEAR and BICUBIC. Shrinking, each takes
// a mean over all that a new pixel covers, weighted by the method's curve: no
// pixel is skipped, and there is no aliasing.
const (
	Area     Method = "area"     // equal weights; enlarging repeats the nearest
	Bilinear Method = "bilinear" // triangle
	Bicubic  Method = "bicubic"  // cubic convolution with a = −0.5 (Keys 1981, doi:10.1109/TASSP.1981.1163711); may overshoot [0, 1] at edges
)

// Methods are all of them.
func Methods() []Method { return []Method{Area, Bilinear, Bicubic} }

// stripNumbers is how many numbers there are at once of rows that have their new width
// and not yet their new height, or a column of them: a picture of one column and many
// rows would have as many as it likes.
const stripNumbers = 1 << 22

// Resize fills dst, whose H and W say the size wanted, at least 1, with src:
// what Image.resize of Pillow gives in mode F but for a last digit, rows first,
// sums in float64. dst.C becomes src.C; dst.Pix is used again if it is large enough. It
// is the same bits on every machine. It panics on an unknown method and on sizes below
// 1; src is not changed and must not be dst.
func Resize(dst, src *Image, method Method) {
	if dst.H < 1 || dst.W < 1 || src.H < 1 || src.W < 1 {
		panic("picture: size below 1")
	}
	dst.C = src.C
	dst.Pix = room(dst.Pix, dst.H*dst.W*dst.C)
	c := src.C
	var down []taps // nil: as many rows as there are
	if dst.H != src.H {
		down = weigh(src.H, dst.H, method)
	}
	if dst.W == src.W {
		dst.columns(0, dst.W, src.Pix, down)
		return
	}
	across := weigh(src.W, dst.W, method)
	wide := max(1, min(dst.W, stripNumbers/(src.H*c)))
	rows := make([]float32, src.H*wide*c)
	for x := 0; x < dst.W; x += wide {
		n := min(wide, dst.W-x)
		for i, t := range across[x : x+n] {
			for y := range src.H {
				t.sum(rows[(y*n+i)*c:], src.Pix[y*src.W*c:], c, c)
			}
		}
		dst.columns(x, n, rows, down)
	}
}

// columns fills the n columns from x on with rows of that width.
func (dst *Image) columns(x, n int, rows []float32, down []taps) {
	stride := n * dst.C
	for y := range dst.H {
		to := dst.Pix[(y*dst.W+x)*dst.C:][:stride]
		if down == nil {
			copy(to, rows[y*stride:])
		} else {
			down[y].sum(to, rows, stride, stride)
		}
	}
}

// taps are the pixels that make one of the new, and their weights.
type taps struct {
	first   int
	weights []float64
}

// sum fills n numbers with the weighted sums of those of src at steps.
func (t taps) sum(dst, src []float32, n, step int) {
	for k := range n {
		s := 0.0
		for i, w := range t.weights {
			s += float64(float64(src[(t.first+i)*step+k]) * w) // not fused: the same bits everywhere
		}
		dst[k] = float32(s)
	}
}

// weigh makes the taps of each new pixel: precompute_coeffs of Pillow's
// Resample.c.
func weigh(from, to int, method Method) []taps {
	curve, support := method.curve()
	scale := float64(from) / float64(to)
	stretch := max(scale, 1)
	support = float64(support * stretch)
	inverse := 1 / stretch
	out := make([]taps, to)
	for i := range out {
		center := float64((float64(i) + 0.5) * scale)
		first := max(int(center-support+0.5), 0)
		last := min(int(center+support+0.5), from)
		weights := make([]float64, last-first)
		sum := 0.0
		for k := range weights {
			weights[k] = curve(float64((float64(k+first) - center + 0.5) * inverse))
			sum += weights[k]
		}
		for k := range weights {
			if sum != 0 {
				weights[k] /= sum
			}
		}
		out[i] = taps{first, weights}
	}
	return out
}

// curve is the weight at a distance, and where it ends.
func (m Method) curve() (weight func(x float64) float64, support float64) {
	switch m {
	case Area:
		return func(x float64) float64 {
			if x > -0.5 && x <= 0.5 {
				return 1
			}
			return 0
		}, 0.5
	case Bilinear:
		return func(x float64) float64 { return max(1-math.Abs(x), 0) }, 1
	case Bicubic:
		return keys, 2
	}
	panic("picture: unknown method")
}

func keys(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64((float64((a+2)*x)-(a+3))*float64(x*x)) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * a
	}
	return 0
}

// room is p with n numbers.
func room(p []float32, n int) []float32 {
	if cap(p) < n {
		return make([]float32, n)
	}
	return p[:n]
}

// Gray fills dst with the luma of src: 0.299 red, 0.587 green, 0.114 blue of
// ITU-R BT.601 in the 16-bit fractions of Pillow's convert("L"), not rounded.
// A grey image is copied. dst.Pix is used again if it is large enough; dst may
// be src.
func Gray(dst, src *Image) {
	n, c, in := src.H*src.W, src.C, src.Pix
	dst.H, dst.W, dst.C = src.H, src.W, 1
	dst.Pix = room(dst.Pix, n)
	if c == 1 {
		copy(dst.Pix, in)
		return
	}
	const red, green, blue, all = 19595, 38470, 7471, 65536
	for i := range n {
		// Products of 24 and 16 bits are exact: no rounding but the last two.
		r, g, b := float64(in[3*i]), float64(in[3*i+1]), float64(in[3*i+2])
		dst.Pix[i] = float32((float64(r*red) + float64(g*green) + float64(b*blue)) / all)
	}
}

// RGB fills dst with src in three channels, equal ones for a grey image. dst.Pix
// is used again if it is large enough; dst may be src if that has three
// channels.
func RGB(dst, src *Image) {
	n, c := src.H*src.W, src.C
	dst.H, dst.W, dst.C = src.H, src.W, 3
	dst.Pix = room(dst.Pix, 3*n)
	if c == 3 {
		copy(dst.Pix, src.Pix)
		return
	}
	for i, v := range src.Pix[:n] {
		dst.Pix[3*i], dst.Pix[3*i+1], dst.Pix[3*i+2] = v, v, v
	}
}
