package network

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/builtin/classifiers/tape"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// net is a network with its weights: the inputs' scaling, if there is one,
// then layers that end in logits. It is never changed but by Fit, before
// others see it.
type net struct {
	in     tensor.Shape
	seq    *nn.Sequence
	hidden []hidden

	// x·factor + offset by columns; nil: inputs are taken as they are.
	mean, deviation *tensor.Tensor
	factor, offset  []float32
	zeros           []float32

	digest string // "sha256:…"
	batch  int    // rows per pass
	front  front
	pool   tape.Pool[*session]
}

// hidden is a layer that is offered as an output.
type hidden struct {
	sdk.HiddenLayer
	index int
}

// noHiddenOutput reports whether a layer computes nothing worth comparing.
func noHiddenOutput(l nn.Layer) bool {
	n, ok := l.(nn.NoHiddenOutput)
	return ok && n.NoHiddenOutput()
}

// build makes a fresh net: the architecture's layers, flattened if need be,
// and a dense layer of classes units.
func build(a Architecture, in tensor.Shape, classes int, seed uint64) (*net, error) {
	makers, err := a.Makers(in)
	if err != nil {
		return nil, sdk.Diagnostics{{Message: err.Error()}}
	}
	r := nn.FreshRand(seed)
	makers = slices.Clone(makers)
	trial, err := nn.Build(makers, in, nn.FreshRand(seed))
	if err != nil {
		return nil, layerFault(err)
	}
	if len(trial.Out()) != 1 {
		makers = append(makers, layers.Flatten{})
	}
	seq, err := nn.Build(append(makers, layers.NewDense(classes)), in, r)
	if err != nil {
		return nil, layerFault(err)
	}
	n := &net{in: in, seq: seq}
	infos := nn.Describe(seq)
	infos = slices.DeleteFunc(infos, func(i nn.LayerInfo) bool { return i.Depth > 0 })
	for i, info := range infos[:len(infos)-1] {
		if !noHiddenOutput(seq.Layers()[i]) {
			n.hidden = append(n.hidden, hidden{sdk.HiddenLayer{Name: info.Name, Shape: info.Out}, i})
		}
	}
	n.batch, n.front, n.pool.New = n.maxBatch(), findFront(seq), newSession
	return n, nil
}

func layerFault(err error) error {
	var bad *nn.LayerError
	if errors.As(err, &bad) {
		return sdk.Diagnostics{{Pointer: fmt.Sprintf("/layers/%d", bad.Path[0]), Message: bad.Err.Error()}}
	}
	return err
}

// maxBatch keeps the activations of a batch near 64 MiB.
func (n *net) maxBatch() int {
	const budget = 16 << 20 // numbers
	size := n.in.Size()
	for _, l := range n.seq.Layers() {
		size += l.Out().Size()
	}
	return max(16, min(budget/size, 4096))
}

// standardize fits the inputs' scaling to x, in float64: per channel of
// images, else per feature. What does not vary is only centred.
func (n *net) standardize(x *tensor.Tensor) {
	width := x.Stride()
	if len(n.in) == 3 {
		width = n.in[2]
	}
	rows := float64(len(x.Data) / width)
	sum, squares := make([]float64, width), make([]float64, width)
	for i, v := range x.Data {
		sum[i%width] += float64(v)
	}
	for i, v := range x.Data {
		d := float64(v) - sum[i%width]/rows
		squares[i%width] += float64(d * d)
	}
	mean, deviation := tensor.New(width), tensor.New(width)
	for j := range width {
		mean.Data[j] = float32(sum[j] / rows)
		deviation.Data[j] = float32(math.Sqrt(squares[j] / rows))
		if deviation.Data[j] < 1e-6 {
			deviation.Data[j] = 1
		}
	}
	n.scaleBy(mean, deviation)
}

func (n *net) scaleBy(mean, deviation *tensor.Tensor) {
	n.mean, n.deviation = mean, deviation
	width := len(mean.Data)
	n.factor, n.offset, n.zeros = make([]float32, width), make([]float32, width), make([]float32, width)
	for j := range width {
		n.factor[j] = 1 / deviation.Data[j]
		n.offset[j] = -mean.Data[j] * n.factor[j]
	}
}

// Out implements nn.Layer.
func (n *net) Out() tensor.Shape { return n.seq.Out() }

