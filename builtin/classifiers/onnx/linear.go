package onnx

import (
	"math"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// machineLearning are the operators of ai.onnx.ml.
func machineLearning() map[string]operator {
	return map[string]operator{
		"LinearClassifier":       linearClassifier,
		"LinearRegressor":        linearRegressor,
		"Scaler":                 scaler,
		"Normalizer":             normalizer,
		"TreeEnsembleClassifier": treeClassifier,
		"SVMClassifier":          svmClassifier,
		"ArrayFeatureExtractor":  arrayFeatureExtractor,
		"Imputer":                imputer,
		"Binarizer":              binarizer,
		"FeatureVectorizer":      featureVectorizer,
		"OneHotEncoder":          oneHotEncoder,
		"LabelEncoder":           labelEncoder,
	}
}

// linear is x·coefficientsᵀ + intercepts, one row of coefficients per output.
func (c *call) linear(coefficients, intercepts []float32) *value {
	x := c.plain(c.toFloat(c.any(0)))
	if len(x.shape) == 1 {
		x = c.view(x, []int{1, x.shape[0]})
	}
	if len(x.shape) != 2 || x.shape[1] < 1 || len(coefficients)%x.shape[1] != 0 || len(coefficients) == 0 {
		c.fail("has %d coefficients for an input of shape %v", len(coefficients), x.shape)
	}
	n, k := x.shape[0], x.shape[1]
	m := len(coefficients) / k
	if len(intercepts) != 0 && len(intercepts) != m {
		c.fail("has %d intercepts for %d outputs", len(intercepts), m)
	}
	w := kernel.Dense(coefficients, m, k)
	out := c.float([]int{n, m}, false)
	var ep kernel.Epilogue
	if len(intercepts) > 0 {
		ep.Bias = intercepts
	}
	c.gemm(out.f, m, kernel.Dense(x.f, n, k), w.T(), ep)
	c.record(out, func() {
		d := c.spare(len(x.f))
		c.gemm(d, k, kernel.Dense(out.d, n, m), w, kernel.Epilogue{})
		c.pass(x, d)
	}, x)
	return out
}

func linearRegressor(c *call) []*value {
	return []*value{c.transformed(c.linear(c.n.attrs["coefficients"].floats, c.n.attrs["intercepts"].floats))}
}

// linearClassifier answers the label and the scores of all classes.
func linearClassifier(c *call) []*value {
	y := c.linear(c.n.attrs["coefficients"].floats, c.n.attrs["intercepts"].floats)
	classes := max(len(c.n.attrs["classlabels_ints"].ints), len(c.n.attrs["classlabels_strings"].strings))
	if y.shape[1] == 1 && classes == 2 { // the score of the second class alone
		y = c.bothSigns(y)
	}
	return []*value{c.labels(y), c.transformed(y)}
}

// bothSigns turns scores s of one class into (−s, s).
func (c *call) bothSigns(y *value) *value {
	return c.combine(c.expanded(y, []int{y.shape[0], 2}), &value{kind: float, shape: []int{2}, f: []float32{-1, 1}}, mul())
}

// labels are the names of the best classes; as numbers, if they are numbers.
func (c *call) labels(y *value) *value {
	names := c.n.attrs["classlabels_ints"].ints
	if names == nil {
		names = c.n.attrs["classlabels_int64s"].ints
	}
	n, k := y.shape[0], y.shape[1]
	if len(names) != k {
		return &value{kind: opaque, shape: []int{n}}
	}
	out := c.whole(0, []int{n})
	for i := range n {
		best := 0
		for q, v := range y.f[i*k : i*k+k] {
			if v > y.f[i*k+best] {
				best = q
			}
		}
		out.i[i] = names[best]
	}
	return out
}

// transformed applies post_transform to scores (N, K).
func (c *call) transformed(y *value) *value {
	switch t := c.n.text("post_transform", "NONE"); t {
	case "NONE", "":
		return y
	case "LOGISTIC":
		return c.activate(y, kernel.Act{Kind: kernel.Sigmoid})
	case "LOG_LOGISTIC": // what the head makes of LOGISTIC to have logits
		return c.each(y, doubled(func(x float64) float64 { return -softplus(-x) }, func(x, _ float64) float64 { return sigmoid(-x) }))
	case "SOFTMAX":
		return c.softmax(y, y.shape[1])
	default:
		c.fail("post_transform %q is not supported", t)
		return nil
	}
}

// scaler computes (x − offset)·scale.
func scaler(c *call) []*value {
	x := c.toFloat(c.any(0))
	side := func(name string) *value {
		f := c.n.attrs[name].floats
		if len(f) == 0 || len(f) != 1 && (len(x.shape) == 0 || len(f) != x.shape[len(x.shape)-1]) {
			c.fail("has %d numbers in %s for an input of shape %v", len(f), name, x.shape)
		}
		return &value{kind: float, shape: []int{len(f)}, f: f}
	}
	return []*value{c.combine(c.combine(x, side("offset"), sub()), side("scale"), mul())}
}

// normalizer divides rows by their largest, sum or length. ONNX's reference
// takes magnitudes for L1 and plain numbers for MAX.
func normalizer(c *call) []*value {
	x := c.plain(c.toFloat(c.any(0)))
	if len(x.shape) == 0 {
		c.fail("input has no dimension")
	}
	k := x.shape[len(x.shape)-1]
	all := reductions()
	p := all["ReduceMax"]
	switch norm := c.n.text("norm", "MAX"); norm {
	case "MAX":
	case "L1":
		p = all["ReduceL1"]
	case "L2":
		p = all["ReduceL2"]
	default:
		c.fail("norm %q", norm)
	}
	if k == 0 {
		return []*value{x}
	}
	shape := append([]int{}, x.shape...)
	shape[len(shape)-1] = 1
	length := c.rows(x, shape, k, p)
	length = c.each(length, nonZero()) // rows of zeros stay as they are
	return []*value{c.combine(x, length, div())}
}

func isFinite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }
