package check

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The gradient probe: along each of probeDirections random sign vectors, the
// derivative of Σ_c v_c·output_c of each row by central differences, against
// the gradient pulled back from v.
const (
	probeDirections = 8
	relativePass    = 0.05 // median relative error
	cosinePass      = 0.98 // between all derivatives by differences and by gradient
	scalePass       = 1.25 // with cosinePass: the factor between them, either way
	noise           = 1.0 / (1 << 21)
	leastPoints     = 8 // derivatives above the noise floor
	jitter          = 0.05
)

// probeSteps are shares of the legal range, or of the rows' deviation.
var probeSteps = [...]float64{1e-2, 1e-3}

// points are derivatives: by differences of the output, of its softmax and of
// its logarithm, and by the gradient read in several orders.
type points struct {
	diff, softmax, log []float64
	grad               []float64
	reordered          [2][]float64 // as channels-first, and with rows and columns swapped
}

func (p *probe) gradient(ctx context.Context) error {
	if p.info.Gradient == sdk.NoGradient {
		p.add("gradient", Pass, "none declared", "")
		return nil
	}
	d, ok := p.c.(sdk.Differentiable)
	if !ok {
		f, ok := p.c.(sdk.Forwarder)
		if !ok {
			p.add("gradient", Fail, fmt.Sprintf("declared %v, but there is none", p.info.Gradient), "")
			return nil
		}
		d = forwarderGradient{f}
	}
	if p.bad {
		return nil
	}
	bad := Fail
	if p.info.Gradient == sdk.EstimatedGradient {
		bad = Warn
	}
	scale := p.scales()
	x := p.interior(scale)
	v := p.cotangent()
	dx, err := d.Gradient(ctx, x, v)
	if errors.Is(err, sdk.Unimplemented) {
		p.add("gradient", Fail, fmt.Sprintf("declared %v, but not implemented", p.info.Gradient), "")
		return nil
	}
	if err != nil {
		return err
	}
	if !dx.Shape.Equal(x.Shape) || difference(dx, dx) != 0 {
		p.add("gradient", bad, fmt.Sprintf("dx of shape %v, finite: %v, want %v", dx.Shape, difference(dx, dx) == 0, x.Shape), "")
		return nil
	}
	best := verdict{relative: math.Inf(1)}
	found := false
	all := make([]points, len(probeSteps))
	dirs := p.directions(x)
	for k, step := range probeSteps {
		pts, err := p.derivatives(ctx, x, v, dx, dirs, scale, step)
		if err != nil {
			return err
		}
		all[k] = pts
		if len(pts.diff) < leastPoints {
			continue
		}
		got := judge(pts.diff, pts.grad)
		if !found || got.ok() && !best.ok() || got.ok() == best.ok() && got.relative < best.relative {
			best, best.step = got, k
		}
		found = true
	}
	if !found {
		suggests := ""
		if p.drawn {
			suggests = "a saturated model, or one with another range than it declares; check it with rows of the data"
		}
		p.add("gradient", Warn, "inconclusive: all derivatives are below the noise floor of float32", suggests)
		return nil
	}
	message := fmt.Sprintf("median relative error %.2g, cosine %.4f over %d derivatives", best.relative, best.cosine, len(all[best.step].diff))
	if best.ok() {
		p.add("gradient", Pass, message, "")
		return nil
	}
	example, err := p.slope(ctx, d, x, scale, probeSteps[best.step])
	if err != nil {
		return err
	}
	p.explain("gradient", bad, message, p.suggest(all[best.step], best), example)
	return nil
}

// scales is the unit of a step, per feature: the legal range, but no more than
// the data's own spread, four standard deviations.
func (p *probe) scales() []float64 {
	n, d := p.x.N(), p.x.Stride()
	s := make([]float64, d)
	for i := range s {
		var mean, sq float64
		for r := range n {
			mean += float64(p.x.Row(r)[i]) / float64(n)
		}
		for r := range n {
			sq += (float64(p.x.Row(r)[i]) - mean) * (float64(p.x.Row(r)[i]) - mean)
		}
		spread := 4 * math.Sqrt(sq/float64(n))
		lo, hi, known := p.bounds(i)
		switch {
		case known && (p.drawn || spread == 0):
			s[i] = hi - lo
		case known:
			s[i] = min(hi-lo, spread)
		case spread == 0: // a constant feature of unknown range
			s[i] = max(1, math.Abs(mean))
		default:
			s[i] = spread
		}
	}
	return s
}

// interior is x moved a little at random, and so far inside the legal range
// that no step leaves it. The move parts what is equal, such as an image's
// background: where a max pooling has equal candidates, differences and a
// correct gradient do not agree.
func (p *probe) interior(scale []float64) *tensor.Tensor {
	x := p.x.Clone()
	for i := range x.Data {
		f := i % len(scale)
		x.Data[i] += float32((2*p.r.Float64() - 1) * jitter * scale[f])
		if lo, hi, ok := p.bounds(f); ok {
			margin := 1.01 * probeSteps[0] * scale[f]
			v := float64(x.Data[i])
			if v < lo+margin { // mirrored, not clipped: clipping would make equals again
				v = 2*(lo+margin) - v
			}
			if v > hi-margin {
				v = 2*(hi-margin) - v
			}
			x.Data[i] = float32(min(max(v, lo+margin), hi-margin))
		}
	}
	return x
}