// Params implements nn.Layer.
func (n *net) Params() []*nn.Param { return n.seq.Params() }

// Plan implements nn.Layer.
func (n *net) Plan(p *nn.Plan) {
	p.Tensor(n, n.in)
	n.seq.Plan(p)
}

// scaled is the first layer's input.
func (n *net) scaled(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	if n.factor == nil {
		return x
	}
	y := w.Tensor(n, 0, x.N())
	w.K.ScaleColumns(y.Data, x.Data, n.factor, n.offset)
	return y
}

// unscale turns the gradient at the first layer's input into that at x.
func (n *net) unscale(k *kernel.Engine, dx *tensor.Tensor) {
	if n.factor != nil {
		k.ScaleColumns(dx.Data, dx.Data, n.factor, n.zeros)
	}
}

// Forward implements nn.Layer.
func (n *net) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	return n.seq.Forward(w, n.scaled(w, x))
}

// Backward implements nn.Layer.
func (n *net) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	dx := n.seq.Backward(w, dy, g)
	if dx != nil {
		n.unscale(w.K, dx)
	}
	return dx
}

const (
	meanName      = "scale.mean"
	deviationName = "scale.std"
)

// tensors are all weights by name, as a file has them.
func (n *net) tensors() []safetensors.Named {
	var out []safetensors.Named
	for _, p := range n.Params() {
		out = append(out, safetensors.Named{Name: p.Name, Tensor: p.Value})
	}
	if n.factor != nil {
		out = append(out,
			safetensors.Named{Name: meanName, Tensor: n.mean},
			safetensors.Named{Name: deviationName, Tensor: n.deviation})
	}
	return out
}

// load takes the weights of a file, which must fit exactly.
func (n *net) load(path string, scale bool) error {
	f, err := safetensors.Read(path)
	if err != nil {
		return err
	}
	if err := f.CheckFinite(); err != nil {
		return err
	}
	var bad []error
	known := map[string]bool{}
	for _, p := range n.Params() {
		known[p.Name] = true
		t, ok := f.Get(p.Name)
		switch {
		case !ok:
			bad = append(bad, fmt.Errorf("no tensor %q", p.Name))
		case !t.Shape.Equal(p.Value.Shape):
			bad = append(bad, fmt.Errorf("tensor %q is %v, the layers want %v", p.Name, t.Shape, p.Value.Shape))
		default:
			copy(p.Value.Data, t.Data)
		}
	}
	mean, ok1 := f.Get(meanName)
	deviation, ok2 := f.Get(deviationName)
	known[meanName], known[deviationName] = scale, scale
	width := n.in.Size()
	if len(n.in) == 3 {
		width = n.in[2]
	}
	switch {
	case !scale:
	case !ok1 || !ok2 || len(mean.Data) != width || len(deviation.Data) != width:
		bad = append(bad, fmt.Errorf("scale: standard wants tensors %q and %q of %d numbers", meanName, deviationName, width))
	case slices.Min(deviation.Data) <= 0:
		bad = append(bad, fmt.Errorf("tensor %q: want positive numbers", deviationName))
	default:
		n.scaleBy(mean, deviation)
	}
	for _, t := range f.Tensors {
		if !known[t.Name] {
			bad = append(bad, fmt.Errorf("tensor %q belongs to no layer", t.Name))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%s: %w", path, errors.Join(bad...))
	}
	return nil
}

// seal computes the digest: of the settings that make the function, the shapes
// and all weights.
func (n *net) seal(settings []byte) error {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s %v %v\n", settings, n.in, n.Out()) // a hash never fails
	if err := safetensors.Encode(io.Writer(h), n.tensors(), nil); err != nil {
		return err
	}
	n.digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return nil
}

// graph writes the logits, and hidden layers by name, as nodes of an ONNX graph.
func (n *net) graph(b *graph.Builder, x graph.Value, names []string) (graph.Value, []graph.Value, error) {
	if n.factor != nil {
		x = b.Add(b.Mul(x, b.Floats(n.factor, len(n.factor))), b.Floats(n.offset, len(n.offset)))
	}
	out := make([]graph.Value, len(names))
	for i, l := range n.seq.Layers() {
		x = nn.Graph(b, l, x)
		for _, h := range n.hidden {
			if at := slices.Index(names, h.Name); h.index == i && at >= 0 {
				out[at] = x
			}
		}
	}
	return x, out, b.Err()
}
