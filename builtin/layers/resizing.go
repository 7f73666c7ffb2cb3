package layers

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Resizing gives images another height and width. Pixels have their centres at
// halves, as in tf.image.resize with antialias=False; the gradient is the exact
// adjoint. Bicubic is Keys's kernel with a = −½ (1981, doi:10.1109/TASSP.1981.1163711),
// lanczos3 and lanczos5 are windowed sinc; at the edges their weights are scaled
// to add up to one. Area is the mean over the pixel's part of the input, which
// Keras has on TensorFlow alone.
type Resizing struct {
	Height            int    `yaml:"height" doc:"rows of the result" check:">= 1, <= 65536" required:"true"`
	Width             int    `yaml:"width" doc:"columns of the result" check:">= 1, <= 65536" required:"true"`
	Interpolation     string `yaml:"interpolation" doc:"between pixels; area: the mean of those that the pixel covers" enum:"bilinear|nearest|bicubic|lanczos3|lanczos5|area"`
	CropToAspectRatio bool   `yaml:"crop_to_aspect_ratio" doc:"take the largest centred part of the image with the result's ratio of sides"`
}

// Make implements nn.Maker.
func (o Resizing) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	if len(in) != 3 {
		return nil, errRank("resizing", "height×width×channels", in)
	}
	l := &resizing{in: in.Clone(), mid: tensor.Shape{in[0], o.Width, in[2]}, out: tensor.Shape{o.Height, o.Width, in[2]}}
	for _, s := range []tensor.Shape{l.mid, l.out} {
		if err := nn.Fits(s...); err != nil {
			return nil, err
		}
	}
	h, w := in[0], in[1]
	if o.CropToAspectRatio {
		h = max(min(h, in[1]*o.Height/o.Width), 1)
		w = max(min(w, in[0]*o.Width/o.Height), 1)
	}
	l.rows = resample(h, o.Height, (in[0]-h)/2, o.Interpolation)
	l.cols = resample(w, o.Width, (in[1]-w)/2, o.Interpolation)
	return l, nil
}

// resizing stretches the rows, from in to mid, then the columns, from mid to out.
type resizing struct {
	in, mid, out tensor.Shape
	rows, cols   []mix
}

// The buffers of resizing: an image, or its gradient, at each stage.
const (
	resizeIn = iota
	resizeMid
	resizeOut
)

// Kind implements nn.Described.
func (l *resizing) Kind() string { return "resizing" }

// FLOPs implements nn.Described.
func (l *resizing) FLOPs() int64 {
	n := 0
	for _, m := range l.cols {
		n += len(m.weight) * l.in[0]
	}
	for _, m := range l.rows {
		n += len(m.weight) * l.out[1]
	}
	return 2 * int64(n) * int64(l.in[2])
}

// Out implements nn.Layer.
func (l *resizing) Out() tensor.Shape { return l.out }

// Params implements nn.Layer.
func (l *resizing) Params() []*nn.Param { return nil }

// Toward implements nn.Adjustable.
func (l *resizing) Toward(out tensor.Shape) []nn.Adjustment {
	if len(out) != 3 {
		return nil
	}
	a := nn.Adjustment{In: tensor.Shape{l.in[0], l.in[1], out[2]}}
	for i, key := range []string{"height", "width"} {
		if out[i] != l.out[i] {
			a.Options = append(a.Options, fmt.Sprintf("%s: %d", key, out[i]))
		}
	}
	return []nn.Adjustment{a}
}

// Plan implements nn.Layer.
func (l *resizing) Plan(p *nn.Plan) {
	p.Tensor(l, l.in)
	p.Tensor(l, l.mid)
	p.Tensor(l, l.out)
}

// Forward implements nn.Layer.
func (l *resizing) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	mid, y := w.Tensor(l, resizeMid, x.N()), w.Tensor(l, resizeOut, x.N())
	c := l.in[2]
	for r := range x.N() * l.in[0] { // of mid too
		gather(l.cols, mid.Data[r*l.mid[1]*c:], x.Data[r*l.in[1]*c:], c)
	}
	for i := range x.N() {
		gather(l.rows, y.Row(i), mid.Row(i), l.mid[1]*c)
	}
	return y
}

// Backward implements nn.Layer.
func (l *resizing) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	mid, dx := w.Tensor(l, resizeMid, dy.N()), w.Tensor(l, resizeIn, dy.N())
	c := l.in[2]
	clear(mid.Data)
	clear(dx.Data)
	for i := range dy.N() {
		spreadOut(l.rows, mid.Row(i), dy.Row(i), l.mid[1]*c)
	}
	for r := range dy.N() * l.in[0] {
		spreadOut(l.cols, dx.Data[r*l.in[1]*c:], mid.Data[r*l.mid[1]*c:], c)
	}
	return dx
}

