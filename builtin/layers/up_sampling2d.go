package layers

import (
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// UpSampling2D enlarges an image by whole factors: nearest repeats rows and
// columns, bilinear interpolates between the centres of pixels.
type UpSampling2D struct {
	Size          nn.Pair `yaml:"size" doc:"factors of height and width"`
	Interpolation string  `yaml:"interpolation" doc:"between pixels" enum:"nearest|bilinear"`
}

// Make implements nn.Maker.
func (u UpSampling2D) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	if len(in) != 3 {
		return nil, errRank("up_sampling2d", "height×width×channels", in)
	}
	if err := nn.Fits(in[0]*u.Size[0], in[1]*u.Size[1], in[2]); err != nil {
		return nil, err
	}
	bilinear := u.Interpolation == "bilinear"
	return &upSampling{
		in: in.Clone(), out: tensor.Shape{in[0] * u.Size[0], in[1] * u.Size[1], in[2]},
		rows: taps(in[0], u.Size[0], bilinear), cols: taps(in[1], u.Size[1], bilinear),
	}, nil
}

// tap is where a row or column of the result comes from: (1−t)·lo + t·hi.
type tap struct {
	lo, hi int
	t      float32
}

// taps along a dimension of n elements enlarged by s. Position i of the result
// lies at (i + ½)/s − ½ of the input, which continues constantly outside.
func taps(n, s int, bilinear bool) []tap {
	out := make([]tap, n*s)
	for i := range out {
		if !bilinear {
			out[i] = tap{lo: i / s, hi: i / s}
			continue
		}
		at := (float64(i)+0.5)/float64(s) - 0.5
		below := math.Floor(at)
		lo, hi := max(int(below), 0), min(int(math.Ceil(at)), n-1)
		out[i] = tap{lo: lo, hi: hi, t: float32(at - below)}
	}
	return out
}

type upSampling struct {
	in, out    tensor.Shape
	rows, cols []tap
}

// Kind implements nn.Described.
func (l *upSampling) Kind() string { return "up_sampling2d" }

// FLOPs implements nn.Described.
func (l *upSampling) FLOPs() int64 { return 4 * int64(l.out.Size()) }

// Out implements nn.Layer.
func (l *upSampling) Out() tensor.Shape { return l.out }

// Params implements nn.Layer.
func (l *upSampling) Params() []*nn.Param { return nil }

// Toward implements nn.Adjustable.
func (l *upSampling) Toward(out tensor.Shape) []nn.Adjustment {
	h, w := l.out[0]/l.in[0], l.out[1]/l.in[1]
	if len(out) != 3 || out[0]%h != 0 || out[1]%w != 0 {
		return nil
	}
	return []nn.Adjustment{{In: tensor.Shape{out[0] / h, out[1] / w, out[2]}}}
}

// Plan implements nn.Layer.
func (l *upSampling) Plan(p *nn.Plan) {
	p.Tensor(l, l.in)
	p.Tensor(l, l.out)
}

// corners are the offsets and weights of the four pixels of the input that
// make pixel (row, col) of the result.
func (l *upSampling) corners(row, col tap) (at [4]int, weight [4]float32) {
	w, c := l.in[1], l.in[2]
	at = [4]int{
		(row.lo*w + col.lo) * c, (row.lo*w + col.hi) * c,
		(row.hi*w + col.lo) * c, (row.hi*w + col.hi) * c,
	}
	weight = [4]float32{(1 - row.t) * (1 - col.t), (1 - row.t) * col.t, row.t * (1 - col.t), row.t * col.t}
	return at, weight
}

// Forward implements nn.Layer.
func (l *upSampling) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y := w.Tensor(l, 1, x.N())
	clear(y.Data)
	l.walk(x.N(), func(src, dst int, weight float32) {
		add(y.Data[dst:dst+l.in[2]], x.Data[src:src+l.in[2]], weight)
	})
	return y
}

// Graph implements nn.Graphed.
func (l *upSampling) Graph(b *graph.Builder, x graph.Value) graph.Value {
	return b.Mix(x, l.in, tapped(l.rows, l.in[0]), tapped(l.cols, l.in[1]))
}

// tapped are taps as a matrix, (len(ts), n).
func tapped(ts []tap, n int) []float32 {
	out := make([]float32, len(ts)*n)
	for i, t := range ts {
		out[i*n+t.lo] += 1 - t.t
		out[i*n+t.hi] += t.t
	}
	return out
}

// Backward implements nn.Layer.
func (l *upSampling) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	dx := w.Tensor(l, 0, dy.N())
	clear(dx.Data)
	l.walk(dy.N(), func(src, dst int, weight float32) {
		add(dx.Data[src:src+l.in[2]], dy.Data[dst:dst+l.in[2]], weight)
	})
	return dx
}

// walk visits every pair of an input pixel and a result pixel that it enters,
// by their offsets, in a fixed order.
func (l *upSampling) walk(n int, visit func(src, dst int, weight float32)) {
	size, dst := l.in.Size(), 0
	for i := range n {
		for _, row := range l.rows {
			for _, col := range l.cols {
				at, weight := l.corners(row, col)
				for j, f := range weight {
					if f != 0 {
						visit(i*size+at[j], dst, f)
					}
				}
				dst += l.in[2]
			}
		}
	}
}

// add computes y += f·x.
func add(y, x []float32, f float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] += float32(f * v)
	}
}