// cotangent draws v, (rows, classes), summing to zero in each row so that
// logits and their log-softmax have the same derivative.
func (p *probe) cotangent() *tensor.Tensor {
	v := tensor.New(p.y.Shape...)
	for i := range v.N() {
		mean := 0.0
		row := v.Row(i)
		for j := range row {
			row[j] = float32(p.r.NormFloat64())
			mean += float64(row[j]) / float64(len(row))
		}
		for j := range row {
			if len(row) > 1 {
				row[j] -= float32(mean)
			}
		}
	}
	return v
}

// directions draws sign vectors of x's shape.
func (p *probe) directions(x *tensor.Tensor) [][]float64 {
	dirs := make([][]float64, probeDirections)
	for k := range dirs {
		dirs[k] = make([]float64, len(x.Data))
		for i := range dirs[k] {
			dirs[k][i] = float64(2*p.r.IntN(2) - 1)
		}
	}
	return dirs
}

// derivatives computes all points at one step, without those that are noise.
func (p *probe) derivatives(ctx context.Context, x, v, dx *tensor.Tensor, dirs [][]float64, scale []float64, step float64) (points, error) {
	var pts points
	n, d := x.N(), x.Stride()
	orders := p.orders()
	for _, dir := range dirs {
		both := tensor.Batch(2*n, x.Example())
		moved := make([]float64, len(x.Data)) // (x₊ − x₋)/2 as float32 has it
		for i, s := range dir {
			h := s * step * scale[i%d]
			up, down := float32(float64(x.Data[i])+h), float32(float64(x.Data[i])-h)
			both.Data[i], both.Data[len(dir)+i] = up, down
			moved[i] = (float64(up) - float64(down)) / 2 / step
		}
		y, err := p.c.Predict(ctx, both)
		if err != nil {
			return pts, err
		}
		for r := range n {
			up, down, w := y.Row(r), y.Row(n+r), v.Row(r)
			size, diff := 0.0, 0.0
			for c := range w {
				diff += float64(w[c]) * (float64(up[c]) - float64(down[c]))
				size += math.Abs(float64(w[c]) * float64(up[c]))
			}
			diff /= 2 * step
			g := along(dx.Row(r), moved[r*d:][:d], nil)
			if floor := 4 * noise * size / (2 * step); max(math.Abs(diff), math.Abs(g)) <= floor {
				continue
			}
			pts.diff, pts.grad = append(pts.diff, diff), append(pts.grad, g)
			pts.softmax = append(pts.softmax, weigh(w, softmax(up), softmax(down))/(2*step))
			pts.log = append(pts.log, weigh(w, logs(up), logs(down))/(2*step))
			for k, order := range orders {
				if order != nil {
					pts.reordered[k] = append(pts.reordered[k], along(dx.Row(r), moved[r*d:][:d], order))
				}
			}
		}
	}
	return pts, nil
}

// orders are permutations of an image: where feature i of the input stands in
// a gradient of the wrong layout.
func (p *probe) orders() (orders [2][]int) {
	s := p.info.InputShape
	if len(s) != 3 {
		return orders
	}
	a, b, c := s[0], s[1], s[2]
	channels, swapped := make([]int, s.Size()), make([]int, s.Size())
	for i := range a {
		for j := range b {
			for k := range c {
				at := (i*b+j)*c + k
				if p.info.Layout == sdk.NCHW { // (C, H, W) read as (H, W, C)
					channels[at] = (j*c+k)*a + i
					swapped[at] = (i*c+k)*b + j
				} else { // (H, W, C) read as (C, H, W)
					channels[at] = (k*a+i)*b + j
					swapped[at] = (j*a+i)*c + k
				}
			}
		}
	}
	return [2][]int{channels, swapped}
}

// along is Σ g[order[i]]·m[i]; no order is the natural one.
func along(g []float32, m []float64, order []int) float64 {
	s := 0.0
	for i, v := range m {
		at := i
		if order != nil {
			at = order[i]
		}
		s += float64(g[at]) * v
	}
	return s
}

func weigh(w []float32, up, down []float64) float64 {
	s := 0.0
	for c, v := range w {
		s += float64(v) * (up[c] - down[c])
	}
	return s
}

func softmax(z []float32) []float64 {
	top, sum := math.Inf(-1), 0.0
	for _, v := range z {
		top = max(top, float64(v))
	}
	p := make([]float64, len(z))
	for i, v := range z {
		p[i] = math.Exp(float64(v) - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func logs(p []float32) []float64 {
	l := make([]float64, len(p))
	for i, v := range p {
		l[i] = math.Log(max(float64(v), 1e-30))
	}
	return l
}

// forwarderGradient derives Gradient from Forward.
type forwarderGradient struct{ sdk.Forwarder }

func (f forwarderGradient) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	_, pull, err := f.Forward(ctx, x)
	if err != nil {
		return nil, err
	}
	if pull == nil {
		return nil, sdk.Errorf(sdk.Unimplemented, "Forward gave no Pullback")
	}
	return pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy})
}