// Graph implements nn.Graphed.
func (l *resizing) Graph(b *graph.Builder, x graph.Value) graph.Value {
	return b.Mix(x, l.in, mixed(l.rows, l.in[0]), mixed(l.cols, l.in[1]))
}

// mixed are mixes as a matrix, (len(ms), n).
func mixed(ms []mix, n int) []float32 {
	out := make([]float32, len(ms)*n)
	for i, m := range ms {
		copy(out[i*n+m.first:], m.weight)
	}
	return out
}

// mix is what one row or column of a result is made of: neighbours of the input
// from number first on, by their weights.
type mix struct {
	first  int
	weight []float32
}

// gather writes y[i] = Σ weight·x[j]; an element is c numbers.
func gather(ms []mix, y, x []float32, c int) {
	for i, m := range ms {
		d := y[i*c : (i+1)*c]
		clear(d)
		for j, f := range m.weight {
			add(d, x[(m.first+j)*c:], f)
		}
	}
}

// spreadOut is the adjoint of gather: dx[j] += weight·dy[i].
func spreadOut(ms []mix, dx, dy []float32, c int) {
	for i, m := range ms {
		for j, f := range m.weight {
			at := (m.first + j) * c
			add(dx[at:at+c], dy[i*c:], f)
		}
	}
}

// resample is how m elements come of n, which begin at number first.
func resample(n, m, first int, interpolation string) []mix {
	out := make([]mix, m)
	for i := range out {
		switch interpolation {
		case "nearest":
			out[i] = mix{(2*i + 1) * n / (2 * m), []float32{1}}
		case "area":
			out[i] = cover(n, m, i)
		default:
			radius, f := filter(interpolation)
			out[i] = interpolate(n, m, i, radius, f)
		}
		out[i].first += first
	}
	return out
}

// cover is the mean over [i·n/m, (i+1)·n/m], each element by its part of it.
func cover(n, m, i int) mix {
	lo, hi := i*n, (i+1)*n // in units of 1/m
	out := mix{first: lo / m}
	for j := out.first; j*m < hi; j++ {
		part := min(hi, (j+1)*m) - max(lo, j*m)
		out.weight = append(out.weight, float32(float64(part)/float64(n)))
	}
	return out
}

// interpolate weighs the elements within radius of position (i + ½)·n/m − ½ by f of their
// distance, scaled to a sum of one.
func interpolate(n, m, i int, radius float64, f func(x float64) float64) mix {
	at := (float64(i)+0.5)*float64(n)/float64(m) - 0.5
	lo, hi := max(int(math.Ceil(at-radius)), 0), min(int(math.Floor(at+radius)), n-1)
	var ws []float64
	sum := 0.0
	for j := lo; j <= hi; j++ {
		w := f(math.Abs(at - float64(j)))
		if len(ws) == 0 && w == 0 {
			lo++
			continue
		}
		ws = append(ws, w)
		sum += w
	}
	out := mix{first: lo}
	for _, w := range ws {
		out.weight = append(out.weight, float32(w/sum))
	}
	for n := len(out.weight); out.weight[n-1] == 0; n-- {
		out.weight = out.weight[:n-1]
	}
	return out
}

// filter is an interpolation's weight by the distance 0 ≤ x ≤ radius.
func filter(interpolation string) (radius float64, f func(x float64) float64) {
	switch interpolation {
	case "bicubic":
		return 2, keys
	case "lanczos3":
		return 3, func(x float64) float64 { return lanczos(x, 3) }
	case "lanczos5":
		return 5, func(x float64) float64 { return lanczos(x, 5) }
	}
	return 1, func(x float64) float64 { return 1 - x }
}

// keys is the cubic convolution kernel with a = −½.
func keys(x float64) float64 {
	if x < 1 {
		return (1.5*x-2.5)*x*x + 1
	}
	return ((-0.5*x+2.5)*x-4)*x + 2
}

// lanczos is sinc(x)·sinc(x/radius).
func lanczos(x, radius float64) float64 {
	if x == math.Trunc(x) { // where the sine is not quite zero
		return max(0, 1-x)
	}
	return radius * math.Sin(math.Pi*x) * math.Sin(math.Pi*x/radius) / (math.Pi * math.Pi * x * x)
}
