package signature

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// columns is data.columns: values that are missing are filled in, then
// categories become one-hot.
type columns struct {
	features []dataset.Feature
	specs    []dataset.ColumnSpec // of each feature; the zero value: nothing is said
	byValue  bool                 // an exported graph is given values of categories, as arrays are
}

// needed reports whether the step does anything.
func (c columns) needed() bool {
	return slices.ContainsFunc(c.features, func(f dataset.Feature) bool { return f.Missing || f.Kind == dataset.KindCategory })
}

// width is the number of columns that feature i becomes.
func (c columns) width(i int) int {
	if n := len(c.features[i].Categories); n > 0 {
		return n
	}
	return 1
}

// total is the number of columns out.
func (c columns) total() int {
	n := 0
	for i := range c.features {
		n += c.width(i)
	}
	return n
}

// names are those of the columns out: colour=red of a category.
func (c columns) names() []string {
	var out []string
	for _, f := range c.features {
		if len(f.Categories) == 0 {
			out = append(out, f.Name)
		}
		for _, v := range f.Categories {
			out = append(out, f.Name+"="+v)
		}
	}
	return out
}

// Bind implements Step.
func (c columns) Bind(tensor.Shape) (Bound, error) {
	return nil, fmt.Errorf("data.columns is fitted on data.train, which there is none of")
}

const stateFill = "fill"

// Fit implements Fitter: what stands in for a missing value of each feature, 0
// where none may be missing.
func (c columns) Fit(in tensor.Shape, _ []int, rows Rows) (State, error) {
	if err := c.check(in); err != nil {
		return nil, err
	}
	fill := tensor.New(len(c.features))
	for i, f := range c.features {
		v, err := c.fill(i, rows)
		if err != nil {
			return nil, fmt.Errorf("column %q: missing: %w", f.Name, err)
		}
		fill.Data[i] = v
	}
	return State{stateFill: fill}, nil
}

func (c columns) check(in tensor.Shape) error {
	if len(in) != 1 || in[0] != len(c.features) {
		return fmt.Errorf("rows of %v, want %d columns", in, len(c.features))
	}
	return nil
}

func (c columns) fill(i int, rows Rows) (float32, error) {
	said := c.specs[i].Missing
	if said == nil {
		return 0, nil
	}
	text, word := said.(string)
	if at := slices.Index(c.features[i].Categories, dataset.Canonical(said)); at >= 0 {
		return float32(at), nil
	}
	if !word {
		v, err := strconv.ParseFloat(dataset.Canonical(said), 32)
		return float32(v), err
	}
	var values []float32
	for row := range rows {
		if v := row[i]; v == v {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0, fmt.Errorf("no row of data.train has a value to learn from")
	}
	slices.Sort(values)
	switch text {
	case dataset.FillMedian:
		n := len(values)
		return c.filling(i, (float64(values[(n-1)/2])+float64(values[n/2]))/2), nil
	case dataset.FillMean:
		sum := 0.0
		for _, v := range values {
			sum += float64(v)
		}
		return c.filling(i, sum/float64(len(values))), nil
	}
	return mostFrequent(values), nil
}

// filling is what stands in for a value of feature i: a whole number of an integer.
func (c columns) filling(i int, v float64) float32 {
	if c.features[i].Kind == dataset.KindInteger {
		v = math.RoundToEven(v)
	}
	return float32(v)
}

// mostFrequent is the least of the values that come most often, of sorted ones.
func mostFrequent(values []float32) float32 {
	best, most := values[0], 0
	for lo := 0; lo < len(values); {
		hi := lo
		for hi < len(values) && values[hi] == values[lo] {
			hi++
		}
		if hi-lo > most {
			best, most = values[lo], hi-lo
		}
		lo = hi
	}
	return best
}

// BindFitted implements Fitter.
func (c columns) BindFitted(in tensor.Shape, s State) (Bound, error) {
	if err := c.check(in); err != nil {
		return nil, err
	}
	fill := s[stateFill]
	if fill == nil || len(fill.Data) != len(c.features) {
		return nil, fmt.Errorf("data.columns was fitted on other columns")
	}
	return encoding{c, fill.Data}, nil
}

// encoding is columns at work.
type encoding struct {
	columns
	filling []float32
}

func (b encoding) Out() tensor.Shape { return tensor.Shape{b.total()} }

func (b encoding) Apply(dst, src []float32, _ tensor.Shape) error {
	k := 0
	for i, v := range src {
		if v != v {
			if !b.features[i].Missing {
				return fmt.Errorf("column %q has no value", b.features[i].Name)
			}
			v = b.filling[i]
		}
		n := len(b.features[i].Categories)
		if n == 0 {
			dst[k] = v
			k++
			continue
		}
		code := int(v)
		if float32(code) != v || code < 0 || code >= n {
			return fmt.Errorf("column %q is %v, want the number of a category, 0 to %d", b.features[i].Name, v, n-1)
		}
		clear(dst[k : k+n])
		dst[k+code] = 1
		k += n
	}
	return nil
}

// Graph implements Graphed.
func (b encoding) Graph(g *graph.Builder, x graph.Value, _ tensor.Shape) graph.Value {
	var out []graph.Value
	for i, f := range b.features {
		v := g.Slice(x, 1, i, i+1)
		if f.Missing {
			v = g.Where(g.Op("IsNaN", []graph.Value{v}), g.Floats([]float32{b.filling[i]}), v)
		}
		if n := len(f.Categories); n > 0 {
			given := make([]float32, n)
			for c := range given {
				given[c] = float32(c)
			}
			if b.byValue && f.ByValue() {
				given = f.Values()
				for c, w := range given {
					if w != w { // a word, which no number of an array says
						given[c] = -math.MaxFloat32 / float32(c+2)
					}
				}
				if f.Missing && b.filling[i] >= 0 { // a code so far
					v = g.Where(g.Op("IsNaN", []graph.Value{g.Slice(x, 1, i, i+1)}), g.Floats([]float32{given[int(b.filling[i])]}), g.Slice(x, 1, i, i+1))
				}
			}
			v = g.Cast(g.Op("Equal", []graph.Value{v, g.Floats(given, n)}), graph.Float)
		}
		out = append(out, v)
	}
	return g.Concat(1, out...)
}
