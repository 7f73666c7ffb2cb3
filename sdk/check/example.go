package check

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The smallest failing example of a gradient is looked for among so many
// features: those of the largest gradient, and others at random.
const exampleFeatures = 32

// row names row i of the probe: by its number in the data, where it is of
// these.
func (p *probe) row(i int) string {
	if p.drawn {
		return "row " + strconv.Itoa(i)
	}
	return fmt.Sprintf("row %d of the data", p.picked[i])
}

// feature names feature i of the input, an image's by row, column and channel.
func (p *probe) feature(i int) string {
	s := p.info.InputShape
	if len(s) != 3 {
		if len(s) == 1 {
			return "feature " + strconv.Itoa(i)
		}
		at := make([]int, len(s))
		for d := len(s) - 1; d >= 0; d-- {
			at[d], i = i%s[d], i/s[d]
		}
		return fmt.Sprintf("feature %v", at)
	}
	a, b, c := i/(s[1]*s[2]), i/s[2]%s[1], i%s[2]
	if p.info.Layout == sdk.NCHW {
		a, b, c = b, c, a
	}
	return fmt.Sprintf("the pixel of row %d, column %d, channel %d", a, b, c)
}

// element names element i of a row of a tensor that has the outputs' or the
// inputs' shape.
func (p *probe) element(t *tensor.Tensor, i int) string {
	if t.Example().Equal(p.info.InputShape) && !t.Example().Equal(tensor.Shape{p.info.NumClasses}) {
		return p.feature(i)
	}
	return "class " + strconv.Itoa(i)
}

// brief is the start of a row.
func brief(row []float32) string {
	const most = 6
	text := ""
	for i, v := range row[:min(most, len(row))] {
		if i > 0 {
			text += ", "
		}
		text += strconv.FormatFloat(float64(v), 'g', 4, 32)
	}
	if len(row) > most {
		text += ", …"
	}
	return "[" + text + "]"
}

// apart is where two tensors of one shape are the furthest apart.
func apart(a, b *tensor.Tensor) (row, i int) {
	worst := -1.0
	for at, v := range a.Data {
		d := math.Abs(float64(v) - float64(b.Data[at]))
		if !(d <= worst) {
			worst, row, i = d, at/a.Stride(), at%a.Stride()
			if math.IsNaN(d) {
				break
			}
		}
	}
	return row, i
}

// twice is the example of an answer that changes when it is asked for again:
// of one row, if one suffices.
func (p *probe) twice(ctx context.Context) (string, error) {
	for i := range p.x.N() {
		var y [2]*tensor.Tensor
		for k := range y {
			var err error
			if y[k], err = p.c.Predict(ctx, p.x.Rows(i, i+1)); err != nil {
				return "", err
			}
		}
		if d := difference(y[0], y[1]); !(d <= sameFail) {
			_, c := apart(y[0], y[1])
			return fmt.Sprintf("%s alone, asked twice: class %d is %.6g, then %.6g", p.row(i), c, y[0].Data[c], y[1].Data[c]), nil
		}
	}
	return "", nil
}

// company is the example of a row whose answer depends on the rows beside it:
// the smallest batch that differs from alone, the answers to single rows.
func (p *probe) company(ctx context.Context, alone *tensor.Tensor) (string, error) {
	for n := 2; n <= p.x.N(); n++ {
		y, err := p.c.Predict(ctx, p.x.Rows(0, n))
		if err != nil {
			return "", err
		}
		if want := alone.Rows(0, n); !(difference(want, y) <= sameFail) && y.Shape.Equal(want.Shape) {
			r, c := apart(want, y)
			return fmt.Sprintf("class %d of %s is %.6g alone and %.6g in a batch of %d", c, p.row(r), want.Row(r)[c], y.Row(r)[c], n), nil
		}
	}
	return "", nil
}

// slope is the smallest example of a wrong gradient: one row of the smallest
// batch, one feature, and two classes, whose difference is compared with its
// change along that feature. "" if every single one is under the noise floor.
func (p *probe) slope(ctx context.Context, d sdk.Differentiable, x *tensor.Tensor, scale []float64, step float64) (string, error) {
	top, other, text := p.classes()
	for _, n := range []int{1, 2, x.N()} {
		v := tensor.New(n, p.info.NumClasses)
		for i := range n {
			v.Row(i)[top] = 1
			if other >= 0 {
				v.Row(i)[other] = -1
			}
		}
		dx, err := d.Gradient(ctx, x.Rows(0, n), v)
		if err != nil {
			return "", err
		}
		if !dx.Shape.Equal(x.Rows(0, n).Shape) {
			return "", nil
		}
		features := p.candidates(dx.Row(0))
		both := tensor.Batch(2*len(features), x.Example())
		for k, i := range features {
			h := step * scale[i]
			for side, sign := range []float64{1, -1} {
				row := both.Row(2*k + side)
				copy(row, x.Row(0))
				row[i] = float32(float64(row[i]) + sign*h)
			}
		}
		y, err := p.c.Predict(ctx, both)
		if err != nil {
			return "", err
		}
		worst, found := 0.0, ""
		for k, i := range features {
			up, down := y.Row(2*k), y.Row(2*k+1)
			width := float64(both.Row(2 * k)[i]) - float64(both.Row(2*k + 1)[i])
			change, size := float64(up[top])-float64(down[top]), math.Abs(float64(up[top]))
			if other >= 0 {
				change -= float64(up[other]) - float64(down[other])
				size += math.Abs(float64(up[other]))
			}
			diff, g := change/width, float64(dx.Row(0)[i])
			most := max(math.Abs(diff), math.Abs(g))
			if off := math.Abs(diff - g); most > 4*noise*size/width && off > 2*relativePass*most && off > worst {
				worst = off
				found = fmt.Sprintf("%s changes by %.4g per unit of %s, near %s in a batch of %d; the gradient says %.4g", text, diff, p.feature(i), p.row(0), n, g)
			}
		}
		if found != "" {
			return found, nil
		}
	}
	return "", nil
}

// classes are the two whose difference an example is about: the first row's
// top one, and the one after it, −1 where there is but one.
func (p *probe) classes() (top, other int, text string) {
	row := p.y.Row(0)
	for k, v := range row {
		if v > row[top] {
			top = k
		}
	}
	if len(row) == 1 {
		return 0, -1, "the output"
	}
	other = (top + 1) % len(row)
	return top, other, fmt.Sprintf("class %d minus class %d", top, other)
}

// candidates are features to look at: the largest of a gradient, and some at
// random, in order.
func (p *probe) candidates(g []float32) []int {
	all := p.r.Perm(len(g))
	if len(all) > exampleFeatures {
		random := slices.Clone(all[:exampleFeatures/2])
		slices.SortStableFunc(all, func(a, b int) int {
			switch x, y := math.Abs(float64(g[a])), math.Abs(float64(g[b])); {
			case x > y:
				return -1
			case x < y:
				return 1
			}
			return 0
		})
		all = append(random, all[:exampleFeatures/2]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
